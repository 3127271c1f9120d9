"""Match rows with accounts: unknown accounts, differing ids, rows outside an account's life."""

from __future__ import annotations

from collections.abc import Iterator

from leadsignal.ingestion.loaded_table import Check, Loaded
from leadsignal.ingestion.loading import Intake
from leadsignal.ingestion.store import Store
from leadsignal.package_data import packaged_queries
from leadsignal.phrases import count_of
from leadsignal.schema import READ_FIRST
from leadsignal.sources.parts import literal

ROWS = packaged_queries("leadsignal.ingestion", "rows.sql")
ACCOUNTS_NOW = "accounts_now"
ALONE = ("accounts", *(table.name for table in READ_FIRST))
"""Tables that are checked on their own, before accounts exist."""
NO_ACCOUNT = "no such account in accounts"


def create_accounts_now(intake: Intake, loaded: Loaded) -> None:
    """Create the table of each account's start and end, as last recorded."""
    columns = [name for name in ("started_on", "ended_on") if name in loaded.columns]
    ended = "" if "ended_on" in columns else ", CAST(NULL AS DATE) AS ended_on"
    latest = "recorded_at DESC NULLS LAST, " if "recorded_at" in loaded.columns else ""
    intake.store.run(
        f"CREATE OR REPLACE TABLE {ACCOUNTS_NOW} AS SELECT DISTINCT ON (account_id) "
        f"account_id, {', '.join(columns)}{ended} FROM accounts WHERE account_id IS NOT NULL "
        f"ORDER BY account_id, {latest}rowid"
    )


def with_accounts(intake: Intake, loaded: Loaded) -> str:
    """Return SQL for a table as ``t``, joined with the account of each row as ``a``."""
    if loaded.table.name in ALONE or "accounts" not in intake.loaded:
        return f"{loaded.table.name} t"
    return f"{loaded.table.name} t LEFT JOIN {ACCOUNTS_NOW} a ON t.account_id = a.account_id"


def account_checks(intake: Intake, loaded: Loaded, lost: frozenset[str]) -> Iterator[Check]:
    """Check that the account of each row exists, and that the row falls within its lifetime."""
    if loaded.table.name in ALONE:
        return
    gone = f"t.account_id IN ({', '.join(map(literal, sorted(lost)))})" if lost else "false"
    problem, remedy = "belongs to an account that is dropped", "Correct the account in accounts."
    yield Check("account_id", gone, problem, remedy)
    unknown = f"t.account_id IS NOT NULL AND a.account_id IS NULL AND NOT {gone}"
    remedy = "Add the account, or correct the id"
    yield Check("account_id", unknown, NO_ACCOUNT, remedy, detail=_near_account())
    if intake.source(loaded.table.name).outside == "exclude":
        return
    early, late = outside_life(loaded.table.time)
    for condition, side, edge in ((early, "before", "start"), (late, "after", "end")):
        remedy = f"Correct the date, or the account's {edge}ed_on"
        detail = f"concat('account ', t.account_id, ' {edge}s on ', a.{edge}ed_on)"
        problem = f"is {side} the account's {edge}"
        yield Check(loaded.table.time, condition, problem, remedy, detail=detail)


def _near_account() -> str:
    """SQL: the account with the same id in another notation, and how the two differ."""
    return ROWS["near_account"].format(
        accounts=ACCOUNTS_NOW,
        whole_ours=_whole("lower", "min(n.account_id)"),
        whole_theirs=_whole("lower", "t.account_id"),
        bare_ours=_bare("n.account_id"),
        bare_theirs=_bare("t.account_id"),
    )


def _whole(function: str, text: str) -> str:
    return f"regexp_replace({function}({text}), '[.]0+ *$', '')"


def _bare(text: str) -> str:
    """SQL: an id without the characters that exports may add or drop."""
    short = f"regexp_replace(trim({text}), '^([A-Za-z0-9]{{15}})[A-Za-z0-9]{{3}}$', '\\1')"
    return f"ltrim({_whole('lower', short)}, '0')"


def outside_life(time: str) -> tuple[str, str]:
    """Return SQL, for any engine, for a row before its account's start, and one after its end."""
    return f"t.{time} < a.started_on", f"t.{time} > a.ended_on AND a.ended_on >= a.started_on"


def leave_out_outside(intake: Intake, loaded: Loaded) -> int:
    """Delete rows before their account's start or after its end, and note how many."""
    name = loaded.table.name
    if intake.source(name).outside != "exclude" or {name, "accounts"} - intake.loaded.keys():
        return 0
    early, late = outside_life(loaded.table.time)
    ((before, after),) = intake.store.query(
        f"SELECT count(*) FILTER (WHERE {early}), count(*) FILTER (WHERE {late}) "
        f"FROM {with_accounts(intake, loaded)}"
    )
    if before or after:
        intake.store.run(
            f"DELETE FROM {name} AS t USING {ACCOUNTS_NOW} AS a "
            f"WHERE t.account_id = a.account_id AND ({early} OR {late})"
        )
        intake.notices.append((name, outside_message(name, before, after)))
    return int(before + after)


def leave_out_unknown(intake: Intake, loaded: Loaded) -> None:
    """Delete rows without an account, or of one not in accounts, if the settings ask for it."""
    name = loaded.table.name
    if intake.source(name).unknown != "exclude" or {name, "accounts"} - intake.loaded.keys():
        return
    stranger = f"account_id IS NULL OR account_id NOT IN (SELECT account_id FROM {ACCOUNTS_NOW})"
    ((empty, others),) = intake.store.query(
        f"SELECT count(*) FILTER (WHERE account_id IS NULL), count(account_id) FROM {name}"
        f" WHERE {stranger}"
    )
    ((named,),) = intake.store.query(f"SELECT count(account_id) FROM {name}")
    if 2 * others > named:
        # If no id is known, they are probably written differently: keep them as faults.
        stranger, others = "account_id IS NULL", 0
    if empty or others:
        intake.store.run(f"DELETE FROM {name} WHERE {stranger}")
        message = (
            f"{count_of(empty + others, 'row')} left out: "
            + f"{empty:,} without an account" * bool(empty)
            + ", " * bool(empty and others)
            + f"{others:,} of accounts that are not in accounts" * bool(others)
        )
        intake.notices.append((name, message))


def outside_message(table: str, before: int, after: int) -> str:
    """Return the message on rows left out because they are outside their account's lifetime."""
    rows = count_of(before + after, "row")
    return (
        f"{rows} left out: {before:,} before the account's start, {after:,} after its end. "
        f'To treat them as faults, set outside = "fault" under [tables.{table}]'
    )


RULES: tuple[tuple[str, str], ...] = (
    ("a .0 behind whole numbers", "regexp_replace({}, '^([0-9]+)[.]0+$', '\\1')"),
    ("zeros before numbers", "regexp_replace({}, '^0+([0-9]+)$', '\\1')"),
    (
        "15 or 18 characters of an id",
        "CASE WHEN regexp_full_match({0}, '[A-Za-z0-9]{{18}}') THEN left({0}, 15) ELSE {0} END",
    ),
)
"""Characters that exports add to an id or drop from it, and SQL for the id without them."""


def match_written_ids(store: Store, table: str, accounts: str) -> str | None:
    """Replace the ids of a table by those of accounts; return a notice, or None without changes.

    Ids are replaced only if exactly one rule matches all of them with accounts, one to one.
    """
    found = [(what, rule) for what, rule in RULES if _explains(store, table, accounts, rule)]
    if len(found) != 1:
        return None
    ((what, rule),) = found
    ours, theirs = rule.format("a.account_id"), rule.format("t.account_id")
    ((ids,),) = store.query(
        f"SELECT count(DISTINCT t.account_id) FROM {table} t "
        f"ANTI JOIN {accounts} a ON t.account_id = a.account_id"
    )
    store.run(
        f"UPDATE {table} AS t SET account_id = a.account_id FROM {accounts} AS a "
        f"WHERE {theirs} = {ours} AND t.account_id <> a.account_id"
    )
    return (
        f"{count_of(ids, 'account id')} differ{'s' * (ids == 1)} from accounts only "
        f"by {what}, one to one: matched"
    )


def _explains(store: Store, table: str, accounts: str, rule: str) -> bool:
    """Return whether a rule matches all ids of a table with accounts, one to one."""
    bare = rule.format("account_id")
    sql = ROWS["explained"].format(bare=bare, table=table, accounts=accounts)
    ((ids, bare_ids, known),) = store.query(sql)
    return bool(ids == bare_ids == known)
