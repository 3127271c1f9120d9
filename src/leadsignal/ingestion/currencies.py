"""Convert amounts in several currencies to one, or refuse them."""

from __future__ import annotations

from collections.abc import Iterator

from leadsignal.config.project import YEN_OR_YUAN
from leadsignal.config.toml_files import near
from leadsignal.errors import Fault
from leadsignal.ingestion.loaded_table import Check, Loaded
from leadsignal.ingestion.loading import Intake
from leadsignal.ingestion.store import CURRENCY_OF
from leadsignal.phrases import count_of
from leadsignal.schema import BY_NAME, Column
from leadsignal.sources.parts import literal, quoted

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
            yield Check(
                column,
                f"{condition} AND {currency} <> {literal(counts[0][0])}",
                f"amounts are in {len(counts)} currencies ({listed}), and {amount.name} is summed",
                'Say what to convert them to and at which rate: [currency], base = "EUR", '
                f"USD = 0.92; if {amount.name} is converted already, take the currencies out",
                currency,
                detail="NULL",
            )


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
    yield Check(
        column,
        f"{condition} AND {currency} IN ({', '.join(map(literal, missing))})",
        f"there is no rate to {intake.project.currency.base} for {listed}",
        f"{hint}Add it under [currency], as in {quoted(example) if len(example) < 3 else example}"
        " = 0.92, or to exchange_rates",
        currency,
        detail="NULL",
    )


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
