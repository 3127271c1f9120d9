"""Match rows with accounts and with their lives, and convert their amounts to one currency."""

from __future__ import annotations

from collections.abc import Iterator

from leadsignal.config.project import YEN_OR_YUAN
from leadsignal.errors import Fault, near
from leadsignal.formats import count_of
from leadsignal.ingestion.check_report import Check, Loaded
from leadsignal.ingestion.loading import Intake
from leadsignal.ingestion.store import CURRENCY_OF, Store
from leadsignal.package_data import packaged_queries
from leadsignal.schema import BY_NAME, READ_FIRST, Column
from leadsignal.sources.parts import literal, literals, quoted

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


RATES = "rates_by_day"
MAX_LISTED = 4
CODE = "upper(trim(currency))"


def currency_checks(intake: Intake, loaded: Loaded, amount: Column) -> Iterator[Check]:
    """Check that all amounts are in one currency, or that each currency has a rate."""
    written = [(amount.name, f"t.{quoted(CURRENCY_OF + amount.name)}")]
    if loaded.currency:
        written.append((loaded.currency, _named(loaded.currency)))
    for column, currency in written:
        condition = f"{currency} IS NOT NULL AND t.{quoted(amount.name)} IS NOT NULL"
        counts = intake.store.query(
            f"SELECT {currency}, count(*) AS n FROM {loaded.table.name} t WHERE {condition} "
            "GROUP BY 1 ORDER BY n DESC, 1"
        )
        if intake.project.currency.base:
            yield from _without_rate(intake, column, currency, condition, dict(counts))
        elif len(counts) > 1:
            shown = counts[:MAX_LISTED]
            listed = ", ".join(f"{name} in {count_of(count, 'row')}" for name, count in shown)
            several = f"amounts are in {len(counts)} currencies ({listed})"
            remedy = (
                'Say what to convert them to and at which rate: [currency], base = "EUR", '
                f"USD = 0.92; if {amount.name} is converted already, take the currencies out"
            )
            other = f"{condition} AND {currency} <> {literal(counts[0][0])}"
            problem = f"{several}, and {amount.name} is summed"
            yield Check(column, other, problem, remedy, currency, detail="NULL")


def _named(column: str) -> str:
    return f"upper(nullif(trim(t.{quoted(column)}), ''))"


def _without_rate(
    intake: Intake, column: str, currency: str, condition: str, counts: dict[str, int]
) -> Iterator[Check]:
    known = _known(intake)
    missing = {name: count for name, count in counts.items() if _meant(intake, name) not in known}
    if not missing:
        return
    listed = ", ".join(f"{name} in {count_of(count, 'row')}" for name, count in missing.items())
    meant = [f"{near(name, known)} for {name}" for name in missing if near(name, known)]
    hint = f"Did you mean {', '.join(meant)}? " if meant else ""
    example = next(iter(missing))
    written = quoted(example) if len(example) < 3 else example
    remedy = f"{hint}Add it under [currency], as in {written} = 0.92, or to exchange_rates"
    problem = f"there is no rate to {intake.project.currency.base} for {listed}"
    lacking = f"{condition} AND {currency} IN ({literals(missing)})"
    yield Check(column, lacking, problem, remedy, currency, detail="NULL")


def _known(intake: Intake) -> set[str]:
    stated = intake.project.currency
    known = {str(stated.base), *stated.rates}
    if "exchange_rates" in intake.loaded:
        known |= {
            code for (code,) in intake.store.query(f"SELECT DISTINCT {CODE} FROM exchange_rates")
        }
    return known


def _meant(intake: Intake, code: str) -> str:
    """Return the currency of a sign; ¥ is whichever of yen and yuan has a rate."""
    known = _known(intake)
    two = [name for name in ("JPY", "CNY") if name in known]
    return two[0] if code == YEN_OR_YUAN not in known and len(two) == 1 else code


def settle_rates(intake: Intake) -> None:
    """Create the table of rates by currency and day, from the settings and exchange_rates."""
    stated, dated = intake.project.currency, "exchange_rates" in intake.loaded
    if stated.base is None:
        if dated:
            problem, remedy = "there are rates and no base", 'Add base = "EUR" under [currency].'
            fault = Fault(None, "exchange_rates", None, None, None, problem, remedy)
            intake.faults.append(fault)
        return
    rows = [
        f"SELECT {literal(code)} AS currency, NULL::DATE AS since, NULL::DATE AS until, {rate!r} AS"
        " rate"
        for code, rate in {**stated.rates, stated.base: 1.0}.items()
    ]
    if dated:
        own = ", ".join(map(literal, (stated.base, *stated.rates)))
        rows.append(
            f"SELECT {CODE}, CASE WHEN lag(valid_on) OVER mine IS NOT NULL THEN valid_on END, "
            f"lead(valid_on) OVER mine, rate FROM exchange_rates WHERE {CODE} NOT IN ({own}) "
            f"WINDOW mine AS (PARTITION BY {CODE} ORDER BY valid_on)"
        )
        intake.faults += _two_rates_of_a_day(intake)
    intake.store.run(f"CREATE OR REPLACE TABLE {RATES} AS {' UNION ALL '.join(rows)}")


def _two_rates_of_a_day(intake: Intake) -> Iterator[Fault]:
    twice = intake.store.query(
        f"SELECT {CODE}, min(valid_on), count(*) FROM (SELECT currency, valid_on FROM "
        f"exchange_rates GROUP BY ALL HAVING count(DISTINCT rate) > 1) GROUP BY 1 ORDER BY 1"
    )
    for code, day, number in twice:
        problem = f"{code} has several rates on {count_of(number, 'day')}, first on {day}"
        yield Fault(None, "exchange_rates", None, "rate", None, problem, "Keep one rate per day.")


def convert_amounts(intake: Intake, loaded: Loaded) -> None:
    """Convert a table's amounts to the base currency, at the rate on the date of each row.

    The first rate of a currency also applies to earlier dates.
    """
    base, name = intake.project.currency.base, loaded.table.name
    amounts = [c for c in loaded.columns if BY_NAME[name].by_column[c].is_money]
    if base is None or not amounts:
        return
    for amount in amounts:
        ways = [_named(loaded.currency)] if loaded.currency else []
        currency = f"coalesce({', '.join([*ways, f't.{quoted(CURRENCY_OF + amount)}'])})"
        yen = literal(_meant(intake, YEN_OR_YUAN))
        currency = f"CASE {currency} WHEN {literal(YEN_OR_YUAN)} THEN {yen} ELSE {currency} END"
        intake.faults += _too_large(intake, name, amount, currency)
        _note_conversion(intake, name, amount, currency)
        if not intake.faults:
            intake.store.run(
                f"UPDATE {name} AS t SET {amount} = round(t.{amount} * r.rate, 2) "
                f"FROM {RATES} AS r WHERE {_on_its_day(currency, loaded.table.time)} "
                f"AND r.currency <> {literal(base)}"
            )
    if loaded.currency in loaded.columns:
        intake.store.run(f"UPDATE {name} SET currency = {literal(base)}")


def _on_its_day(currency: str, time: str) -> str:
    return (
        f"r.currency = {currency} AND coalesce(t.{time} >= r.since, true) "
        f"AND coalesce(t.{time} < r.until, true)"
    )


def _too_large(intake: Intake, name: str, amount: str, currency: str) -> Iterator[Fault]:
    column = BY_NAME[name].by_column[amount]
    same = _on_its_day(currency, BY_NAME[name].time)
    ((count,),) = intake.store.query(
        f"SELECT count(*) FROM {name} AS t JOIN {RATES} AS r ON {same} "
        f"WHERE abs(t.{amount} * r.rate) >= {column.limit}"
    )
    if count:
        problem = f"{count_of(count, 'amount')} too large in {intake.project.currency.base}"
        remedy = "Correct the rate: it is what one unit is worth in the base."
        yield Fault(None, name, None, amount, None, problem, remedy)


def _note_conversion(intake: Intake, name: str, amount: str, currency: str) -> None:
    """Note which amounts are converted, and how many are assumed to be in the base currency."""
    base = str(intake.project.currency.base)
    counts = dict(
        intake.store.query(
            f"SELECT {currency}, count(*) AS n FROM {name} AS t WHERE t.{amount} IS NOT NULL "
            "GROUP BY 1 ORDER BY n DESC, 1"
        )
    )
    unnamed = counts.pop(None, 0)
    if unnamed and counts:
        message = f"{count_of(unnamed, 'value')} of {amount} without a currency: taken for {base}"
        intake.notices.append((name, message))
    others = [f"{code} ({count_of(n, 'row')})" for code, n in counts.items() if code != base]
    if others:
        message = f"{amount} in {', '.join(others)}: converted to {base}"
        intake.notices.append((name, message))
