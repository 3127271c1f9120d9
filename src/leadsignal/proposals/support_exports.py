"""Exports of help desks: tickets, and the organizations and people they come from."""

from __future__ import annotations

from leadsignal.proposals.export_shape import KnownExport

KEPT = ["new", "open", "pending", "hold", "solved", "closed"]
CLOSED = "When was a ticket solved? The tickets of the API do not say it; the ticket metrics do."
END = "Which column says when a customer left? Without it every account counts as a customer today."

SUPPORT: tuple[KnownExport, ...] = (
    KnownExport(
        system="Zendesk",
        content="tickets",
        identified_by=("Id", "Requester", "Organization", "Created at", "Solved at"),
        table="tickets",
        columns={
            "account_id": ("Organization external id", "Organization"),
            "opened_at": ("Created at",),
            "ticket_id": ("Id",),
            "severity": ("Priority",),
            "closed_at": ("Solved at",),
        },
        options={"where": {"Status": [*KEPT, *(state.capitalize() for state in KEPT)]}},
        note="Tickets of people without an organization belong to no account.",
    ),
    KnownExport(
        system="Zendesk",
        content="tickets (API)",
        identified_by=("id", "organization_id", "requester_id", "created_at", "priority"),
        table="tickets",
        columns={
            "account_id": ("organization_id",),
            "opened_at": ("created_at",),
            "ticket_id": ("id",),
            "severity": ("priority",),
            "closed_at": ("metric_set.solved_at", "solved_at"),
        },
        options={"where": {"status": KEPT}},
        if_missing={"closed_at": CLOSED},
        note="organization_id is Zendesk's own number; external_id of the organization is yours.",
    ),
    KnownExport(
        system="Zendesk",
        content="organizations",
        identified_by=("id", "name", "external_id", "shared_tickets"),
        table="users",
        columns={"user_id": ("id",), "account_id": ("external_id",)},
        questions=("Is external_id the account's id in your other files?",),
        note="Leads from organization_id of the tickets to your own id of the account.",
    ),
    KnownExport(
        system="Intercom",
        content="conversations",
        identified_by=("id", "created_at", "state", "waiting_since", "source.delivered_as"),
        table="tickets",
        columns={
            "account_id": ("company_id",),
            "user_id": ("source.author.id",),
            "opened_at": ("created_at",),
            "ticket_id": ("id",),
            "severity": ("priority",),
            "closed_at": ("statistics.last_close_at", "statistics.first_close_at"),
        },
        options={"where": {"source.delivered_as": ["customer_initiated"]}},
        if_missing={
            "account_id": "Which company is a contact of? A file of contacts and companies says it."
        },
        note="Conversations that an operator or a campaign began are not requests for help.",
    ),
    KnownExport(
        system="Intercom",
        content="tickets",
        identified_by=("ticket_id", "ticket_state", "company_id", "created_at"),
        table="tickets",
        columns={
            "account_id": ("company_id",),
            "opened_at": ("created_at",),
            "ticket_id": ("ticket_id", "id"),
            "severity": ("ticket_type.name", "category"),
        },
        if_missing={
            "closed_at": "When was a ticket resolved? The list of tickets does not say it."
        },
        note="company_id is Intercom's own id of the company, not yours.",
    ),
    KnownExport(
        system="Intercom",
        content="companies",
        identified_by=(
            "id",
            "company_id",
            "remote_created_at",
            "name",
            "monthly_spend",
            "session_count",
            "user_count",
        ),
        table="accounts",
        columns={
            "account_id": ("company_id", "id"),
            "name": ("name",),
            "started_on": ("remote_created_at", "created_at"),
            "ended_on": ("custom_attributes.churned_at", "custom_attributes.churn_date"),
        },
        questions=("Is the day on which a company was created its first day as a customer?",),
        if_missing={"ended_on": END},
        note="company_id is your own id, id is Intercom's; monthly_spend is that of today.",
    ),
    KnownExport(
        system="Intercom",
        content="companies (warehouse)",
        identified_by=("id", "name", "monthly_spend", "session_count", "user_count", "plan_name"),
        table="accounts",
        columns={"account_id": ("company_id", "id"), "name": ("name",)},
        if_missing={
            "ended_on": END,
            "started_on": "Which column says when a company became a customer?",
        },
        note="The table of history holds a row for each change of a company.",
    ),
    KnownExport(
        system="Intercom",
        content="contacts of companies",
        identified_by=("contact_id", "company_id"),
        table="users",
        columns={"user_id": ("contact_id",), "account_id": ("company_id",)},
        note="Leads from the author of a conversation to the company.",
    ),
    KnownExport(
        system="Intercom",
        content="users",
        identified_by=("User ID", "Email", "Company ID", "Last seen"),
        table="users",
        columns={"user_id": ("User ID",), "account_id": ("Company ID",)},
    ),
)
