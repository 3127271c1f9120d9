"""Sections ``[sources.NAME]`` and ``[tables.NAME]``: where tables are, and how they are read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from leadsignal.arguments import a_period
from leadsignal.config.credentials import (
    Source,
    a_driver,
    a_url,
    a_variable,
    is_secret_name,
    is_url,
    refuse_unknown,
    secret_in,
)
from leadsignal.config.toml_files import (
    Settings,
    a_day,
    a_duration,
    a_text,
    a_value_of,
    texts,
    whole,
)
from leadsignal.errors import OptionError, near, one_of
from leadsignal.schema import ALL_TABLES, BY_NAME

EPOCHS = {"epoch": 1, "epoch ms": 10**3, "epoch us": 10**6, "epoch ns": 10**9}
"""Units of dates given as time since 1970-01-01 UTC: their number per second."""
EXCEL = "excel"
"""Dates given as days since 1899-12-30, as in spreadsheets."""
_DATE_PART = re.compile(r"YYYY|YY|MMM|MM|M|DD|D|[^A-Z]+")
_TIME_OF_DATE = re.compile(r"[T ]+H{1,2}\b.*$")


@dataclass(frozen=True)
class Notation:
    """How to read the texts of a table.

    ``dates`` are date patterns such as "DD.MM.YYYY" or "epoch ms". ``decimal`` is the decimal
    separator ("." or ","); if it is given, grouped digits and a currency are read too. ``empty``
    are words that mean an empty cell. Typed columns (Parquet, databases) need none of these, except
    dates stored as numbers.
    """

    dates: tuple[str, ...] = ()
    decimal: str | None = None
    empty: tuple[str, ...] = ()


AS_WE_WRITE = Notation()
"""The default: dates as year-month-day, numbers with a decimal point and nothing else."""


def date_patterns(value: object) -> tuple[str, ...]:
    """Accept a date pattern, or a list of them.

    >>> date_patterns("dd.mm.yyyy"), date_patterns(["epoch ms", "DD-MMM-YY"])
    (('DD.MM.YYYY',), ('epoch ms', 'DD-MMM-YY'))
    """
    values = value if isinstance(value, list | tuple) and value else [value]
    patterns = tuple(map(_date_pattern, values))
    orders = {tuple(part[0] for part in parts_of(one) if part.isalpha()) for one in patterns}
    if {("D", "M", "Y"), ("M", "D", "Y")} <= orders:
        named = any("MMM" in one for one in patterns)
        if not named:
            raise OptionError("03/04/2023 would be ambiguous", "Keep one order of day and month")
    return patterns


def _date_pattern(value: object) -> str:
    words = " ".join(str(value).lower().replace("_", " ").split())
    if words in EPOCHS or words == EXCEL:
        return words
    pattern = _TIME_OF_DATE.sub("", str(value).strip().upper()).replace("MMMM", "MMM")
    parts = _DATE_PART.findall(pattern)
    kinds = sorted(part[0] for part in parts if part.isalpha())
    whole = "".join(parts) == pattern and kinds in (["D", "M", "Y"], ["M", "Y"])
    joined = whole and len(parts) == len(kinds) and "MMM" not in parts
    if not whole or (joined and {"D", "M"} & set(parts)):
        raise OptionError(
            "is not a date pattern",
            'Write it with DD, MM and YYYY, as "DD.MM.YYYY", "MM/DD/YY", "DD-MMM-YYYY" or '
            '"YYYYMMDD"; or "epoch", "epoch ms" or "excel"',
        )
    return pattern


def parts_of(pattern: str) -> list[str]:
    """Return the parts of a date pattern and the separators between them.

    >>> parts_of("DD.MM.YYYY"), parts_of("epoch")
    (['DD', '.', 'MM', '.', 'YYYY'], [])
    """
    return [] if pattern in EPOCHS or pattern == EXCEL else _DATE_PART.findall(pattern)


def a_decimal_sign(value: object) -> str:
    """Accept a decimal separator.

    >>> a_decimal_sign("comma"), a_decimal_sign(".")
    (',', '.')
    """
    sign = {"comma": ",", "point": "."}.get(str(value), str(value))
    if sign not in (",", "."):
        raise OptionError("is not a decimal sign", 'Write "," or "."')
    return sign


# Databases and stores -----------------------------------------------------------------------------


ELSEWHERE = (
    "Take it out, change it if others saw the file, and name an environment variable "
    "(password_env, url_env) or a credentials file outside the project"
)
_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
_SOURCE: dict[str, Callable[[Any], Any]] = {
    "url": a_url,
    "url_env": a_variable,
    "user_env": a_variable,
    "password_env": a_variable,
    "credentials": a_text,
    "driver": a_driver,
}


def take_sources(settings: Settings, value: object, folder: Path) -> dict[str, Source]:
    """Return the sources of a project file, and record faults in the settings."""
    section = settings.section(("sources",), value)
    return {
        name: _take_source(settings, name, content, folder) for name, content in section.items()
    }


def _take_source(settings: Settings, name: str, content: object, folder: Path) -> Source:
    path = ("sources", name)
    content = _without_secrets(settings, path, content)
    section = settings.section(path, content, (*_SOURCE, "options"))
    taken = settings.take_all(path, section, _SOURCE)
    secret = secret_in(taken.get("url", ""))
    if secret:
        settings.fault((*path, "url"), f"holds {secret}", ELSEWHERE)
    if not {"url", "url_env", "credentials"} & set(section):
        settings.fault(path, "has no url", "Give url, or url_env where it holds a password")
    if "credentials" in taken:
        file = folder / Path(taken["credentials"]).expanduser()
        taken["credentials"] = file
        _refuse_inside(settings, (*path, "credentials"), file, folder)
    options = _take_options(settings, (*path, "options"), section.get("options", {}))
    if "url" in taken and not secret and taken.get("driver") == section.get("driver"):
        try:
            refuse_unknown(taken["url"], taken.get("driver"), options)
        except OptionError as error:
            settings.fault((*path, "url"), error.problem, error.remedy)
    return Source(name=name, options=options, folder=folder, **taken)


def _without_secrets(settings: Settings, path: tuple[str, ...], content: object) -> object:
    if not isinstance(content, dict):
        return content
    for key in content:
        if key not in _SOURCE and is_secret_name(key):
            settings.fault((*path, key), "is a secret", ELSEWHERE)
    return {
        key: value for key, value in content.items() if key in _SOURCE or not is_secret_name(key)
    }


def _refuse_inside(settings: Settings, path: tuple[str, ...], file: Path, folder: Path) -> None:
    """Refuse a credentials file beside the tables, since it would be shared with them."""
    around = {*file.resolve().parents, *Path(os.path.abspath(file)).parents}
    if around & {folder.resolve(), Path(os.path.abspath(folder))}:
        remedy = "Move it outside, as to ~/.config/leadsignal/, and correct the path"
        settings.fault(path, "is inside the project's folder", remedy, str(file))
    elif not file.is_file():
        settings.fault(path, "no such file", "Correct the path", str(file))


def _take_options(settings: Settings, path: tuple[str, ...], value: object) -> dict[str, Any]:
    section = settings.section(path, value)
    for key, content in section.items():
        nested = content if isinstance(content, Mapping) else {}
        for secret in [name for name in (key, *nested) if is_secret_name(str(name))]:
            settings.fault((*path, key), f"{secret!r} is a secret", ELSEWHERE)
        if isinstance(content, str) and secret_in(content):
            settings.fault((*path, key), f"holds {secret_in(content)}", ELSEWHERE)
    return dict(section)


def a_table_name(value: object) -> tuple[str, ...]:
    """Accept the name of a database table and return its parts, case unchanged.

    >>> a_table_name("crm.accounts"), a_table_name('crm."odd.name"')
    (('crm', 'accounts'), ('crm', 'odd.name'))
    """
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) and v for v in value):
        parts = tuple(value)
    else:
        parts = _parts(a_text(value))
    if not 1 <= len(parts) <= 3 or any("\0" in part for part in parts):
        raise OptionError(
            "is not the name of a table",
            'Write "accounts", "crm.accounts", or in parts, as in ["crm", "odd.name"]',
        )
    return parts


def _parts(text: str) -> tuple[str, ...]:
    """Return the parts of a dotted name, with dots allowed in quotes; empty if it is not a name."""
    parts, at = [], 0
    while at <= len(text):
        found = _PART.match(text, at)
        if not found:
            return ()
        parts.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        at = found.end() + 1
        if found.end() < len(text) and text[found.end()] != ".":
            return ()
    return tuple(parts)


# Sections of tables -------------------------------------------------------------------------------


KINDS = ("number", "text")
FILES = "files"
"""Name of the source for queries over the files in the project's folder."""
Outside = Literal["exclude", "fault"]


@dataclass(frozen=True)
class TableSource:
    """Where a table is, what its columns are called, and how it is read.

    ``columns`` maps schema names to the source's. ``attributes`` (accounts only) are columns
    declared not to have changed since the start; ``attribute_kinds`` sets some of them to "number"
    or "text". ``delimiter`` and ``encoding`` override what is detected in a CSV file; ``spelling``
    says how texts write dates, numbers and empty cells. ``sheet`` is the sheet of a workbook,
    ``header_line`` the line of the column names if other lines precede it, and ``footer`` the
    number of lines at the end that are not rows.

    In a database, the rows are those of ``table`` (its name in parts, such as schema and table) or
    of ``query``, in the source named ``source``; a ``path`` with a source is relative to its URL.

    ``unknown`` says whether rows without an account, or of one not in accounts, are faults or are
    left out and counted; ``outside`` says the same of rows before an account's start or after its
    end. ``gap`` (contracts only) is the number of days without a contract after which an account
    has ended; ``period`` is the billing period of amounts without one of their own.

    ``where`` maps columns of the source to the values of the rows to read. ``users`` is a table of
    user_id and account_id (a source, or a frame), which gives the account of rows that have only a
    user.
    """

    path: str | None = None
    table: tuple[str, ...] | None = None
    query: str | None = None
    source: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    attribute_kinds: Mapping[str, str] = field(default_factory=dict)
    complete_from: date | None = None
    complete_through: date | None = None
    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header_line: int | None = None
    footer: int | None = None
    spelling: Notation = AS_WE_WRITE
    outside: Outside = "exclude"
    unknown: Outside = "fault"
    gap: int = 30
    period: str | None = None
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    users: Any = None


def _delimiter(value: object) -> str:
    named = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
    delimiter = named.get(str(value), value)
    if delimiter not in named.values():
        raise OptionError("is not a delimiter", 'Write one of ",", ";", "\\t" and "|"')
    return str(delimiter)


def _encoding(value: object) -> str:
    import codecs

    try:
        return codecs.lookup(a_text(value)).name
    except LookupError:
        raise OptionError("is not an encoding", 'Write "utf-8", "utf-16" or "cp1252"') from None


def _a_path(value: object) -> str:
    path = a_text(value)
    secret = secret_in(path) if is_url(path) else None
    if secret:
        raise OptionError(f"holds {secret}", ELSEWHERE)
    return path


_TABLE: dict[str, Callable[[Any], Any]] = {
    "path": _a_path,
    "table": a_table_name,
    "query": a_text,
    "source": a_text,
    "complete_from": a_day,
    "complete_through": a_day,
    "delimiter": _delimiter,
    "encoding": _encoding,
    "sheet": a_text,
    "header_line": whole,
    "footer": whole,
    "outside": a_value_of(Outside),
    "unknown": a_value_of(Outside),
}
_CONTRACTS: dict[str, Callable[[Any], Any]] = {"gap": a_duration, "period": a_period}
SPELLING: dict[str, Callable[[Any], Any]] = {
    "dates": date_patterns,
    "decimal": a_decimal_sign,
    "empty": texts,
}


def take_tables(
    settings: Settings, value: object, sources: tuple[str, ...]
) -> Iterator[tuple[str, TableSource]]:
    """Yield the name and settings of each table that has a section."""
    for name, content in settings.section(("tables",), value, BY_NAME).items():
        yield name, take_table(settings, name, content, sources)


def take_table(
    settings: Settings, name: str, content: object, sources: tuple[str, ...]
) -> TableSource:
    """Return the settings in the section of a table, and record its faults."""
    path = ("tables", name)
    attributes = ("attributes",) if name == "accounts" else ()
    options = {**_TABLE, **(_CONTRACTS if name == "contracts" else {})}
    keys = (*options, *SPELLING, "columns", "where", "users", *attributes)
    section = settings.section(path, content, keys)
    taken = settings.take_all(path, section, options)
    if "where" in section:
        taken["where"] = settings.read_each((*path, "where"), section["where"], a_choice)
    if "users" in section:
        taken["users"] = _take_users(settings, (*path, "users"), section["users"], sources)
    spelling = Notation(**settings.take_all(path, section, SPELLING))
    also = ("user_id",) if "users" in section else ()
    columns = _take_columns(
        settings, (*path, "columns"), section, (*BY_NAME[name].by_column, *also)
    )
    names, kinds = _take_attributes(settings, (*path, "attributes"), section.get("attributes", ()))
    first, last = taken.get("complete_from"), taken.get("complete_through")
    if first and last and last < first:
        settings.fault((*path, "complete_through"), "is before complete_from", "Correct one")
    _settle_source(settings, path, section, taken, sources)
    return TableSource(
        columns=columns, attributes=names, attribute_kinds=kinds, spelling=spelling, **taken
    )


def a_choice(value: object) -> tuple[str, ...]:
    """Accept the values that rows may have in a column; an empty text means an empty cell.

    >>> a_choice(["active", ""]), a_choice(True), a_choice(3)
    (('active', ''), ('true',), ('3',))
    """
    values = value if isinstance(value, list | tuple) else [value]
    if not values or not all(isinstance(one, str | bool | int | float) for one in values):
        raise OptionError("must be a list of values", 'Write ["active", "canceled"]')
    return tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in values)


_USERS = ("path", "table", "query", "source", "delimiter", "encoding", "sheet", "header_line")


def _take_users(
    settings: Settings, path: tuple[str, ...], value: object, sources: tuple[str, ...]
) -> Any:
    """Return the table that maps users to accounts, given as a path or as a section."""
    if not isinstance(value, str | Mapping):
        return value  # A frame, if options are given as arguments.
    content = {"path": value} if isinstance(value, str) else value
    section = settings.section(path, content, (*_USERS, "columns"))
    rules = {key: _TABLE[key] for key in _USERS}
    taken = settings.take_all(path, section, rules)
    columns = _take_columns(settings, (*path, "columns"), section, ("user_id", "account_id"))
    _settle_source(settings, path, section, taken, sources)
    if not {"path", "table", "query"} & set(taken):
        settings.fault(path, "does not say where the users are", 'Write path = "users.csv"')
    return TableSource(columns=columns, **taken)


def _settle_source(
    settings: Settings,
    path: tuple[str, ...],
    section: Mapping[str, Any],
    taken: dict[str, Any],
    sources: tuple[str, ...],
) -> None:
    """Find the source of a table, which need not be named if there is only one."""
    ways = [key for key in ("path", "table", "query") if key in section]
    if len(ways) > 1:
        problem = f"{' and '.join(ways)} both say where the rows are"
        settings.fault((*path, ways[1]), problem, "Keep one of them")
    source = taken.get("source")
    if source == FILES and FILES not in sources:
        if "query" not in ways:
            settings.fault((*path, "source"), "has no query", 'Write query = "SELECT …"', source)
    elif source is not None and source not in sources:
        known = one_of(sources, source) if sources else f"Add a section [sources.{source}]"
        settings.fault((*path, "source"), "is not a source", known, source)
    elif source is None and {"table", "query"} & set(ways):
        if len(sources) == 1 or ("query" in ways and not sources):
            taken["source"] = sources[0] if sources else FILES
        else:
            choices = [*sources, *([FILES] if "query" in ways else [])]
            known = " or ".join(f'source = "{name}"' for name in choices)
            remedy = f"Add {known}" if known else "Add a section [sources.NAME] with its url"
            settings.fault((*path, ways[0]), "does not say which source it is in", remedy)
    elif source is not None and not ways:
        taken["table"] = (path[1],)


def _take_columns(
    settings: Settings, path: tuple[str, ...], table: Mapping[str, Any], names: Iterable[str]
) -> dict[str, str]:
    section = settings.section(path, table.get("columns", {}), names)
    columns: dict[str, str] = settings.take_all(path, section, dict.fromkeys(section, a_text))
    for theirs in sorted(set(columns.values())):
        ours = [our for our, their in columns.items() if their == theirs]
        if len(ours) > 1:
            remedy = "Map each column of the source once"
            settings.fault(path, f"maps {' and '.join(ours)} to one column", remedy, theirs)
    return columns


def _take_attributes(
    settings: Settings, path: tuple[str, ...], value: object
) -> tuple[tuple[str, ...], dict[str, str]]:
    if not isinstance(value, Mapping):
        names = settings.take(path, value, texts) or ()
        kinds: dict[str, str] = {}
    else:
        names = tuple(value)
        kinds = settings.take_all(path, value, dict.fromkeys(value, _kind))
    for name in names:
        if name in ("account_id", "ended_on", "end_known_on", "end_reason", "recorded_at"):
            remedy = "Remove it: it is not known before churn, or carries no information"
            settings.fault(path, "cannot be an attribute", remedy, name)
    return names, kinds


def _kind(value: object) -> str:
    if value not in KINDS:
        raise OptionError("is not a kind of attribute", one_of(KINDS, str(value)))
    return str(value)


def near_table(name: str) -> str | None:
    """Return the table of which ``name`` is probably a misspelling; None without one."""
    return near(name, [table.name for table in ALL_TABLES], 0.85)
