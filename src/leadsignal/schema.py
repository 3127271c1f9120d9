"""The schema of each table: columns, kinds, keys and rules, as data without logic.

Reading (`leadsignal.tables`), point-in-time views, the docs and the simulator all use it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["id", "text", "day", "moment", "number", "decimal", "integer", "boolean"]
"""How a checked column is stored.

``id`` and ``text`` are text (an id may not be empty); ``day`` is a date (timestamps become local
dates), ``moment`` a local timestamp; ``number`` is a double; ``decimal`` is exact to
``Column.decimals`` places, because it is summed; ``integer`` and ``boolean`` are as named.
"""


LARGEST_NUMBER = 10**15
"""Upper limit of numbers; squares of larger ones lose precision or overflow."""
MAX_MONTHS = 1200
"""Maximum contract term in months (a century)."""


@dataclass(frozen=True)
class Column:
    """One column: its name, kind, whether it is required, and what an empty cell means."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    default: float | bool | None = None
    decimals: int = 6
    allowed: tuple[str, ...] = ()
    minimum: float | None = None

    @property
    def limit(self) -> int | None:
        """Upper bound of the absolute value, which keeps computations safe."""
        months = MAX_MONTHS + 1
        return {"decimal": 10**12, "number": LARGEST_NUMBER, "integer": months}.get(self.kind)

    @property
    def total_limit(self) -> int | None:
        """Upper bound of the sum of absolute values, which keeps sums exact."""
        return 9 * 10 ** (18 - self.decimals) if self.kind == "decimal" else None

    @property
    def is_money(self) -> bool:
        """Whether these are amounts of money, which must be in one currency within a table."""
        return self.kind == "decimal" and self.decimals == 2


@dataclass(frozen=True)
class SecondDate:
    """A further date in a row, known only once it has passed; ``also`` become known with it."""

    column: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table.

    ``time`` is the column that says when a row became true. ``key`` identifies a row; with
    ``recorded_at``, rows with the same key are versions of each other. ``planned`` dates may lie in
    the future and do not affect the default as_of. ``ordered`` holds pairs of columns of which the
    second must not be before the first. ``repeats`` says whether identical rows are a fault or only
    worth a warning (two tickets on one day are no mistake).
    """

    name: str
    meaning: str
    time: str
    columns: tuple[Column, ...]
    key: str | None = None
    second_dates: tuple[SecondDate, ...] = ()
    planned: tuple[str, ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()
    repeats: Literal["fault", "warning"] = "fault"
    by_column: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_column", {column.name: column for column in self.columns})

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the required columns."""
        return tuple(column.name for column in self.columns if column.required)

    @property
    def days(self) -> tuple[str, ...]:
        """Names of the columns that hold dates."""
        return tuple(column.name for column in self.columns if column.kind == "day")


def _id(name: str, meaning: str, required: bool = True) -> Column:
    return Column(name, "id", meaning, required)


def _day(name: str, meaning: str, required: bool = True) -> Column:
    return Column(name, "day", meaning, required)


def _text(name: str, meaning: str, required: bool = False) -> Column:
    return Column(name, "text", meaning, required)


ACCOUNT = _id("account_id", "the account, as in accounts")
RECORDED = Column(
    "recorded_at",
    "moment",
    "when the row reached the system, to the moment; it is not known before",
)
EVENT_ID = _id("event_id", "the event; rows with one that an earlier row has are left out", False)

TABLES: tuple[Table, ...] = (
    Table(
        "accounts",
        "one row an account; a returning customer is a new account with the same customer_id",
        time="started_on",
        key="account_id",
        columns=(
            _id("account_id", "the account"),
            _text("name", "what people call the account"),
            _text("owner", "who looks after the account, as the customer success manager"),
            _day("started_on", "first day as a customer"),
            _day("ended_on", "first day no longer a customer; empty while active", False),
            _day("end_known_on", "the day the vendor learned of the end", False),
            _text("end_reason", "why it ended, in the user's words"),
            Column("term_months", "integer", "contract term in months", minimum=1),
            Column(
                "arr", "decimal", "annual recurring revenue at the start", decimals=2, minimum=0
            ),
            _text("currency", "currency of the amounts, as in USD"),
            _id(
                "customer_id", "the customer behind the account; errors are clustered by it", False
            ),
            RECORDED,
        ),
        second_dates=(SecondDate("ended_on", ("end_reason",)), SecondDate("end_known_on")),
        ordered=(("started_on", "ended_on"), ("started_on", "end_known_on")),
    ),
    Table(
        "behaviors",
        "key-behaviour events: actions of the customer that show a way of working",
        time="occurred_at",
        columns=(
            ACCOUNT,
            _day("occurred_at", "when it happened"),
            _text("behavior", "which behaviour", True),
            _id("user_id", "who did it", False),
            Column("quantity", "decimal", "how many at once", default=1, minimum=0),
            EVENT_ID,
            RECORDED,
        ),
        repeats="warning",
    ),
    Table(
        "tickets",
        "support tickets",
        time="opened_at",
        key="ticket_id",
        columns=(
            ACCOUNT,
            _day("opened_at", "when it was opened"),
            _id("ticket_id", "the ticket", False),
            _text("severity", "how bad, in the user's words"),
            _day("closed_at", "when it was closed; empty while open", False),
            RECORDED,
        ),
        second_dates=(SecondDate("closed_at"),),
        ordered=(("opened_at", "closed_at"),),
        repeats="warning",
    ),
    Table(
        "contract_changes",
        "requests to change the contract",
        time="changed_at",
        columns=(
            ACCOUNT,
            _day("changed_at", "when the change was made"),
            _text("kind", "expansion, reduction, renewal, or the user's own word", True),
            Column("arr_delta", "decimal", "change of annual recurring revenue", decimals=2),
            Column("term_months", "integer", "new term in months", minimum=1),
            RECORDED,
        ),
    ),
    Table(
        "results",
        "the customer's own measure of success",
        time="measured_on",
        columns=(
            ACCOUNT,
            _day("measured_on", "when it was measured"),
            Column("value", "number", "the measured value", required=True),
            _text("metric", "which metric"),
            Column("target", "number", "what the customer wants to reach"),
            Column("higher_is_better", "boolean", "the direction that is good", default=True),
            _day("shown_on", "when the result was shown to the customer", False),
            RECORDED,
        ),
        second_dates=(SecondDate("shown_on"),),
        ordered=(("measured_on", "shown_on"),),
        repeats="warning",
    ),
    Table(
        "usage",
        "how much the product is used: the lagging signal",
        time="used_on",
        columns=(
            ACCOUNT,
            _day("used_on", "the day"),
            Column("amount", "decimal", "how much", required=True, minimum=0),
            Column("series", "text", "of what, where several things are measured"),
            EVENT_ID,
            RECORDED,
        ),
        repeats="warning",
    ),
    Table(
        "plans",
        "the success plan agreed with the customer",
        time="agreed_on",
        key="plan_id",
        columns=(
            ACCOUNT,
            _day("agreed_on", "when it was agreed"),
            _text("objective", "what the customer wants to achieve", True),
            _id("plan_id", "the plan", False),
            _text("metric", "how success is measured"),
            Column("target", "number", "the value to reach"),
            _day("target_on", "by when", False),
            _text("sponsor", "who sponsors it at the customer"),
            _text("next_phase", "what comes after"),
            _day("closed_on", "when it was closed; empty while open", False),
            RECORDED,
        ),
        second_dates=(SecondDate("closed_on"),),
        planned=("target_on",),
        ordered=(("agreed_on", "closed_on"), ("agreed_on", "target_on")),
    ),
    Table(
        "commitments",
        "who promised what by when",
        time="agreed_on",
        key="commitment_id",
        columns=(
            ACCOUNT,
            _day("agreed_on", "when it was promised"),
            _day("due_on", "by when"),
            _text("action", "what was promised", True),
            Column("owner", "text", "who promised", required=True, allowed=("customer", "vendor")),
            _id("commitment_id", "the commitment", False),
            _day("completed_on", "when it was done; empty while open", False),
            RECORDED,
        ),
        second_dates=(SecondDate("completed_on"),),
        planned=("due_on",),
        ordered=(("agreed_on", "due_on"), ("agreed_on", "completed_on")),
    ),
    Table(
        "surveys",
        "satisfaction",
        time="answered_on",
        columns=(
            ACCOUNT,
            _day("answered_on", "when it was answered"),
            Column("score", "number", "the score", required=True),
            RECORDED,
        ),
        repeats="warning",
    ),
    Table(
        "flags",
        "the team's own at-risk calls and rescues",
        time="flagged_on",
        columns=(
            ACCOUNT,
            _day("flagged_on", "when the account was flagged"),
            _day("cleared_on", "when the flag was cleared; empty while it is open", False),
            RECORDED,
        ),
        second_dates=(SecondDate("cleared_on"),),
        ordered=(("flagged_on", "cleared_on"),),
    ),
    Table(
        "health_scores",
        "an existing health score, to be audited",
        time="scored_on",
        columns=(
            ACCOUNT,
            _day("scored_on", "when the score was given"),
            Column("score", "number", "the score", required=True),
            Column("band", "text", "its colour", allowed=("green", "yellow", "red")),
            RECORDED,
        ),
    ),
    Table(
        "account_changes",
        "dated values of account attributes",
        time="changed_on",
        columns=(
            ACCOUNT,
            _day("changed_on", "from when on the value holds"),
            _text("attribute", "which attribute of accounts", True),
            _text("value", "its new value; empty for none"),
            RECORDED,
        ),
    ),
)

READ_FIRST: tuple[Table, ...] = (
    Table(
        "exchange_rates",
        "what one unit of a currency is worth in the base of [currency], by day",
        time="valid_on",
        columns=(
            _text("currency", "the currency, as in USD", True),
            _day("valid_on", "from when on the rate holds, until the next"),
            Column("rate", "number", "units of the base for one of it", required=True, minimum=0),
        ),
        repeats="warning",
    ),
    Table(
        "contracts",
        "one row a contract or subscription: accounts and contract_changes are derived from them",
        time="started_on",
        key="contract_id",
        columns=(
            ACCOUNT,
            _day("started_on", "first day of the contract, or of its trial"),
            _id("contract_id", "the contract; needed where rows are versions", False),
            _day("ended_on", "first day without it; empty while it is open", False),
            _day("cancelled_on", "the day the vendor learned of the end", False),
            Column("arr", "decimal", "annual recurring revenue", decimals=2, minimum=0),
            Column("mrr", "decimal", "monthly recurring revenue", decimals=2, minimum=0),
            Column("amount", "decimal", "what a period costs", decimals=2, minimum=0),
            _text("period", 'period of amount: "month", "quarter", "year" or "6 months"'),
            _text("currency", "currency of the amounts, as in USD"),
            _text("plan", "what was bought"),
            Column("quantity", "decimal", "seats or units; amounts are for all of them", minimum=0),
            _text("status", "state in the billing system; read by `where` alone"),
            _day("trial_ends_on", "first paid day after a trial", False),
            Column("term_months", "integer", "contract term in months", minimum=1),
            RECORDED,
        ),
        second_dates=(SecondDate("ended_on"), SecondDate("cancelled_on")),
        planned=("trial_ends_on",),
        ordered=(("started_on", "ended_on"),),
    ),
)
"""Tables that are read before the others and merged into them."""

ALL_TABLES: tuple[Table, ...] = (*READ_FIRST, *TABLES)
"""All tables, in the order of reading."""
BY_NAME: dict[str, Table] = {table.name: table for table in ALL_TABLES}
EVENT_TABLES: tuple[Table, ...] = TABLES[1:]
