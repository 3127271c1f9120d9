"""Exports of product analytics: events, and who did them."""

from __future__ import annotations

from leadsignal.proposals.export_shape import ACCOUNT_KEYS, KnownExport

ACCOUNT = "Which property of the events says which account the user works for?"
GROUPS = "Which group type is the account? Events name the accounts in groups."

EVENT_PROPERTIES = tuple(f"properties.{key}" for key in ACCOUNT_KEYS)

PRODUCT: tuple[KnownExport, ...] = (
    KnownExport(
        system="Mixpanel",
        content="events",
        identified_by=("event", "properties.time", "properties.distinct_id"),
        table="behaviors",
        columns={
            "account_id": EVENT_PROPERTIES,
            "occurred_at": ("properties.time",),
            "behavior": ("event",),
            "user_id": ("properties.$user_id", "properties.distinct_id"),
        },
        options={"dates": "epoch", "event_id": "properties.$insert_id"},
        questions=("Did the project export times in its own time zone or in UTC?",),
        if_missing={"account_id": ACCOUNT},
        note="Events that were sent twice have one $insert_id.",
    ),
    KnownExport(
        system="Mixpanel",
        content="events (warehouse)",
        identified_by=("name", "time", "distinct_id", "insert_id", "mp_processing_time_ms"),
        table="behaviors",
        columns={
            "account_id": ACCOUNT_KEYS,
            "occurred_at": ("time",),
            "behavior": ("name",),
            "user_id": ("user_id", "distinct_id"),
        },
        options={"event_id": "insert_id"},
        if_missing={"account_id": ACCOUNT},
        note="Properties of events are JSON in one column.",
    ),
    KnownExport(
        system="Amplitude",
        content="events",
        identified_by=("event_type", "event_time", "amplitude_id", "user_id"),
        table="behaviors",
        columns={
            "account_id": (
                *(f"user_properties.{key}" for key in ACCOUNT_KEYS),
                *(f"event_properties.{key}" for key in ACCOUNT_KEYS),
            ),
            "occurred_at": ("event_time",),
            "behavior": ("event_type",),
            "user_id": ("user_id",),
        },
        options={"event_id": "$insert_id"},
        if_missing={"account_id": ACCOUNT},
        note="Times are in UTC; groups are lists; visitors who did not log in have no user_id.",
    ),
    KnownExport(
        system="PostHog",
        content="events",
        identified_by=("uuid", "event", "distinct_id", "timestamp", "properties.$lib"),
        table="behaviors",
        columns={
            "account_id": (
                "properties.$groups.account",
                "properties.$groups.company",
                "properties.$groups.organization",
                "properties.$group_0",
                *EVENT_PROPERTIES,
            ),
            "occurred_at": ("timestamp",),
            "behavior": ("event",),
            "user_id": ("distinct_id", "person_id"),
        },
        options={"event_id": "uuid"},
        if_missing={"account_id": GROUPS},
        note="Names that begin with $ are events that the library records by itself.",
    ),
    KnownExport(
        system="PostHog",
        content="events (CSV)",
        identified_by=("uuid", "event", "distinct_id", "timestamp", "properties"),
        table="behaviors",
        columns={
            "account_id": ("$group_0", *ACCOUNT_KEYS),
            "occurred_at": ("timestamp",),
            "behavior": ("event",),
            "user_id": ("distinct_id", "person_id"),
        },
        options={"event_id": "uuid"},
        if_missing={
            "account_id": "Which key of properties is the account? Take it out with query."
        },
        note="Names that begin with $ are events that the library records by itself.",
    ),
    KnownExport(
        system="Segment",
        content="tracks",
        identified_by=("id", "event", "event_text", "user_id", "anonymous_id", "received_at"),
        table="behaviors",
        columns={
            "account_id": ("context_group_id", *ACCOUNT_KEYS),
            "occurred_at": ("timestamp", "original_timestamp"),
            "behavior": ("event_text", "event"),
            "user_id": ("user_id",),
        },
        options={"event_id": "id"},
        if_missing={"account_id": "Which account is a user of? The table of groups says it."},
        note="Rows without user_id are of people who did not log in.",
    ),
    KnownExport(
        system="Segment",
        content="tracks (raw)",
        identified_by=("messageId", "event", "userId", "anonymousId", "receivedAt", "type"),
        table="behaviors",
        columns={
            "account_id": ("context.groupId", *EVENT_PROPERTIES),
            "occurred_at": ("timestamp", "originalTimestamp"),
            "behavior": ("event",),
            "user_id": ("userId",),
        },
        options={"event_id": "messageId", "where": {"type": ["track"]}},
        if_missing={"account_id": "Which account is a user of? The group calls say it."},
        note="Rows without userId are of people who did not log in.",
    ),
    KnownExport(
        system="Segment",
        content="groups",
        identified_by=("user_id", "group_id", "received_at"),
        table="users",
        columns={"user_id": ("user_id",), "account_id": ("group_id",)},
        note="A user occurs once for each call; the account is the latest group.",
    ),
    KnownExport(
        system="Segment",
        content="users",
        identified_by=("id", "email", "received_at", "uuid_ts"),
        table="users",
        columns={"user_id": ("user_id", "id"), "account_id": ACCOUNT_KEYS},
        if_missing={"account_id": "Which trait of a user is the account?"},
    ),
)
