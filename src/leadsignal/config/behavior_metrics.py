"""``[[metric]]`` in ``success.toml``: numbers computed from a project's own behaviours.

They are indicators, unlike the ``success_metric`` of a bullseye, which measures a customer's
success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from leadsignal.config.toml_files import (
    Path,
    Settings,
    a_duration,
    a_text,
    a_value_of,
    identifier,
    texts,
)
from leadsignal.errors import OptionError

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


def _metric(settings: Settings, path: Path, content: object) -> BehaviorMetric | None:
    section = settings.section(path, content, _RULES)
    if not isinstance(content, dict):
        return None
    taken = settings.take_all(path, section, _RULES)
    needed = _check_keys(settings, path, section, taken.get("measure"))
    _check_values(settings, path, taken)
    if any(key not in taken for key in needed):
        return None
    return BehaviorMetric(behaviors=taken.pop("behavior"), **taken)


def _check_keys(
    settings: Settings, path: Path, section: Mapping[str, Any], measure: str | None
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


def _check_values(settings: Settings, path: Path, taken: Mapping[str, Any]) -> None:
    for key in ("behavior", "per_behavior"):
        if not taken.get(key, ("any",)):
            settings.fault((*path, key), "names no behaviour", "Name at least one")
    before, within = taken.get("before"), taken.get("within")
    if taken.get("measure") == "change" and before and within and before < within:
        remedy = "Compare with at least as many days before"
        settings.fault((*path, "before"), "is shorter than within", remedy, f"{before}d")


def written_metric(metric: BehaviorMetric) -> dict[str, Any]:
    """Return the keys and values of a metric's section, in order.

    >>> metric = BehaviorMetric("export", "days since", ("exported",))
    >>> {key: value for key, value in written_metric(metric).items() if value}
    {'name': 'export', 'measure': 'days since', 'behavior': ('exported',)}
    """
    values = asdict(metric)
    values["behavior"] = values.pop("behaviors")
    for key in ("within", "before", "by_day"):
        values[key] = f"{values[key]}d" if values[key] else None
    return {key: values[key] for key in _RULES}
