"""``leadsignal.toml``: the location of the tables, the names of their columns, and options."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from leadsignal.config.credentials import ALLOWED, Source, is_url
from leadsignal.config.table_settings import (
    SPELLING,
    TableSource,
    take_sources,
    take_table,
    take_tables,
)
from leadsignal.config.toml_files import (
    Settings,
    a_day,
    a_duration,
    a_text,
    a_value_of,
    is_number,
    read_settings_file,
    share,
    texts,
)
from leadsignal.errors import Fault, OptionError, ProjectError, near, one_of
from leadsignal.schema import BY_NAME, Column

CODES = frozenset(ALLOWED["currencies"])
"""The currencies of ISO 4217."""
YEN_OR_YUAN = "¥"
"""The sign of two currencies, which may have its own rate."""
MAX_RATE = 10**6


@dataclass(frozen=True)
class Currency:
    """The currency that amounts are converted to, and fixed exchange rates.

    ``rates`` are units of ``base`` for one unit of the other currency, on any day.
    """

    base: str | None = None
    rates: Mapping[str, float] = field(default_factory=dict)


def a_currency(value: object) -> str:
    """Accept the code of a currency.

    >>> a_currency("EUR")
    'EUR'
    """
    code = str(value).strip().upper()
    if code in CODES or code == YEN_OR_YUAN:
        return code
    meant = near(code, CODES)
    remedy = f"Did you mean {meant!r}? " if meant else ""
    raise OptionError("is not a currency", f"{remedy}Write its three letters, as in USD")


def _a_rate(value: object) -> float:
    if not is_number(value) or not 0 < value <= MAX_RATE:
        raise OptionError("is not a rate", "Write what one unit is worth in the base: USD = 0.92")
    return float(value)


def take_currency(settings: Settings, value: object) -> Currency:
    """Read the section and record its faults in ``settings``."""
    path = ("currency",)
    section: Mapping[str, Any] = settings.section(path, value)
    base, rates = None, {}
    for name, content in section.items():
        if name == "base":
            base = settings.take((*path, name), content, a_currency)
            continue
        code = settings.take((*path, name), name, a_currency)
        rate = settings.take((*path, name), content, _a_rate)
        if code and rate:
            rates[code] = rate
    if rates and "base" not in section:
        remedy = 'Add the currency that the rates are in, as in base = "EUR"'
        settings.fault(path, "there are rates and no base", remedy)
    return Currency(base, rates)


# Project ------------------------------------------------------------------------------------------


PROJECT_FILE = "leadsignal.toml"
ANALYSIS_FILE = "success.toml"
Engine = Literal["duckdb", "spark"]
ENGINES: tuple[Engine, ...] = ("duckdb", "spark")
People = Literal["names", "ids"]
"""Whether outputs name accounts and their owners, or show only ids."""


@dataclass(frozen=True)
class UsageLow:
    """When usage counts as low: its mean over ``window`` days is below ``ratio`` of its best.

    The best is the highest mean over ``best`` days within the last ``within`` days. With
    ``series``, each series is compared with its own best, and usage is low if any of them is.
    Without it, all rows of usage are summed.
    """

    window: int = 28
    ratio: float = 0.5
    best: int = 84
    within: int = 365
    series: tuple[str, ...] = ()


@dataclass(frozen=True)
class Behaviors:
    """The behaviours with their own indicators; with ``others``, all others are pooled.

    >>> Behaviors(("exported",)).others
    True
    """

    keep: tuple[str, ...] = ()
    others: bool = True


@dataclass(frozen=True)
class Project:
    """The options of a project and the sources of its tables; durations are in days.

    ``url`` is the folder of the tables if they are in an object store. Without ``behaviors``, the
    20 behaviours shown by most accounts have their own indicators. With ``cache``, tables read from
    files are cached in ``folder`` until the files change.

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
    cache: bool = False
    causes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    usage_low: UsageLow = UsageLow()
    tables: Mapping[str, TableSource] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    url: str | None = None
    currency: Currency = field(default_factory=Currency)
    behaviors: Behaviors | None = None

    def replace(self, **options: Any) -> Project:
        """Return the project with some options changed; durations are given as text, such as "28d".

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
    """Accept the name of an existing time zone."""
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
    if not is_number(value) or not 0 <= value <= 0.5:
        raise OptionError("is not between 0 and 0.5", "Write 0.1 to hold out a tenth")
    return float(value)


def _seed(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise OptionError("is not a seed", "Write a whole number of at least 0")
    return value


def _causes(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise OptionError("must map causes to reasons", 'Write acquired = ["acquired", "merged"]')
    return {a_text(cause): texts(reasons) for cause, reasons in value.items()}


def _engine(value: object) -> str:
    if value not in ENGINES:
        raise OptionError("is not an engine", one_of(ENGINES, str(value)))
    return str(value)


def _cache(value: object) -> bool:
    if not isinstance(value, bool):
        raise OptionError("is not true or false", "Write cache = true to keep what was read")
    return value


def _analysis(value: object) -> Path:
    return Path(value if isinstance(value, Path) else a_text(value))


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
    "people": a_value_of(People),
    "cache": _cache,
}
_BEHAVIORS: dict[str, Callable[[Any], Any]] = {"keep": texts}
_USAGE_LOW: dict[str, Callable[[Any], Any]] = {
    "window": a_duration,
    "ratio": _ratio,
    "best": a_duration,
    "within": a_duration,
    "series": texts,
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

    A folder may contain ``leadsignal.toml`` and ``success.toml``; both are optional. Raises
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
    """Return the settings file of a project: the ``.toml`` file itself, or that of the folder."""
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
        (),
        settings.values,
        ("project", "behaviors", "causes", "usage_low", "currency", "sources", "tables"),
    )
    section = settings.section(("project",), top.get("project", {}), OPTIONS)
    options = settings.take_all(("project",), section, OPTIONS)
    if "analysis" in options:
        options["analysis"] = _existing(settings, folder / options["analysis"], section["analysis"])
    causes = settings.read_each(("causes",), top.get("causes", {}), texts)
    for path, problem, remedy in _reason_faults(options.get("not_churn", ()), causes):
        settings.fault(path, problem, remedy)
    usage_low = UsageLow(**settings.read(("usage_low",), top.get("usage_low", {}), _USAGE_LOW))
    _check_usage_low(settings, usage_low)
    behaviors = settings.read(("behaviors",), top.get("behaviors", {}), _BEHAVIORS)
    named = top.get("sources", {})
    sources = take_sources(settings, named, folder)
    tables = dict(take_tables(settings, top.get("tables", {}), tuple(named)))
    currency = take_currency(settings, top.get("currency", {}))
    if settings.faults:
        raise ProjectError(sorted(settings.faults, key=lambda fault: fault.line or 0))
    more: dict[str, Any] = {
        "causes": causes,
        "usage_low": usage_low,
        "tables": tables,
        "sources": sources,
        "currency": currency,
        "behaviors": Behaviors(**behaviors) if behaviors else None,
    }
    return Project(folder=folder, **more, **options)


def _existing(settings: Settings, path: Path, value: object) -> Path:
    if not path.is_file():
        settings.fault(
            ("project", "analysis"), "no such file", "Correct the path, or leave it out", value
        )
    return path


def _reason_faults(
    not_churn: tuple[str, ...], causes: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[tuple[str, str], str, str]]:
    """Yield a fault for each name or reason that causes and not_churn list more than once."""
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


def with_options(
    project: Project,
    attributes: Iterable[str] | Mapping[str, str] | None,
    columns: Mapping[str, Mapping[str, str]] | None,
) -> Project:
    """Return the project with attributes and column names given as arguments.

    Raises OptionError for a table or a column that the schema does not have.
    """
    tables = dict(project.tables)
    for name, mapping in (columns or {}).items():
        for known, option in [(BY_NAME, name), *((_columns_of(name), ours) for ours in mapping)]:
            if option not in known:
                raise OptionError(f"columns: {option!r} is not known", one_of(known, option))
        tables[name] = dataclasses.replace(tables.get(name, TableSource()), columns=dict(mapping))
    if attributes is not None:
        kinds = dict(attributes) if isinstance(attributes, Mapping) else {}
        names = texts(attributes if isinstance(attributes, str) else list(attributes))
        accounts = tables.get("accounts", TableSource())
        tables["accounts"] = dataclasses.replace(accounts, attributes=names, attribute_kinds=kinds)
    return dataclasses.replace(project, tables=tables)


def _columns_of(table: str) -> Mapping[str, Column]:
    return BY_NAME[table].by_column if table in BY_NAME else {}


def with_table_options(
    project: Project, options: Mapping[str, Mapping[str, Any]] | None
) -> Project:
    """Return the project with table options, as under [tables.NAME], given as arguments.

    Raises ProjectError with every fault.

    >>> options = {"tickets": {"dates": "DD/MM/YYYY"}}
    >>> with_table_options(Project(), options).tables["tickets"].spelling.dates
    ('DD/MM/YYYY',)
    """
    settings = Settings(None, {}, {})
    tables = dict(project.tables)
    for name, content in settings.section(("options",), dict(options or {}), BY_NAME).items():
        new = take_table(settings, name, content, tuple(project.sources))
        old = tables.get(name, TableSource())
        spelling = {key: getattr(new.spelling, key) for key in SPELLING if key in content}
        fields = {field.name for field in dataclasses.fields(TableSource)} & {*content, "source"}
        changed = {key: getattr(new, key) for key in fields if key in content or new.source}
        changed["spelling"] = dataclasses.replace(old.spelling, **spelling)
        changed |= {"attribute_kinds": new.attribute_kinds} if "attributes" in content else {}
        tables[name] = dataclasses.replace(old, **changed)
    if settings.faults:
        raise ProjectError(settings.faults)
    return dataclasses.replace(project, tables=tables)
