"""Checks of the rows of tables in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from leadsignal.arguments import HOW_PERIODS_ARE_WRITTEN
from leadsignal.errors import Fault, near
from leadsignal.ingestion.cells import FIRST_DAY, LAST_DAY, LOOKS_LIKE_DATE, numbered
from leadsignal.ingestion.check_report import Check, Loaded
from leadsignal.ingestion.column_matching import Spelling, spellings_of_dates, spellings_of_numbers
from leadsignal.ingestion.contracts import months_in, period_of
from leadsignal.ingestion.loading import Intake
from leadsignal.ingestion.opened_files import source_rows
from leadsignal.ingestion.rows_of_accounts import (
    ACCOUNTS_NOW,
    NO_ACCOUNT,
    ROWS,
    account_checks,
    create_accounts_now,
    currency_checks,
    match_written_ids,
    with_accounts,
)
from leadsignal.ingestion.store import HAS_OFFSET, ORIGINAL
from leadsignal.schema import BY_NAME, LARGEST_NUMBER, Column
from leadsignal.sources.csv_files import HELD
from leadsignal.sources.parts import literal, literals, quoted

MAX_SHOWN = 40
"""Maximum number of characters of a cell shown in a message."""


def check_rows(
    intake: Intake, loaded: Loaded, lost: frozenset[str], every_row: bool
) -> Iterator[tuple[list[int], list[Fault], int]]:
    """Yield, for each failed check, the rows, the faults listed, and the number of further faults.

    ``lost`` are accounts that were dropped; rows that belong to them are dropped too. Without
    ``every_row``, only the rows of the listed faults are returned.
    """
    if loaded.table.name == "accounts" and "started_on" in loaded.columns:
        create_accounts_now(intake, loaded)
    checks = [*_cell_checks(intake, loaded), *_order_checks(loaded)]
    checks += account_checks(intake, loaded, lost) if "accounts" in intake.loaded else []
    counts = _counts(intake, loaded, checks)
    unknown = [at for at, check in enumerate(checks) if check.problem == NO_ACCOUNT]
    if any(counts[at] for at in unknown):
        remark = match_written_ids(intake.store, loaded.table.name, ACCOUNTS_NOW)
        if remark:
            intake.notices.append((loaded.table.name, remark))
            counts = _counts(intake, loaded, checks)
    for check, count in zip(checks, counts, strict=True):
        if count:
            yield _found(intake, loaded, check, count, _rows(intake, loaded, check, every_row))
    for check, rows in _repeats(intake, loaded):
        yield _found(intake, loaded, check, len(rows), rows)


def _counts(intake: Intake, loaded: Loaded, checks: list[Check]) -> tuple[int, ...]:
    listed = ", ".join(f"count(*) FILTER (WHERE {check.condition})" for check in checks)
    return intake.store.query(f"SELECT {listed} FROM {with_accounts(intake, loaded)}")[0]


def _rows(intake: Intake, loaded: Loaded, check: Check, every_row: bool) -> list[int]:
    limit = "" if every_row else f" LIMIT {HELD}"
    found = intake.store.query(
        f"SELECT t.rowid FROM {with_accounts(intake, loaded)} WHERE {check.condition} "
        f"ORDER BY t.rowid{limit}"
    )
    return [row for (row,) in found]


def _found(
    intake: Intake, loaded: Loaded, check: Check, count: int, rows: list[int]
) -> tuple[list[int], list[Fault], int]:
    value = check.value or f"t.{quoted(check.column)}"
    listed = rows[:HELD]
    row_ids = ", ".join(map(str, listed))
    values = {
        row: (text, detail)
        for row, text, detail in intake.store.query(
            f"SELECT t.rowid, CAST({value} AS VARCHAR), {check.detail or 'NULL'} "
            f"FROM {with_accounts(intake, loaded)} WHERE t.rowid IN ({row_ids})"
        )
    }
    places = source_rows(intake.store.query, loaded.table.name, listed) if loaded.selected else {}
    listed_at = [places.get(row, row) for row in listed]
    faults = []
    for row, place, at in zip(listed, listed_at, loaded.places(listed_at), strict=True):
        shown = _shown(loaded, check.column, values[row][0])
        said = check.problem, _remedy(check, loaded, *values[row])
        fault = Fault(at[0], loaded.table.name, at[1], check.column, shown, *said)
        faults.append(loaded.placed(fault, place))
    return rows, faults, count - len(faults)


def _shown(loaded: Loaded, name: str, value: str | None) -> str | None:
    """Return the part of a cell that a message may show: nothing of a text, else the beginning.

    Texts may contain names and personal statements, which do not belong in logs. Currencies are
    shown.
    """
    column = loaded.table.by_column.get(name)
    is_text = column is not None and column.kind == "text" and not column.allowed
    if value is None or (is_text and name != loaded.currency):
        return None
    return value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"


def _remedy(check: Check, loaded: Loaded, value: str | None, detail: str | None) -> str:
    column = loaded.table.by_column.get(check.column)
    if check.detail:
        return f"{check.remedy}: {detail}." if detail else f"{check.remedy}."
    if column is None or not column.allowed or value is None:
        return check.remedy
    meant = near(value.strip(), column.allowed)
    return f"Did you mean {meant!r}? {check.remedy}" if meant else check.remedy


def _cell_checks(intake: Intake, loaded: Loaded) -> Iterator[Check]:
    unread = _unread_cells(intake, loaded)
    for name in loaded.columns:
        column = loaded.table.by_column[name]
        if column.kind in ("day", "moment"):
            if name in unread:
                yield from _time_checks(intake, loaded, column)
            else:
                yield from _offset_checks(intake, loaded, column)
        elif column.kind not in ("id", "text"):
            yield from _number_checks(intake, loaded, column, name in unread)
        yield from _rule_checks(column)
        if column.is_money:
            yield from currency_checks(intake, loaded, column)
    yield from _attribute_checks(intake, loaded)
    if loaded.table.name == "contracts":
        yield from _period_checks(intake, loaded)


def _period_checks(intake: Intake, loaded: Loaded) -> Iterator[Check]:
    """Check that each contract amount has a valid billing period."""
    if "amount" not in loaded.columns:
        return
    period = period_of(loaded, intake.source("contracts"))
    column = "period" if "period" in loaded.columns else "amount"
    remedy = f'{HOW_PERIODS_ARE_WRITTEN}, or set period = "month" under [tables.contracts].'
    lacking, given = f"t.amount IS NOT NULL AND {period} IS NULL", f"{period} IS NOT NULL"
    yield Check(column, lacking, "nothing says what period the amount is for", remedy)
    yield Check(column, f"{given} AND {months_in(period)} IS NULL", "is not a period", remedy)


def _unread_cells(intake: Intake, loaded: Loaded) -> frozenset[str]:
    """Return the columns in which some cells could not be read."""
    kinds = {name: loaded.table.by_column[name].kind for name in loaded.columns}
    names = [name for name, kind in kinds.items() if kind not in ("id", "text")]
    if not names:
        return frozenset()
    counted = ", ".join(f"count({quoted(ORIGINAL + name)})" for name in names)
    (counts,) = intake.store.query(f"SELECT {counted} FROM {loaded.table.name}")
    return frozenset(name for name, count in zip(names, counts, strict=True) if count)


def _spelt_checks(
    loaded: Loaded,
    column: Column,
    original: str,
    spellings: Iterable[Spelling],
    what: str,
    declared: str = "",
) -> Iterator[Check]:
    """Yield a check for each notation found in unread cells."""
    section = f"[tables.{loaded.table.name}]"
    for one in spellings:
        condition = f"{original} IS NOT NULL AND {one.condition}"
        problem = f"is not read as {what}: it {one.what}"
        remedy = f"{declared} {one.how_to_read(section)}".strip()
        yield Check(column.name, condition, problem, remedy, original)


def _time_checks(intake: Intake, loaded: Loaded, column: Column) -> Iterator[Check]:
    original = f"t.{quoted(ORIGINAL + column.name)}"
    shaped = f"regexp_full_match({original}, {literal(LOOKS_LIKE_DATE)})"
    early, late = FIRST_DAY[:4], LAST_DAY[:4]
    notation = intake.source(loaded.table.name).spelling
    spellings = list(
        spellings_of_dates(intake.store.query, loaded.table.name, original, notation)
        if loaded.table.name in BY_NAME
        else ()
    )
    declared = _how_dates_are_written(intake, loaded) if notation.dates else ""
    yield from _spelt_checks(loaded, column, original, spellings, "a date", declared)
    spelt = "".join(f" AND ({one.condition}) IS NOT TRUE" for one in spellings)
    known = f"{original} IS NOT NULL"
    problem = f"there is no such date, or it is outside {early} to {late}"
    remedy = "Correct the date; leave the cell empty if the event has not happened."
    yield Check(column.name, f"{known} AND {shaped}{spelt}", problem, remedy, original)
    remedy = _how_dates_are_written(intake, loaded)
    yield Check(column.name, f"{known} AND NOT {shaped}{spelt}", "is not a date", remedy, original)


def _how_dates_are_written(intake: Intake, loaded: Loaded) -> str:
    table = loaded.table.name
    order = " or ".join(intake.source(table).spelling.dates)
    if order:
        return f"Write {order}, as [tables.{table}] says, or year-month-day, as in 2023-04-03."
    ours = (
        "Write year-month-day, as in 2023-04-03, or a timestamp, as in 2023-04-03T17:30:00Z: "
        "03/04/2023 may be March or April."
    )
    if table not in BY_NAME:
        return ours
    return (
        f'{ours} If all have the same format, set it under [tables.{table}]: dates = "DD/MM/YYYY".'
    )


def _how_numbers_are_written(intake: Intake, loaded: Loaded) -> str:
    table = loaded.table.name
    sign = intake.source(table).spelling.decimal
    if sign:
        example = "1.234,50" if sign == "," else "1,234.50"
        return f"Write it as {example}, as [tables.{table}] says, without a unit except a currency."
    return (
        "Write it with a point and no separators or units, as in 1234.5; leave the cell empty "
        "where there is none. If all have the same format, set it under "
        f'[tables.{table}]: decimal = ",".'
    )


def _offset_checks(intake: Intake, loaded: Loaded, column: Column) -> Iterator[Check]:
    """Check that all times of a column have a UTC offset, or none; the minority is at fault."""
    offset = f"t.{quoted(HAS_OFFSET + column.name)}"
    ((having, lacking),) = intake.store.query(
        f"SELECT count(*) FILTER (WHERE {offset}), count(*) FILTER (WHERE NOT {offset}) "
        f"FROM {loaded.table.name} t"
    )
    if having and lacking:
        odd = offset if having < lacking else f"NOT {offset}"
        what = "has an" if having < lacking else "has no"
        problem = f"mixed time zones: this time {what} offset, unlike most of the column"
        zone = intake.project.timezone
        remedy = f"Write all times the same way; those without an offset are read as {zone} time."
        yield Check(column.name, odd, problem, remedy)


def _number_checks(
    intake: Intake, loaded: Loaded, column: Column, some_unread: bool
) -> Iterator[Check]:
    original, cell = f"t.{quoted(ORIGINAL + column.name)}", f"t.{quoted(column.name)}"
    notation = intake.source(loaded.table.name).spelling
    plain = numbered(original, notation.decimal)
    as_it_is = f"TRY_CAST({original} AS DOUBLE), " if notation.decimal is None else ""
    number = f"coalesce(isfinite(coalesce({as_it_is}TRY_CAST({plain} AS DOUBLE))), false)"
    if some_unread:
        yield from _unread_numbers(intake, loaded, column, number)
    if column.limit is None:
        return
    remedy = f"It must be below {column.limit:,}: correct it, or count in a larger unit."
    large = f"abs({cell}) >= {column.limit}"
    yield Check(column.name, large, "is too large", remedy)
    if column.kind == "decimal":
        if some_unread:
            large = f"{original} IS NOT NULL AND {number}"
            yield Check(column.name, large, "is too large", remedy, original)
        yield from _total_checks(intake, loaded, column)


def _unread_numbers(intake: Intake, loaded: Loaded, column: Column, number: str) -> Iterator[Check]:
    """Yield checks for cells that are not numbers; ``number`` is the SQL condition for a number."""
    original, cell = f"t.{quoted(ORIGINAL + column.name)}", f"t.{quoted(column.name)}"
    notation = intake.source(loaded.table.name).spelling
    spellings: list[Spelling] = []
    if column.kind != "boolean" and loaded.table.name in BY_NAME:
        query = intake.store.query
        spellings += spellings_of_numbers(query, loaded.table.name, original, cell, notation)
    said = {"boolean": "true or false", "integer": "a whole number"}.get(column.kind, "a number")
    how = {"boolean": "Write true or false.", "integer": "Write it without decimals, as in 12."}
    yield from _spelt_checks(loaded, column, original, spellings, said)
    other = f"{original} IS NOT NULL" + (f" AND NOT {number}" * (column.kind == "decimal"))
    other += "".join(f" AND ({one.condition}) IS NOT TRUE" for one in spellings)
    remedy = how.get(column.kind, _how_numbers_are_written(intake, loaded))
    yield Check(column.name, other, f"is not {said}", remedy, original)


def _total_checks(intake: Intake, loaded: Loaded, column: Column) -> Iterator[Check]:
    """Check that a column can be summed exactly; its largest values are at fault."""
    cell, limit = f"abs(t.{quoted(column.name)})", column.total_limit
    ((total, rows),) = intake.store.query(
        f"SELECT sum({cell}), count({cell}) FROM {loaded.table.name} t"
    )
    if limit is not None and total is not None and total >= limit:
        problem = f"the column adds up to {total:,.0f}; sums are exact below {limit:,}"
        remedy = "Correct it, or count in a larger unit."
        yield Check(column.name, f"{cell} >= {limit} / (2.0 * {rows})", problem, remedy)


def _rule_checks(column: Column) -> Iterator[Check]:
    cell = f"t.{quoted(column.name)}"
    if column.required:
        unread = f" AND t.{quoted(ORIGINAL + column.name)} IS NULL"
        empty = f"{cell} IS NULL{unread * (column.kind not in ('id', 'text'))}"
        yield Check(column.name, empty, "is empty", f"Give {column.meaning}.")
    if column.allowed:
        remedy = f"Allowed: {', '.join(column.allowed)}."
        other = f"{cell} NOT IN ({literals(column.allowed)})"
        yield Check(column.name, other, "is not allowed", remedy)
    if column.minimum is not None:
        least, remedy = f"{column.minimum:g}", f"Correct it; it is {column.meaning}."
        yield Check(column.name, f"{cell} < {least}", f"is below {least}", remedy)


def _attribute_checks(intake: Intake, loaded: Loaded) -> Iterator[Check]:
    if loaded.table.name != "accounts":
        return
    for name, kind in intake.source("accounts").attribute_kinds.items():
        if kind == "number" and name in loaded.extras:
            cell = f"t.{quoted(name)}"
            number = f"coalesce(abs(TRY_CAST({cell} AS DOUBLE)) < {LARGEST_NUMBER}, false)"
            remedy = 'Correct it (numbers are below 1e15), or declare the attribute as "text".'
            yield Check(name, f"{cell} IS NOT NULL AND NOT {number}", "is not a number", remedy)


def _order_checks(loaded: Loaded) -> Iterator[Check]:
    for earlier, later in loaded.table.ordered:
        if earlier in loaded.columns and later in loaded.columns:
            problem, remedy = f"is before {earlier}", "Correct one of the two dates"
            detail = f"concat('{earlier} is ', t.{earlier})"
            yield Check(later, f"t.{later} < t.{earlier}", problem, remedy, detail=detail)


def _repeats(intake: Intake, loaded: Loaded) -> Iterator[tuple[Check, list[int]]]:
    """Find repeated keys, keys that belong to several accounts, and repeated rows."""
    table = loaded.table
    keyed = table.key is not None and table.key in loaded.columns
    versions = keyed and "recorded_at" in loaded.columns
    repeated: list[int] = []
    if keyed and not versions:
        key = str(table.key)
        repeated = _later_of(intake, loaded, [key], f"{key} IS NOT NULL")
        remedy = "Give each its own; for versions of a row, add recorded_at to the table."
        if key == "account_id":
            remedy += " If each row is a contract, call the table contracts: docs/tables.md."
        if repeated:
            yield Check(key, "", "appears in an earlier row too", remedy), repeated
    if versions and table.key != "account_id":
        sql = ROWS["changed_hands"].format(key=table.key, table=table.name)
        remedy = "Give the rows of each account keys of their own."
        if moved := [row for (row,) in intake.store.query(sql)]:
            yield Check(str(table.key), "", "belongs to another account too", remedy), moved
    if table.repeats == "fault" or versions:
        every = _later_of(intake, loaded, loaded.columns, "account_id IS NOT NULL")
        if rows := sorted(set(every) - set(repeated)):
            check = Check("account_id", "", "repeats an earlier row", "Delete one of the two.")
            yield check, rows


def _later_of(intake: Intake, loaded: Loaded, columns: list[str], where: str) -> list[int]:
    """Return the rows that repeat an earlier row in the given columns."""
    listed = ", ".join(map(quoted, columns))
    name = loaded.table.name
    ((repeated,),) = intake.store.query(
        f"SELECT count(*) FROM (SELECT 1 FROM {name} WHERE {where} GROUP BY {listed} "
        "HAVING count(*) > 1)"
    )
    if not repeated:
        return []
    rows = intake.store.query(ROWS["later_of"].format(columns=listed, table=name, where=where))
    return [row for (row,) in rows]
