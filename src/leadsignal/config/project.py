"""``leadsignal.toml``: where the tables are, what their columns are called, the options."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

from leadsignal.config.credentials import Source, is_url, secret_in
from leadsignal.config.currency import Currency, take_currency
from leadsignal.config.notation import AS_WE_WRITE, Notation, a_decimal_sign, date_patterns
from leadsignal.config.sources import ELSEWHERE, a_table_name, take_sources
from leadsignal.config.toml_files import (
    Settings,
    a_day,
    a_duration,
    a_text,
    near,
    one_of,
    read_settings_file,
    share,
    texts,
    whole,
)
from leadsignal.durations import a_period
from leadsignal.errors import Fault, OptionError, ProjectError
from leadsignal.schema import ALL_TABLES, BY_NAME

PROJECT_FILE = "leadsignal.toml"
ANALYSIS_FILE = "success.toml"
KINDS = ("number", "text")
Engine = Literal["duckdb", "spark"]
FILES = "files"
"""Source of queries over the files of the project's own folder."""
ENGINES: tuple[Engine, ...] = ("duckdb", "spark")
Outside = Literal["exclude", "fault"]
People = Literal["names", "ids"]
"""Whether outputs name accounts and their owners, or show ids alone."""


@dataclass(frozen=True)
class UsageLow:
    """When usage counts as low: its mean over ``window`` days below ``ratio`` of its best.

    The best is the highest mean over ``best`` days within the last ``within`` days. With
    ``series``, each is compared with its own best, and usage is low if any of them is; without,
    all rows of usage are summed.
    """

    window: int = 28
    ratio: float = 0.5
    best: int = 84
    within: int = 365
    series: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSource:
    """Where one table is and what its columns are called.

    ``columns`` maps our names to theirs. ``attributes`` (accounts only) are columns of which the
    user says that they have not changed since the start; ``attribute_kinds`` fixes "number" or
    "text" for some. ``delimiter`` and ``encoding`` overrule what a CSV file looks like;
    ``spelling`` says how its texts write dates, numbers and nothing. ``sheet`` is the sheet of a
    workbook, ``header_line`` the line of the column names, where lines above it hold none, and
    ``footer`` the number of lines at the end that are no rows.
    In a database, the rows are those of ``table`` (its name in parts, as schema and table) or of
    ``query``, in the source named ``source``; a ``path`` with a source starts from its URL.
    ``unknown`` says whether rows without an account, or of one that is not in accounts, are faults
    or left out and counted, ``outside`` whether rows of known accounts before their start or after
    their end are. ``gap`` (contracts only) is after how many days without a
    contract an account has ended, ``period`` what amounts are for where no column says so.
    ``where`` names, for columns of the source, the values of the rows that are read. ``users`` is a
    table of user_id and account_id (a source, or a frame), which gives the account of rows that
    have only a user.
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


@dataclass(frozen=True)
class Project:
    """The options of a project and the sources of its tables; durations are in days.

    ``url`` is the folder of the tables in an object store, if they are in one.

    >>> Project().replace(horizon="26w").horizon
    182
    """

    folder: Path | None = None
    as_of: date | None = None
    every: int = 29
    horizon: int = 180
    capacity: float = 0.10
    holdout: float = 0.0
    holdout_seed: int = 0
    warning_time: int = 90
    analysis: Path | None = None
    not_churn: tuple[str, ...] = ()
    timezone: str = "UTC"
    engine: Engine = "duckdb"
    people: People = "names"
    causes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    usage_low: UsageLow = UsageLow()
    tables: Mapping[str, TableSource] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    url: str | None = None
    currency: Currency = field(default_factory=Currency)

    def replace(self, **options: Any) -> Project:
        """Return the project with some options changed; durations are texts such as "28d".

        Raises OptionError for an unknown option or a value that is not allowed.
        """
        taken: dict[str, Any] = {
            name: _option(name, value) for name, value in options.items() if value is not None
        }
        project = dataclasses.replace(self, **taken)
        for _, problem, remedy in _reason_faults(project.not_churn, project.causes):
            raise OptionError(problem, remedy)
        return project


def a_zone(value: object) -> str:
    """Take the name of a time zone that exists."""
    from zoneinfo import ZoneInfo

    name = a_text(value)
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise OptionError(
            "is not a time zone", 'Write its IANA name, as in "Europe/Berlin" or "UTC"'
        ) from None
    return name


def _ratio(value: object) -> float:
    if share(value) >= 1:
        raise OptionError("must be below 1", "Write 0.5 for half of the best")
    return share(value)


def _holdout(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= float(str(value)) <= 0.5:
        raise OptionError("is not between 0 and 0.5", "Write 0.1 to hold out a tenth")
    return float(str(value))


def _seed(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise OptionError("is not a seed", "Write a whole number from 0 on")
    return value


def _causes(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise OptionError("must map causes to reasons", 'Write acquired = ["acquired", "merged"]')
    return {a_text(cause): texts(reasons) for cause, reasons in value.items()}


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


def _engine(value: object) -> str:
    if value not in ENGINES:
        raise OptionError("is not an engine", one_of(ENGINES, str(value)))
    return str(value)


def _one_from(choices: object) -> Callable[[object], str]:
    """Return what takes one of the values of a literal type."""
    allowed = get_args(choices)

    def take(value: object) -> str:
        if value not in allowed:
            raise OptionError("is not allowed", one_of(allowed, str(value)))
        return str(value)

    return take


def _analysis(value: object) -> Path:
    return Path(value if isinstance(value, Path) else a_text(value))


def _a_path(value: object) -> str:
    path = a_text(value)
    secret = secret_in(path) if is_url(path) else None
    if secret:
        raise OptionError(f"holds {secret}", ELSEWHERE)
    return path


OPTIONS: dict[str, Callable[[Any], Any]] = {
    "as_of": a_day,
    "every": a_duration,
    "horizon": a_duration,
    "capacity": share,
    "holdout": _holdout,
    "holdout_seed": _seed,
    "warning_time": a_duration,
    "analysis": _analysis,
    "not_churn": texts,
    "timezone": a_zone,
    "engine": _engine,
    "people": _one_from(People),
}
_USAGE_LOW: dict[str, Callable[[Any], Any]] = {
    "window": a_duration,
    "ratio": _ratio,
    "best": a_duration,
    "within": a_duration,
    "series": texts,
}
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
    "outside": _one_from(Outside),
    "unknown": _one_from(Outside),
}
_CONTRACTS: dict[str, Callable[[Any], Any]] = {"gap": a_duration, "period": a_period}
_SPELLING: dict[str, Callable[[Any], Any]] = {
    "dates": date_patterns,
    "decimal": a_decimal_sign,
    "empty": texts,
}


def _option(name: str, value: object) -> object:
    rules = {**OPTIONS, "causes": _causes}
    if name not in rules:
        raise OptionError(f"{name!r} is not an option", one_of(rules, name))
    try:
        return rules[name](value)
    except OptionError as error:
        raise OptionError(f"{name} = {value!r}: {error.problem}", error.remedy) from None


def read_project(path: str | Path) -> Project:
    """Read a project from a folder of tables (or its URL) or from a ``.toml`` file.

    A folder may hold ``leadsignal.toml`` and ``success.toml``; it needs neither. Raises
    ProjectError, which lists every fault with its line.

    >>> import tempfile
    >>> read_project(tempfile.gettempdir()).every
    29
    """
    if is_url(path):
        return Project(url=str(path))
    path, file = Path(path), settings_file(path)
    if path.suffix != ".toml" and not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "no such folder"
        raise ProjectError([_unreadable(path, what, "Give a folder of tables or a .toml file.")])
    if path.suffix != ".toml" and not os.path.lexists(file):
        return _with_analysis(Project(folder=path))
    try:
        settings = Settings.parse(read_settings_file(file), file.name)
    except OSError:
        what = "is a folder, not a file" if file.is_dir() else "no such file"
        raise ProjectError([_unreadable(file, what, "Correct the path.")]) from None
    except UnicodeDecodeError:
        raise ProjectError([_unreadable(file, "is not UTF-8", "Save it as UTF-8.")]) from None
    except OptionError as error:
        raise ProjectError([_unreadable(file, error.problem, error.remedy + ".")]) from None
    return _with_analysis(_project(settings, file.parent))


def settings_file(path: str | Path) -> Path:
    """Return the file that holds the settings of a project: its ``.toml`` file, or a folder's."""
    path = Path(path)
    return path if path.suffix == ".toml" else path / PROJECT_FILE


def _unreadable(path: Path, problem: str, remedy: str) -> Fault:
    return Fault(str(path), None, None, None, None, problem, remedy)


def _with_analysis(project: Project) -> Project:
    assumed = (project.folder or Path()) / ANALYSIS_FILE
    if project.analysis is None and os.path.lexists(assumed):
        return dataclasses.replace(project, analysis=assumed)
    return project


def _project(settings: Settings, folder: Path) -> Project:
    top = settings.section(
        (), settings.values, ("project", "causes", "usage_low", "currency", "sources", "tables")
    )
    section = settings.section(("project",), top.get("project", {}), OPTIONS)
    options = settings.take_all(("project",), section, OPTIONS)
    if "analysis" in options:
        options["analysis"] = _existing(settings, folder / options["analysis"], section["analysis"])
    causes = _take_causes(settings, top.get("causes", {}))
    for path, problem, remedy in _reason_faults(options.get("not_churn", ()), causes):
        settings.fault(path, problem, remedy)
    low = settings.section(("usage_low",), top.get("usage_low", {}), _USAGE_LOW)
    usage_low = UsageLow(**settings.take_all(("usage_low",), low, _USAGE_LOW))
    _check_usage_low(settings, usage_low)
    named = top.get("sources", {})
    sources = take_sources(settings, named, folder)
    tables = dict(_take_tables(settings, top.get("tables", {}), tuple(named)))
    currency = take_currency(settings, top.get("currency", {}))
    if settings.faults:
        raise ProjectError(sorted(settings.faults, key=lambda fault: fault.line or 0))
    more: dict[str, Any] = {
        "causes": causes,
        "usage_low": usage_low,
        "tables": tables,
        "sources": sources,
        "currency": currency,
    }
    return Project(folder=folder, **more, **options)


def _existing(settings: Settings, path: Path, value: object) -> Path:
    if not path.is_file():
        settings.fault(
            ("project", "analysis"), "no such file", "Correct the path, or leave it out", value
        )
    return path


def _take_causes(settings: Settings, value: object) -> dict[str, tuple[str, ...]]:
    section = settings.section(("causes",), value)
    return settings.take_all(("causes",), section, dict.fromkeys(section, texts))


def _reason_faults(
    not_churn: tuple[str, ...], causes: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Yield faults between causes and not_churn: a reason may be in one place only."""
    owner: dict[str, str] = {}
    for cause, reasons in causes.items():
        if cause in not_churn:
            problem = f"cause {cause!r} is also in not_churn"
            yield ("causes", cause), problem, "An end is churn or it is not: name it once"
        for reason in reasons:
            if reason in not_churn and reason != cause:
                problem = f"reason {reason!r} is also in not_churn"
                yield ("causes", cause), problem, "An end is churn or it is not: name it once"
            if owner.setdefault(reason, cause) != cause:
                problem = f"reason {reason!r} is also in cause {owner[reason]!r}"
                yield ("causes", cause), problem, "Keep each reason in one cause"


def _check_usage_low(settings: Settings, low: UsageLow) -> None:
    if low.window > low.best:
        settings.fault(("usage_low", "window"), "is longer than best", "Shorten window")
    if low.best + low.window > low.within:
        remedy = "Make it at least as long as best and window together"
        settings.fault(("usage_low", "within"), "leaves no room for a best stretch", remedy)


def _take_tables(
    settings: Settings, value: object, sources: tuple[str, ...]
) -> Iterator[tuple[str, TableSource]]:
    for name, content in settings.section(("tables",), value, BY_NAME).items():
        yield name, _take_table(settings, name, content, sources)


def _take_table(
    settings: Settings, name: str, content: object, sources: tuple[str, ...]
) -> TableSource:
    path = ("tables", name)
    attributes = ("attributes",) if name == "accounts" else ()
    options = {**_TABLE, **(_CONTRACTS if name == "contracts" else {})}
    keys = (*options, *_SPELLING, "columns", "where", "users", *attributes)
    section = settings.section(path, content, keys)
    taken = settings.take_all(path, section, options)
    if "where" in section:
        where = settings.section((*path, "where"), section["where"])
        taken["where"] = settings.take_all((*path, "where"), where, dict.fromkeys(where, a_choice))
    if "users" in section:
        taken["users"] = _take_users(settings, (*path, "users"), section["users"], sources)
    spelling = Notation(**settings.take_all(path, section, _SPELLING))
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
    """Take the values of a column of which rows may have one; an empty text is an empty cell.

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
    """Return the table that maps users to accounts: its path, or a section as that of a table."""
    if not isinstance(value, str | Mapping):
        return value  # A frame, where options are given as arguments.
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
    """Find the source of a table; with one source alone, it need not be named."""
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
            remedy = "Map each of their columns once"
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


def with_table_options(
    project: Project, options: Mapping[str, Mapping[str, Any]] | None
) -> Project:
    """Return the project with options of tables as under [tables.NAME], given as arguments.

    Raises ProjectError with every fault.

    >>> options = {"tickets": {"dates": "DD/MM/YYYY"}}
    >>> with_table_options(Project(), options).tables["tickets"].spelling.dates
    ('DD/MM/YYYY',)
    """
    settings = Settings(None, {}, {})
    tables = dict(project.tables)
    for name, content in settings.section(("options",), dict(options or {}), BY_NAME).items():
        new = _take_table(settings, name, content, tuple(project.sources))
        old = tables.get(name, TableSource())
        spelling = {key: getattr(new.spelling, key) for key in _SPELLING if key in content}
        fields = {field.name for field in dataclasses.fields(TableSource)} & {*content, "source"}
        changed = {key: getattr(new, key) for key in fields if key in content or new.source}
        changed["spelling"] = dataclasses.replace(old.spelling, **spelling)
        changed |= {"attribute_kinds": new.attribute_kinds} if "attributes" in content else {}
        tables[name] = dataclasses.replace(old, **changed)
    if settings.faults:
        raise ProjectError(settings.faults)
    return dataclasses.replace(project, tables=tables)


def near_table(name: str) -> str | None:
    """Return the table whose name is most like ``name``, if it is a misspelling of one."""
    return near(name, [table.name for table in ALL_TABLES], 0.85)
