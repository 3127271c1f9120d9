"""``success.toml``: the Success Analysis with its bullseye, essential processes and metrics.

The metrics of ``[[metric]]`` are numbers computed from a project's own behaviours. They are
indicators, unlike the ``success_metric`` of a bullseye, which measures a customer's success.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leadsignal.config.toml_files import (
    KeyPath,
    Settings,
    a_duration,
    a_text,
    a_value_of,
    as_toml,
    identifier,
    positive,
    read_settings_file,
    texts,
    whole,
)
from leadsignal.errors import Fault, OptionError, SuccessAnalysisError
from leadsignal.results import html_table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MetricMeasure = Literal["ratio", "rate", "change", "days since", "first by"]
KEYS_OF: Mapping[str, tuple[str, ...]] = {
    "ratio": ("per_behavior", "within"),
    "rate": ("per", "within"),
    "change": ("within", "before"),
    "days since": (),
    "first by": ("by_day",),
}
"""The keys that each measure requires, in addition to those of every metric."""
REQUIRED = ("name", "measure", "behavior")
OPTIONAL = ("expected_sign", "why")


@dataclass(frozen=True)
class BehaviorMetric:
    """A metric computed from behaviours, which becomes the indicator ``metric_<name>``.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and ``_``.
    measure : str
        What is computed:

        - ``"ratio"``: quantity of ``behaviors`` over that of ``per_behavior``
        - ``"rate"``: quantity of ``behaviors`` per distinct user, per ARR or per attribute
        - ``"change"``: recent daily quantity over that of the days before
        - ``"days since"``: days since one of ``behaviors`` was last done
        - ``"first by"``: whether one of them was done within the first ``by_day`` days
    behaviors : tuple of str
        The behaviours to count.
    per_behavior : tuple of str, optional
        For a ratio, the behaviours in the denominator.
    per : str, optional
        For a rate, ``"user"``, ``"arr"`` or the name of a number attribute of accounts.
    within : int, optional
        For a ratio, a rate or a change, days of the window that ends at the snapshot.
    before : int, optional
        For a change, days of the comparison window before that one; at least ``within``.
    by_day : int, optional
        For ``"first by"``, days from the account's start.
    expected_sign : {-1, 0, 1}, default 0
        1 if higher values go with retention, -1 if lower values do, 0 if unknown.
    why : str, optional
        Why it matters; not used in any calculation.

    Examples
    --------
    >>> metric = BehaviorMetric("sharing", "ratio", ("shared",), ("exported",), within=90)
    >>> print(metric)
    sharing: shared per exported in 90 days
    """

    name: str
    measure: str
    behaviors: tuple[str, ...]
    per_behavior: tuple[str, ...] = ()
    per: str = ""
    within: int | None = None
    before: int | None = None
    by_day: int | None = None
    expected_sign: Literal[-1, 0, 1] = 0
    why: str = ""

    @property
    def definition(self) -> str:
        """The definition of the metric, as text."""
        what = " or ".join(self.behaviors)
        match self.measure:
            case "change":
                return (
                    f"{what} a day in {self.within} days over that in the {self.before} days before"
                )
            case "days since":
                return f"days since the last {what}"
            case "first by":
                return f"{what} in the first {self.by_day} days"
            case _:
                divisor = " or ".join(self.per_behavior) or self.per
                return f"{what} per {divisor} in {self.within} days"

    def __str__(self) -> str:
        return f"{self.name}: {self.definition}"


def _sign(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in (-1, 0, 1):
        raise OptionError(
            "must be 1, -1 or 0",
            "Write 1 if more of it keeps customers, -1 if less of it does, 0 if you do not know",
        )
    return value


_RULES: dict[str, Callable[[Any], Any]] = {
    "name": identifier,
    "why": a_text,
    "measure": a_value_of(MetricMeasure),
    "behavior": texts,
    "per_behavior": texts,
    "per": a_text,
    "within": a_duration,
    "before": a_duration,
    "by_day": a_duration,
    "expected_sign": _sign,
}


def read_metrics(settings: Settings, blocks: Sequence[object]) -> tuple[BehaviorMetric, ...]:
    """Return the metrics of the sections ``[[metric]]``, and record faults.

    Parameters
    ----------
    settings : Settings
        The file, which collects the faults.
    blocks : sequence of object
        The parsed sections.

    Returns
    -------
    tuple of BehaviorMetric
        The metrics without faults, in the order of the file.
    """
    read = [_metric(settings, ("metric", index), block) for index, block in enumerate(blocks)]
    settings.check_names("metric", "metrics", (one.name if one else None for one in read))
    return tuple(metric for metric in read if metric is not None)


def _metric(settings: Settings, path: KeyPath, content: object) -> BehaviorMetric | None:
    section = settings.section(path, content, _RULES)
    if not isinstance(content, dict):
        return None
    taken = settings.take_all(path, section, _RULES)
    needed = _check_measure_keys(settings, path, section, taken.get("measure"))
    _check_metric_values(settings, path, taken)
    if any(key not in taken for key in needed):
        return None
    return BehaviorMetric(behaviors=taken.pop("behavior"), **taken)


def _check_measure_keys(
    settings: Settings, path: KeyPath, section: Mapping[str, Any], measure: str | None
) -> tuple[str, ...]:
    """Record missing and unexpected keys of a measure; return the required ones."""
    own = KEYS_OF[measure] if measure else ()
    needed = (*REQUIRED, *own)
    for key in needed:
        if key not in section:
            settings.fault(path, f"has no {key}", f"Add {key} to the metric")
    for key in section if measure else ():
        if key not in (*needed, *OPTIONAL):
            problem = f"does not belong to the measure {measure!r}"
            has = " and ".join(own) or "none of its own"
            remedy = f"Leave it out: this measure has {has}"
            settings.fault((*path, key), problem, remedy, section[key])
    return needed


def _check_metric_values(settings: Settings, path: KeyPath, taken: Mapping[str, Any]) -> None:
    for key in ("behavior", "per_behavior"):
        if not taken.get(key, ("any",)):
            settings.fault((*path, key), "names no behaviour", "Name at least one")
    before, within = taken.get("before"), taken.get("within")
    if taken.get("measure") == "change" and before and within and before < within:
        remedy = "Compare with at least as many days before"
        settings.fault((*path, "before"), "is shorter than within", remedy, f"{before}d")


# Success analysis ---------------------------------------------------------------------------------


MAX_PROCESSES = 3


@dataclass(frozen=True)
class Process:
    """An essential process: enough of some behaviours, by enough users, in each window.

    ``within`` and ``adopt_by`` are in days; ``applies_to`` maps attributes to the values of the
    accounts for which the process is intended.
    """

    name: str
    behaviors: tuple[str, ...]
    at_least: int | float
    within: int
    why: str = ""
    by_users: int = 1
    sustained_for: int = 1
    adopt_by: int | None = None
    applies_to: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def requirement(self) -> str:
        """What an account must do to have adopted the process, as text."""
        users = f" by {self.by_users} users" if self.by_users > 1 else ""
        again = f", {self.sustained_for} times in a row" if self.sustained_for > 1 else ""
        events = " or ".join(self.behaviors)
        return f"{self.at_least:g} {events}{users} in {self.within} days{again}"

    @property
    def definition(self) -> str:
        """The requirement, and the day of the account's life by which it is due."""
        due = f"; adopted by day {self.adopt_by}" if self.adopt_by else ""
        return f"{self.requirement}{due}"

    def __str__(self) -> str:
        return f"{self.name}: {self.definition}"


@dataclass(frozen=True)
class Bullseye:
    """The customer's objective, how success is measured, and what successful customers share."""

    objective: str = ""
    success_metric: str = ""
    traits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Segment:
    """The bullseye of some accounts; empty fields are taken from the general bullseye."""

    applies_to: Mapping[str, tuple[str, ...]]
    bullseye: Bullseye


@dataclass(frozen=True)
class Tracking:
    """The behaviours that record sponsor contact, handoffs and diary entries."""

    sponsor: tuple[str, ...] = ()
    handoff: tuple[str, ...] = ()
    diary: tuple[str, ...] = ()


_Rules = Process | BehaviorMetric


@dataclass(frozen=True, repr=False)
class SuccessAnalysis:
    """The Success Analysis of a product: bullseye, tracking, up to three processes and metrics.

    Segments may have their own bullseye, and their own processes through ``applies_to``; at most
    three processes may apply to the same account. ``metrics`` are indicators computed from
    behaviours. ``file`` is the file that it was read from.
    """

    processes: tuple[Process, ...]
    bullseye: Bullseye = Bullseye()
    tracking: Tracking = Tracking()
    file: str | None = field(default=None, compare=False)
    segments: tuple[Segment, ...] = ()
    metrics: tuple[BehaviorMetric, ...] = ()

    @classmethod
    def from_toml(cls, text: str, file: str | None = None) -> SuccessAnalysis:
        """Read a Success Analysis from TOML text.

        Raises SuccessAnalysisError, which lists every fault with its line.

        >>> SuccessAnalysis.from_toml('''
        ... [[process]]
        ... name = "weekly_close"
        ... behavior = "closed"
        ... at_least = 4
        ... within = "30d"
        ... ''')
        SuccessAnalysis
          weekly_close: 4 closed in 30 days
        """
        settings = Settings.parse(text, file)
        analysis = _analysis(settings, file)
        if settings.faults:
            raise SuccessAnalysisError(sorted(settings.faults, key=lambda fault: fault.line or 0))
        return analysis

    @property
    def success_metrics(self) -> tuple[str, ...]:
        """The success metrics of all accounts, the general one first."""
        named = (self.bullseye, *(segment.bullseye for segment in self.segments))
        return tuple(dict.fromkeys(b.success_metric for b in named if b.success_metric))

    def bullseye_of(self, attributes: Mapping[str, object]) -> Bullseye:
        """Return the bullseye of an account with these attributes: that of its segment, if any.

        >>> enterprise = Segment({"segment": ("enterprise",)}, Bullseye("Close as a group"))
        >>> analysis = SuccessAnalysis((), Bullseye("Close fast", "days"), segments=(enterprise,))
        >>> analysis.bullseye_of({"segment": "enterprise"})
        Bullseye(objective='Close as a group', success_metric='days', traits=())
        """
        for segment in self.segments:
            if applies(segment.applies_to, attributes):
                own = {key: value for key, value in vars(segment.bullseye).items() if value}
                return replace(self.bullseye, **own)
        return self.bullseye

    def processes_of(self, attributes: Mapping[str, object]) -> tuple[Process, ...]:
        """Return the processes that apply to an account with these attributes."""
        return tuple(p for p in self.processes if applies(p.applies_to, attributes))

    def differences(self, other: SuccessAnalysis) -> tuple[str, ...]:
        """Describe the rules that differ in ``other``; return () if none do.

        Descriptions (``why``, objectives, traits) are ignored, since no number depends on them.

        >>> one = SuccessAnalysis((Process("close", ("closed",), 4, 30),))
        >>> one.differences(SuccessAnalysis((Process("close", ("closed",), 2, 30),)))
        ('process close has other rules',)
        """
        changes = _changes("process", self.processes, other.processes)
        changes += _changes("metric", self.metrics, other.metrics)
        if _success_metrics(self) != _success_metrics(other):
            changes.append("success metrics differ")
        if self.tracking != other.tracking:
            changes.append("tracked behaviours differ")
        return tuple(changes)

    def __repr__(self) -> str:
        lines = [self.bullseye.objective] if self.bullseye.objective else []
        return "\n  ".join(["SuccessAnalysis", *lines, *map(str, (*self.processes, *self.metrics))])

    def _repr_html_(self) -> str:
        import pandas as pd

        listed: tuple[_Rules, ...] = (*self.processes, *self.metrics)
        rows = [(one.name, one.definition, one.why) for one in listed]
        head = html.escape(self.bullseye.objective or "Success Analysis")
        table = pd.DataFrame(rows, columns=["name", "what counts as done", "why"])
        return f"<p><strong>{head}</strong></p>{html_table(table, None)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the analysis as plain dictionaries and lists; durations are in days."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        keys = ("bullseye", "segments", "tracking", "processes", "metrics")
        return {key: plain[key] for key in keys}

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with one row per process."""
        import pandas as pd

        return pd.DataFrame([asdict(process) for process in self.processes])

    def to_toml(self) -> str:
        """Return TOML text that ``from_toml`` reads back as the same analysis."""
        parts = [
            _section("[bullseye]", asdict(self.bullseye)),
            *(
                _section("[[segment]]", {"applies_to": s.applies_to, **asdict(s.bullseye)})
                for s in self.segments
            ),
            _section("[tracking]", asdict(self.tracking)),
            *(_section("[[process]]", _written(one, _OF_PROCESS)) for one in self.processes),
            *(_section("[[metric]]", _written(one, _RULES)) for one in self.metrics),
        ]
        return "\n".join(part for part in parts if part)


def _changes(what: str, mine: Sequence[_Rules], theirs: Sequence[_Rules]) -> list[str]:
    """Describe which processes or metrics are missing, are new, or have other rules."""
    here, there = ({one.name: replace(one, why="") for one in ones} for ones in (mine, theirs))
    changes = [f"{what} {name} is missing" for name in here if name not in there]
    changes += [f"{what} {name} is new" for name in there if name not in here]
    both = [name for name in here if name in there]
    changes += [f"{what} {name} has other rules" for name in both if here[name] != there[name]]
    return changes


def _success_metrics(analysis: SuccessAnalysis) -> tuple[object, ...]:
    """Return the general success metric and that of each segment."""
    segments = [(s.applies_to, s.bullseye.success_metric) for s in analysis.segments]
    return analysis.bullseye.success_metric, segments


def applies(applies_to: Mapping[str, tuple[str, ...]], attributes: Mapping[str, object]) -> bool:
    """Return whether an account's attributes satisfy ``applies_to``.

    >>> applies({"segment": ("mid", "large")}, {"segment": "mid"}), applies({}, {})
    (True, True)
    """
    return all(attributes.get(name) in values for name, values in applies_to.items())


def applies_to_rows(
    applies_to: Mapping[str, tuple[str, ...]], accounts: pd.DataFrame
) -> NDArray[np.bool_]:
    """Return whether each account, one per row with its attributes, satisfies ``applies_to``."""
    import numpy as np

    holds = np.ones(len(accounts), dtype=bool)
    for name, values in applies_to.items():
        holds &= accounts[name].isin(list(values)).to_numpy(dtype=bool)
    return holds


def read_success_analysis(path: str | Path) -> SuccessAnalysis:
    """Read a Success Analysis from a ``.toml`` file, or from ``success.toml`` in a folder.

    Raises SuccessAnalysisError, which lists every fault with its line.

    >>> read_success_analysis("nowhere.toml")
    Traceback (most recent call last):
    leadsignal.errors.SuccessAnalysisError: 1 fault in the success analysis:
      nowhere.toml: no such file. Correct the path.
    """
    path = Path(path)
    path = path / "success.toml" if path.is_dir() else path
    try:
        text = read_settings_file(path)
    except OSError:
        problem, remedy = "no such file", "Correct the path."
    except UnicodeDecodeError:
        problem, remedy = "is not UTF-8", "Save it as UTF-8."
    except OptionError as error:
        problem, remedy = error.problem, error.remedy + "."
    else:
        return SuccessAnalysis.from_toml(text, path.name)
    raise SuccessAnalysisError([Fault(str(path), None, None, None, None, problem, remedy)])


_BULLSEYE: dict[str, Callable[[Any], Any]] = {
    "objective": a_text,
    "success_metric": a_text,
    "traits": texts,
}
_TRACKING: dict[str, Callable[[Any], Any]] = dict.fromkeys(("sponsor", "handoff", "diary"), texts)
_PROCESS: dict[str, Callable[[Any], Any]] = {
    "name": identifier,
    "why": a_text,
    "behavior": texts,
    "at_least": positive,
    "by_users": whole,
    "within": a_duration,
    "sustained_for": whole,
    "adopt_by": a_duration,
}
_OF_PROCESS = (*_PROCESS, "applies_to")
_TOP = ("bullseye", "segment", "tracking", "process", "metric")
_REQUIRED = ("name", "behavior", "at_least", "within")


def _analysis(settings: Settings, file: str | None) -> SuccessAnalysis:
    top = settings.section((), settings.values, _TOP)
    bullseye = settings.section(("bullseye",), top.get("bullseye", {}), _BULLSEYE)
    tracking = settings.section(("tracking",), top.get("tracking", {}), _TRACKING)
    blocks, metric_blocks = (_sections(settings, top, name) for name in ("process", "metric"))
    if not blocks and not metric_blocks and not settings.faults:
        remedy = "Add a section [[process]] or [[metric]]"
        settings.fault(("process",), "names no process and no metric", remedy)
    processes = [_process(settings, index, value) for index, value in enumerate(blocks)]
    _check_number(settings, processes)
    settings.check_names("process", "processes", (one.name if one else None for one in processes))
    listed = enumerate(_sections(settings, top, "segment"))
    segments = [_segment(settings, index, value) for index, value in listed]
    return SuccessAnalysis(
        tuple(process for process in processes if process is not None),
        Bullseye(**settings.take_all(("bullseye",), bullseye, _BULLSEYE)),
        Tracking(**settings.take_all(("tracking",), tracking, _TRACKING)),
        file,
        tuple(segment for segment in segments if segment is not None),
        read_metrics(settings, metric_blocks),
    )


def _sections(settings: Settings, top: Mapping[str, Any], name: str) -> list[Any]:
    blocks = top.get(name, [])
    if not isinstance(blocks, list):
        settings.fault((name,), "must be a list of sections", f"Write [[{name}]]")
        return []
    return blocks


def _check_number(settings: Settings, processes: list[Process | None]) -> None:
    """Refuse too many processes for the same account; each segment may have its own."""
    placed = [(index, p) for index, p in enumerate(processes) if p is not None]
    for chosen in combinations(placed, MAX_PROCESSES + 1):
        if _meet([process.applies_to for _, process in chosen]):
            settings.fault(
                ("process", chosen[-1][0]),
                f"{len(chosen)} processes for the same accounts are too many",
                f"Keep the {MAX_PROCESSES} that matter most, or set applies_to for each",
            )
            return


def _meet(conditions: list[Mapping[str, tuple[str, ...]]]) -> bool:
    """Return whether an account can satisfy all conditions."""
    names = {name for one in conditions for name in one}
    return all(
        set.intersection(*(set(one[name]) for one in conditions if name in one)) for name in names
    )


def _segment(settings: Settings, index: int, content: object) -> Segment | None:
    path = ("segment", index)
    section = settings.section(path, content, (*_BULLSEYE, "applies_to"))
    if not isinstance(content, dict):
        return None
    applies_to = _applies_to(settings, path, section)
    if not applies_to:
        remedy = 'Add applies_to = { segment = ["enterprise"] }'
        settings.fault(path, "does not say what it applies to", remedy)
    if not section.keys() & _BULLSEYE.keys():
        remedy = "Add objective, success_metric or traits, or leave it out"
        settings.fault(path, "defines nothing of its own", remedy)
    return Segment(applies_to, Bullseye(**settings.take_all(path, section, _BULLSEYE)))


def _applies_to(
    settings: Settings, path: KeyPath, section: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    return settings.read_each((*path, "applies_to"), section.get("applies_to", {}), texts)


def _process(settings: Settings, index: int, content: object) -> Process | None:
    path = ("process", index)
    section = settings.section(path, content, _OF_PROCESS)
    if not isinstance(content, dict):
        return None
    for key in _REQUIRED:
        if key not in section:
            settings.fault(path, f"has no {key}", f"Add {key} to the process")
    taken = settings.take_all(path, section, _PROCESS)
    applies_to = _applies_to(settings, path, section)
    _check_sizes(settings, path, taken)
    if any(key not in taken for key in _REQUIRED):
        return None
    return Process(behaviors=taken.pop("behavior"), applies_to=applies_to, **taken)


def _check_sizes(settings: Settings, path: KeyPath, taken: dict[str, Any]) -> None:
    if taken.get("by_users", 1) > max(1, taken.get("at_least", float("inf"))):
        remedy = "Ask for at least one event a user: raise at_least or lower by_users"
        settings.fault((*path, "by_users"), "is above at_least", remedy, taken["by_users"])
    if not taken.get("behavior", ("any",)):
        settings.fault((*path, "behavior"), "names no behaviour", "Name at least one")


def _written(one: Process | BehaviorMetric, keys: Iterable[str]) -> dict[str, Any]:
    """Return the keys and values of the section of a process or a metric, in order."""
    values = asdict(one)
    values["behavior"] = values.pop("behaviors")
    for key in values.keys() & {"within", "adopt_by", "before", "by_day"}:
        values[key] = f"{values[key]}d" if values[key] else None
    return {key: values[key] for key in keys}


def _section(header: str, values: Mapping[str, Any]) -> str:
    lines = [f"{key} = {as_toml(value)}" for key, value in values.items() if value]
    return "\n".join([header, *lines, ""]) if lines else ""
