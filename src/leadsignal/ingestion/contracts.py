"""Derive accounts and contract changes from contracts, or compare contracts with accounts.

A contract is paid from ``paid_on``: its start, or the end of its trial. Contracts that follow each
other within ``gap`` days form one stay, which is one account and ends with its last contract. If
another contract follows within the gap, the account did not end after all: its row gets a new
version, known from the day on which that contract begins. `Tables.as_of` therefore shows the
accounts that follow from the contracts known by then.

Whenever a contract begins or ends, the ARR of the account becomes the sum over the contracts that
cover the day. In a gap, the ARR of the last covered day is kept until the next contract. A rise is
an expansion, a fall a reduction. A contract that begins at most ``gap`` days after another ended
is a renewal, with its term, and also a plan change if its plan differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from leadsignal.arguments import MONTHS_WRITTEN, PERIODS
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault
from leadsignal.formats import count_of
from leadsignal.ingestion.check_report import Loaded
from leadsignal.ingestion.loading import Intake
from leadsignal.ingestion.rows_of_accounts import ACCOUNTS_NOW
from leadsignal.package_data import packaged_queries
from leadsignal.schema import BY_NAME
from leadsignal.sources.parts import literal, quoted

OPEN = "DATE '9999-01-01'"
"""End date of an open contract."""
RETURNED = "/"
"""Separator between the id of a returning customer and the number of the stay."""


def query(name: str, /, **values: object) -> str:
    """Return a query of ``contracts.sql`` with its placeholders filled in."""
    queries = packaged_queries("leadsignal.ingestion", "contracts.sql")
    return queries[name].format(open=OPEN, returned=RETURNED, **values)


def derive_accounts(run: Callable[[str], None], gap: int) -> None:
    """Create ``derived_accounts`` from ``paid_contracts``."""
    stays = query("stays", points="contract_points", gap=gap)
    for table, sql in (
        ("contract_points", query("points")),
        ("account_states", query("states", stays=stays)),
        ("derived_accounts", query("versions")),
    ):
        run(f"CREATE OR REPLACE TABLE {table} AS {sql}")


def derive_changes(run: Callable[[str], None], stay_gap: int, gap: int, corrected: bool) -> None:
    """Create ``derived_changes`` from ``paid_contracts``; ``corrected`` contracts have versions."""
    points = "contract_points" if corrected else f"({query('last_points')})"
    levels = query("levels", stays=query("stays", points=points, gap=stay_gap), gap=gap)
    run(f"CREATE OR REPLACE TABLE contract_levels AS {levels}")
    run(f"CREATE OR REPLACE TABLE derived_changes AS {query('changes', points=points)}")


# Accounts and contract changes ------------------------------------------------------------------


AMOUNTS = ("arr", "mrr", "amount")
"""Columns that may hold the amount, in order of precedence."""


def months_in(period: str) -> str:
    """SQL: the length of a billing period in months; NULL if it is not a period."""
    text = f"lower(trim({period}))"
    named = " ".join(f"WHEN {literal(name)} THEN {months}" for name, months in PERIODS.items())
    written = f"TRY_CAST(regexp_extract({text}, {literal(MONTHS_WRITTEN)}, 1) AS INTEGER)"
    return f"CASE {text} {named} ELSE nullif({written}, 0) END"


def period_of(loaded: Loaded, source: TableSource) -> str:
    """SQL: the billing period of a contract's amount, by default that of the settings."""
    stated = literal(source.period) if source.period else "NULL"
    return f"coalesce(period, {stated})" if "period" in loaded.columns else stated


def annual_revenue(loaded: Loaded, source: TableSource) -> str:
    """SQL: the annual recurring revenue of a contract; NULL if unknown."""
    yearly = {
        "arr": "arr",
        "mrr": "mrr * 12",
        "amount": f"amount * 12 / {months_in(period_of(loaded, source))}",
    }
    amounts = [yearly[name] for name in AMOUNTS if name in loaded.columns]
    first = f"coalesce({', '.join(amounts)})" if amounts else "NULL"
    return f"CAST(round({first}, 2) AS DECIMAL(18,2))"


LIFETIME = ("started_on", "ended_on")
"""Columns of accounts; if one of them is missing, accounts are derived from contracts."""
FOREVER = 100_000
"""Gap in days that is longer than any between contracts: each account is then a single stay."""
OVER = r"cancel|expired|ended|churn|terminat|inactive"
UNPAID = r"draft|incomplete|pending|quote|test"
"""Patterns of the status of contracts that are over, or not paid."""
SCRATCH = ("contract_points", "account_states", "contract_levels")


def lifetimes_are_given(intake: Intake) -> bool:
    """Return whether a table of accounts gives their starts and ends."""
    accounts = intake.loaded.get("accounts")
    return accounts is not None and set(LIFETIME) <= set(accounts.columns)


def derive_from_contracts(intake: Intake) -> None:
    """Derive accounts and contract changes from settled contracts, unless they were given."""
    contracts, listed = intake.loaded["contracts"], lifetimes_are_given(intake)
    gap = intake.source("contracts").gap
    run = intake.store.run
    run(f"CREATE TABLE paid_contracts AS {_paid(intake, contracts)}")
    _sort_out_unpaid(intake)
    _note_states(intake, contracts)
    derive_accounts(run, FOREVER if listed else gap)
    derive_changes(run, FOREVER if listed else gap, gap, contracts.has_versions)
    if listed:
        compare_with_accounts(intake, gap)
        _fill_accounts(intake, contracts)
    elif _refuse(intake, contracts):
        return
    else:
        _create_accounts(intake, contracts)
    _create_changes(intake, contracts)
    for table in SCRATCH:
        run(f"DROP TABLE {table}")


def with_coverage_of_contracts(project: Project, intake: Intake) -> Project:
    """Return the project with derived tables complete over the same period as contracts."""
    stated = intake.source("contracts")
    ((first,),) = intake.store.query("SELECT min(paid_on) FROM paid_contracts")
    tables = dict(project.tables)
    for name, since in (("accounts", stated.complete_from), ("contract_changes", first)):
        if name not in intake.loaded or not intake.loaded[name].derived:
            continue
        source = tables.get(name, TableSource())
        tables[name] = replace(
            source,
            complete_from=source.complete_from or stated.complete_from or since,
            complete_through=source.complete_through or stated.complete_through,
        )
    return replace(project, tables=tables)


def to_accounts_of_their_day(intake: Intake, loaded: Loaded) -> None:
    """Assign a returning customer's rows to the account of their day; drop those who never paid."""
    accounts = intake.loaded.get("accounts")
    if accounts is None or not accounts.derived:
        return
    name, time = loaded.table.name, loaded.table.time
    intake.store.run(
        query("accounts_of_their_day", name=name, time=time, accounts_now=ACCOUNTS_NOW)
    )
    unpaid = "account_id IN (SELECT account_id FROM never_paid)"
    ((rows, customers),) = intake.store.query(
        f"SELECT count(*), count(DISTINCT account_id) FROM {name} WHERE {unpaid}"
    )
    if rows:
        intake.store.run(f"DELETE FROM {name} WHERE {unpaid}")
        what = f"{count_of(rows, 'row')} of {count_of(customers, 'account')}"
        intake.notices.append((name, f"{what} without a paid contract: left out"))


def _cell(loaded: Loaded, name: str, kind: str) -> str:
    return name if name in loaded.columns else f"CAST(NULL AS {kind}) AS {name}"


def _paid(intake: Intake, contracts: Loaded) -> str:
    """SQL: the paid period of each contract, and the day its row became known."""
    days = [_cell(contracts, name, "DATE") for name in ("ended_on", "cancelled_on")]
    facts = [_cell(contracts, "plan", "VARCHAR"), _cell(contracts, "term_months", "INTEGER")]
    trial = "trial_ends_on" if "trial_ends_on" in contracts.columns else "started_on"
    replaced = "superseded_on" if contracts.has_versions else "CAST(NULL AS DATE) AS superseded_on"
    listed, arr = ", ".join([*days, *facts]), annual_revenue(contracts, intake.source("contracts"))
    known = contracts.known_on
    return query("paid", facts=listed, arr=arr, trial=trial, known=known, replaced=replaced)


def _sort_out_unpaid(intake: Intake) -> None:
    """Drop contracts without a paid day, and note how many there are."""
    unpaid = "unpaid AND superseded_on IS NULL"
    ((contracts, accounts),) = intake.store.query(
        f"SELECT count(*), count(DISTINCT customer) FROM paid_contracts WHERE {unpaid}"
    )
    intake.store.run("DELETE FROM paid_contracts WHERE unpaid")
    if contracts:
        what = f"{count_of(contracts, 'contract')} of {count_of(accounts, 'account')}"
        problem = "ended in the trial or were cancelled before they began: not counted as paid"
        intake.notices.append(("contracts", f"{what} {problem}"))


def _note_states(intake: Intake, contracts: Loaded) -> None:
    """Note contracts whose status contradicts how they are counted."""
    if "status" not in contracts.columns:
        return
    ended = "ended_on" if "ended_on" in contracts.columns else "CAST(NULL AS DATE)"
    newest = "WHERE superseded_on IS NULL" if contracts.has_versions else ""
    counts = intake.store.query(query("states_of_contracts", ended=ended, newest=newest))
    unpaid = UNPAID if "trial_ends_on" in contracts.columns else f"trial|{UNPAID}"
    for status, without_end, number in counts:
        if status is None:
            continue
        if without_end and re.search(OVER, status.lower()):
            what = f"{count_of(without_end, 'contract')} with status {status!r} but without an end"
            message = f"{what}: counted as open until ended_on is given"
        elif re.search(unpaid, status.lower()):
            what = f"{count_of(number, 'contract')} with status {status!r}"
            message = f"{what}, counted as paid. To leave them out, list the others in where"
        else:
            continue
        intake.notices.append(("contracts", message))


def _refuse(intake: Intake, contracts: Loaded) -> bool:
    """Report faults that make it impossible to derive accounts; return whether there are any."""
    ((paid,),) = intake.store.query("SELECT count(*) FROM paid_contracts")
    clashing = intake.store.query(query("clashing"))
    file = contracts.parts[0][0].file if contracts.parts else None
    if not paid:
        problem, remedy = "no contract was ever paid", "Export the contracts again."
        intake.faults.append(Fault(file, "contracts", None, None, None, problem, remedy))
    for (account,) in clashing:
        problem = f"is also the id of a returning customer, with {RETURNED!r} and a number"
        remedy = "Rename the account."
        fault = Fault(file, "contracts", None, "account_id", account, problem, remedy)
        intake.faults.append(fault)
    return not paid or bool(clashing)


def _create_accounts(intake: Intake, contracts: Loaded) -> None:
    """Replace the table of accounts by one row per stay, with the attributes of the customer."""
    run, listed = intake.store.run, intake.loaded.get("accounts")
    ends = [name for name in ("ended_on",) if name in contracts.columns]
    derived = ["account_id", "started_on", *ends, *_known_of(contracts)]
    recorded, vanished = intake.store.query(
        "SELECT count(recorded_at), count(vanished_on) FROM derived_accounts"
    )[0]
    derived += ["recorded_at"] if recorded else []
    derived += ["vanished_on"] if vanished else []
    extras = ["plan"] if "plan" in contracts.columns else []
    selected = [f"d.{name}" for name in (*derived, *extras)]
    if "currency" in contracts.columns:
        derived.append("currency")
        selected.append("(SELECT max(upper(trim(currency))) FROM contracts) AS currency")
    customer, join = "d.customer", ""
    own: list[str] = []
    if listed is not None:
        run("ALTER TABLE accounts RENAME TO accounts_given")
        taken = {*derived, *extras, "recorded_at", "customer_id"}
        own = [name for name in (*listed.columns, *listed.extras) if name not in taken]
        selected += [_of_customer(name) for name in own]
        newest = ", recorded_at DESC NULLS LAST" if "recorded_at" in listed.columns else ""
        join = (
            " LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM accounts_given "
            f"ORDER BY account_id{newest}) AS g ON g.account_id = d.customer"
        )
        customer = (
            "coalesce(g.customer_id, d.customer)" if "customer_id" in listed.columns else customer
        )
    run(
        f"CREATE TABLE accounts AS SELECT {', '.join(selected)}, {customer} AS customer_id "
        f"FROM derived_accounts AS d{join}"
    )
    _note_differing_lists(intake, listed)
    table = BY_NAME["accounts"]
    columns = [c.name for c in table.columns if c.name in (*derived, *own, "customer_id")]
    unread = listed.unread if listed else []
    beyond = sorted({*extras, *(name for name in own if name not in columns)})
    intake.loaded["accounts"] = Loaded(
        table, columns, beyond, unread, rows=contracts.rows, derived=True, vanishes=bool(vanished)
    )
    run(query("accounts_now", accounts_now=ACCOUNTS_NOW))


def _known_of(contracts: Loaded) -> list[str]:
    """Return the columns of accounts that these contracts can fill."""
    says = {
        "end_known_on": "cancelled_on" in contracts.columns,
        "arr": bool({*AMOUNTS} & {*contracts.columns}),
        "term_months": "term_months" in contracts.columns,
    }
    return [name for name, is_said in says.items() if is_said]


def _of_customer(name: str) -> str:
    """SQL: a column of the customer; the end reason belongs to the last stay only."""
    cell = f"g.{quoted(name)}"
    if name != "end_reason":
        return cell
    last = "d.stay = max(d.stay) OVER (PARTITION BY d.customer)"
    return f"CASE WHEN {last} THEN {cell} END AS end_reason"


def _note_differing_lists(intake: Intake, listed: Loaded | None) -> None:
    """Note accounts without contracts, and contracts of accounts that are not listed."""
    every = "SELECT account_id FROM contracts"
    if listed is not None:
        every += " UNION SELECT account_id FROM accounts_given"
        ((without, beyond),) = intake.store.query(query("lists_differ"))
        lacking = " and ".join(name for name in LIFETIME if name not in listed.columns)
        notes = [f"no {lacking} here: accounts start and end by their contracts"]
        if without:
            notes.append(f"{count_of(without, 'account')} without a paid contract: left out")
        if beyond:
            notes.append(f"{count_of(beyond, 'account')} of contracts not listed here: added")
        intake.notices += [("accounts", note) for note in notes]
    intake.store.run(
        f"CREATE TABLE never_paid AS SELECT account_id FROM ({every}) "
        "WHERE account_id NOT IN (SELECT customer FROM paid_contracts)"
    )


def _fill_accounts(intake: Intake, contracts: Loaded) -> None:
    """Fill columns that accounts lack from contracts: ARR, term and notice."""
    accounts = intake.loaded["accounts"]
    for name in _known_of(contracts):
        if name in accounts.columns:
            continue
        kind = {"end_known_on": "DATE", "arr": "DECIMAL(18,2)"}.get(name, "INTEGER")
        intake.store.run(f"ALTER TABLE accounts ADD COLUMN {name} {kind}")
        intake.store.run(query("fill_accounts", name=name))
        accounts.columns.append(name)


def _create_changes(intake: Intake, contracts: Loaded) -> None:
    """Create the table of contract changes, unless it was read or there are none."""
    if "contract_changes" in intake.loaded:
        message = "not derived from contracts, since that table was read"
        intake.notices.append(("contract_changes", message))
        return
    ((changes,),) = intake.store.query("SELECT count(*) FROM derived_changes")
    if not changes:
        return
    corrected = ["recorded_at"] if contracts.has_versions else []
    known = _known_of(contracts)
    columns = ["account_id", "changed_at", "kind"]
    columns += [ours for ours, of in (("arr_delta", "arr"), ("term_months",) * 2) if of in known]
    listed = ", ".join([*columns, *corrected])
    intake.store.run(f"CREATE TABLE contract_changes AS SELECT {listed} FROM derived_changes")
    table = BY_NAME["contract_changes"]
    intake.loaded["contract_changes"] = Loaded(
        table, [*columns, *corrected], [], rows=int(changes), derived=True
    )


ARR_DIFFERS = 0.01
"""Difference of two amounts, as a share of the larger, up to which it is not reported."""


def compare_with_accounts(intake: Intake, gap: int) -> None:
    """Note where accounts and contracts disagree; the values of accounts are used."""
    columns = intake.loaded["accounts"].columns
    newest = ", recorded_at DESC NULLS LAST" if "recorded_at" in columns else ""
    arr = "arr" if "arr" in columns else "CAST(NULL AS DECIMAL(18,2))"
    sql = query("differences", arr=arr, newest=newest, gap=gap, share=ARR_DIFFERS)
    counts = intake.store.query(sql)[0]
    whats = (
        "{} without a paid contract",
        "{} of contracts not listed in accounts: left out",
        f"{{}} started more than {gap} days before or after the first contract",
        f"{{}} ended more than {gap} days before or after the last contract",
        "{} ended, but with an open contract",
        "{} active, but without an open contract",
        "{} with another ARR at the start than the contracts of that day",
    )
    found = [
        what.format(count_of(count, "account"))
        for what, count in zip(whats, counts, strict=True)
        if count
    ]
    if found:
        message = f"{'; '.join(found)}. Start, end and ARR are those of accounts"
        intake.notices.append(("contracts", message))
