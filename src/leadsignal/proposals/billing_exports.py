"""Exports of billing systems: contracts, and the names of customers."""

from __future__ import annotations

from leadsignal.proposals.export_shape import KnownExport

SEATS = {
    "quantity": "Is {amount} the price of one seat? Some rows have several. If it is, write in the"
    " place of path, or of the query: {query}"
}
PERIOD = "How long is a billing period? Say it with period, as in period = 'month'."
END_OF_CONTRACT = (
    "Which column is the first day without the contract? Map it to ended_on; without it every"
    " contract counts as open."
)
STARTS = "Customers start with their first paid contract, not on the day this record was created."

STRIPE_STATES = ["active", "past_due", "unpaid", "canceled", "trialing", "paused"]
CHARGEBEE_STATES = [
    "active",
    "non_renewing",
    "cancelled",
    "paused",
    "in_trial",
    "Active",
    "Non Renewing",
    "Cancelled",
    "Paused",
    "In Trial",
]
RECURLY_STATES = ["active", "canceled", "expired", "paused"]

STRIPE = (
    KnownExport(
        system="Stripe",
        content="subscriptions",
        identified_by=("Customer ID", "Status", "Canceled At (UTC)", "Ended At (UTC)"),
        table="contracts",
        columns={
            "contract_id": ("id", "Subscription ID"),
            "account_id": ("Customer ID",),
            "started_on": ("Start Date (UTC)", "Start (UTC)", "Created (UTC)"),
            "ended_on": ("Ended At (UTC)",),
            "cancelled_on": ("Canceled At (UTC)",),
            "trial_ends_on": ("Trial End (UTC)",),
            "amount": ("Amount", "Plan Amount"),
            "period": ("Interval", "Plan Interval"),
            "currency": ("Currency", "Plan Currency"),
            "plan": ("Product", "Plan", "Plan Name"),
            "quantity": ("Quantity",),
            "status": ("Status",),
        },
        options={"where": {"Status": STRIPE_STATES}},
        if_above_one=SEATS,
        note="Canceled At is when the customer cancelled, Ended At when the subscription stopped.",
    ),
    KnownExport(
        system="Stripe",
        content="subscriptions (API)",
        identified_by=("customer", "status", "canceled_at", "ended_at", "livemode"),
        table="contracts",
        columns={
            "contract_id": ("id",),
            "account_id": ("customer",),
            "started_on": ("start_date", "start", "created"),
            "ended_on": ("ended_at",),
            "cancelled_on": ("canceled_at",),
            "trial_ends_on": ("trial_end",),
            "amount": ("plan.amount",),
            "period": ("plan.interval",),
            "currency": ("currency", "plan.currency"),
            "plan": ("plan.nickname", "plan.product", "plan.id"),
            "quantity": ("quantity",),
            "status": ("status",),
        },
        options={"dates": "epoch", "where": {"status": STRIPE_STATES, "livemode": ["true", "1"]}},
        if_above_one=SEATS,
        note="Amounts are in cents; those of a subscription with several items are in its items.",
        in_cents=("amount",),
    ),
    KnownExport(
        system="Stripe",
        content="subscriptions (warehouse)",
        identified_by=("customer_id", "status", "canceled_at", "ended_at", "livemode"),
        table="contracts",
        columns={
            "contract_id": ("id",),
            "account_id": ("customer_id",),
            "started_on": ("start_date", "start", "created"),
            "ended_on": ("ended_at",),
            "cancelled_on": ("canceled_at",),
            "trial_ends_on": ("trial_end",),
            "quantity": ("quantity",),
            "status": ("status",),
        },
        options={"where": {"status": STRIPE_STATES, "livemode": ["true", "1", "t"]}},
        if_missing={
            "amount": "What does a subscription cost? Amounts are in its items and prices."
        },
    ),
    KnownExport(
        system="Stripe",
        content="customers",
        identified_by=("id", "Created (UTC)", "Delinquent"),
        table="accounts",
        columns={
            "account_id": ("id", "Customer ID"),
            "name": ("Name", "Business Name", "Description", "Email"),
            "currency": ("Currency",),
        },
        note=STARTS,
    ),
    KnownExport(
        system="Stripe",
        content="customers (API)",
        identified_by=("id", "created", "delinquent", "livemode"),
        table="accounts",
        columns={
            "account_id": ("id",),
            "name": ("name", "description", "email"),
            "currency": ("currency",),
        },
        options={"where": {"livemode": ["true", "1", "t"]}},
        note=STARTS,
    ),
    KnownExport(
        system="Stripe",
        content="invoices",
        identified_by=("Amount Due", "Customer", "Subtotal", "Total"),
        table=None,
        note="Invoices say what was charged; starts and ends are in the subscriptions.",
    ),
    KnownExport(
        system="Stripe",
        content="invoices (warehouse)",
        identified_by=("amount_due", "customer_id", "subtotal", "total"),
        table=None,
        note="Invoices say what was charged; starts and ends are in the subscriptions.",
    ),
)

CHARGEBEE = (
    KnownExport(
        system="Chargebee",
        content="subscriptions",
        identified_by=("subscriptions.id", "subscriptions.status", "subscriptions.created_at"),
        table="contracts",
        columns={
            "contract_id": ("subscriptions.id",),
            "account_id": ("customers.id", "subscriptions.customer_id"),
            "started_on": ("subscriptions.started_at", "subscriptions.start_date"),
            "ended_on": ("subscriptions.cancelled_at",),
            "cancelled_on": ("subscriptions.cancel_schedule_created_at",),
            "trial_ends_on": ("subscriptions.trial_end",),
            "mrr": ("subscriptions.mrr",),
            "amount": ("subscriptions.plan_amount",),
            "period": ("subscriptions.billing_period_unit",),
            "currency": ("subscriptions.currency_code",),
            "plan": ("subscriptions.plan_id", "subscriptions.item_price_id"),
            "quantity": ("subscriptions.plan_quantity",),
            "status": ("subscriptions.status",),
        },
        options={"where": {"subscriptions.status": CHARGEBEE_STATES}},
        note="cancelled_at is the end, also one to come; the notice is cancel_schedule_created_at.",
    ),
    KnownExport(
        system="Chargebee",
        content="subscriptions (API)",
        identified_by=("subscription.id", "subscription.status", "subscription.customer_id"),
        table="contracts",
        columns={
            "contract_id": ("subscription.id",),
            "account_id": ("subscription.customer_id", "customer.id"),
            "started_on": ("subscription.started_at", "subscription.start_date"),
            "ended_on": ("subscription.cancelled_at",),
            "cancelled_on": ("subscription.cancel_schedule_created_at",),
            "trial_ends_on": ("subscription.trial_end",),
            "mrr": ("subscription.mrr",),
            "currency": ("subscription.currency_code",),
            "plan": ("subscription.plan_id",),
            "quantity": ("subscription.plan_quantity",),
            "status": ("subscription.status",),
        },
        options={"dates": "epoch", "where": {"subscription.status": CHARGEBEE_STATES}},
        note="cancelled_at is the end, also one to come; the notice is cancel_schedule_created_at.",
        in_cents=("mrr",),
    ),
    KnownExport(
        system="Chargebee",
        content="subscriptions (warehouse)",
        identified_by=("id", "customer_id", "status", "cancelled_at", "resource_version"),
        table="contracts",
        columns={
            "contract_id": ("id",),
            "account_id": ("customer_id",),
            "started_on": ("started_at", "start_date"),
            "ended_on": ("cancelled_at",),
            "cancelled_on": ("cancel_schedule_created_at",),
            "trial_ends_on": ("trial_end",),
            "mrr": ("mrr",),
            "currency": ("currency_code",),
            "plan": ("plan_id",),
            "quantity": ("plan_quantity",),
            "status": ("status",),
        },
        options={"where": {"status": CHARGEBEE_STATES}},
        note="cancelled_at is the end, also one to come; the notice is cancel_schedule_created_at.",
        in_cents=("mrr",),
    ),
    KnownExport(
        system="Chargebee",
        content="customers",
        identified_by=("customers.id", "customers.email", "customers.company"),
        table="accounts",
        columns={
            "account_id": ("customers.id",),
            "name": ("customers.company", "customers.email"),
            "currency": ("customers.preferred_currency_code",),
        },
        note=STARTS,
    ),
    KnownExport(
        system="Chargebee",
        content="customers (API)",
        identified_by=("customer.id", "customer.email", "customer.auto_collection"),
        table="accounts",
        columns={
            "account_id": ("customer.id",),
            "name": ("customer.company", "customer.email"),
            "currency": ("customer.preferred_currency_code",),
        },
        note=STARTS,
    ),
)

RECURLY = (
    KnownExport(
        system="Recurly",
        content="subscriptions",
        identified_by=("account_code", "plan_code", "state", "activated_at", "expires_at"),
        table="contracts",
        columns={
            "contract_id": ("uuid", "subscription_id", "id"),
            "account_id": ("account_code",),
            "started_on": ("activated_at",),
            "ended_on": ("expires_at",),
            "cancelled_on": ("canceled_at",),
            "trial_ends_on": ("trial_ends_at",),
            "amount": ("total_recurring_amount", "subtotal", "unit_amount"),
            "period": ("plan_interval", "plan_interval_unit"),
            "currency": ("currency",),
            "plan": ("plan_code", "plan_name"),
            "quantity": ("quantity",),
            "status": ("state",),
        },
        options={"where": {"state": RECURLY_STATES}},
        if_missing={"period": PERIOD},
        note="canceled means that it will not renew: it is paid until expires_at.",
    ),
    KnownExport(
        system="Recurly",
        content="subscriptions (warehouse)",
        identified_by=("account_id", "plan_id", "state", "activated_at", "expires_at"),
        table="contracts",
        columns={
            "contract_id": ("uuid", "id"),
            "account_id": ("account_id",),
            "started_on": ("activated_at",),
            "ended_on": ("expires_at",),
            "cancelled_on": ("canceled_at",),
            "trial_ends_on": ("trial_ends_at",),
            "amount": ("subtotal", "unit_amount"),
            "currency": ("currency",),
            "plan": ("plan_id",),
            "quantity": ("quantity",),
            "status": ("state",),
            "recorded_at": ("updated_at",),
        },
        options={"where": {"state": RECURLY_STATES}},
        if_missing={"period": PERIOD},
        note="The table of history holds a row for each change of a subscription.",
    ),
    KnownExport(
        system="Recurly",
        content="accounts",
        identified_by=("account_code", "username", "vat_number"),
        table="accounts",
        columns={
            "account_id": ("account_code",),
            "name": ("company_name", "company", "email"),
        },
        note=STARTS,
    ),
    KnownExport(
        system="Recurly",
        content="accounts (API)",
        identified_by=("code", "bill_to", "username", "tax_exempt"),
        table="accounts",
        columns={"account_id": ("code",), "name": ("company", "email")},
        note=STARTS,
    ),
)

BILLING: tuple[KnownExport, ...] = (*STRIPE, *CHARGEBEE, *RECURLY)
