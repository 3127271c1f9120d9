"""Which indicators explain a risk in the direction a reader expects, and their texts.

A subject's share is the joint effect of its columns on the risk. An indicator is named only if it
moves the risk by itself, when it alone is set to its typical value, and if its value is on the side
where accounts churned more often (less often if it lowers the risk).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.formats import share_text
from leadsignal.indicators.declare import DaysInState, Fact, FirstBy, ProcessState
from leadsignal.model.contributions import ABOVE, BELOW, side_named, typical_row
from leadsignal.model.stacked_model import log_odds

if TYPE_CHECKING:
    from leadsignal.indicators.declare import Indicator
    from leadsignal.model.churn_model import ChurnModel

Floats = NDArray[np.float64]


RESULTS = {
    "result_gap": ("the latest result is {} short of its target",
                   "the latest result is {} beyond its target"),
    "result_gap_90d": ("results of the last 90 days: {} short of target on average",
                       "results of the last 90 days: {} beyond target on average"),
    "result_gap_change": ("results fell: {} of the target below those of the last 270 days",
                          "results rose: {} of the target above those of the last 270 days"),
}  # fmt: skip
"""Wording of distances to a target below and above zero."""
SIDES = {
    "result_gap": ("{} short of it", "{} beyond it", "on target"),
    "result_gap_90d": ("{} short", "{} beyond", "on target"),
    "result_gap_change": ("{} below", "{} above", "unchanged"),
}
"""Wording of the usual distance below zero, above zero and at zero."""
FACTS = {
    "days_to_renewal": "renews in {} days",
    "tenure_days": "a customer for {} days",
    "term_months": "a term of {} months",
}
"""Wording of facts about the account."""
LAST = re.compile(r"days since the (?:last|latest) (.+)$")
COUNTED = re.compile(r"quantity of (?:all )?(.+?)( in \d+ days)?$")


def name_text(name: str) -> str:
    """Return the name of a column or process as words.

    >>> name_text("weekly_reconciliation")
    'weekly reconciliation'
    """
    return name.replace("_", " ")


def by_name(indicators: Iterable[Indicator]) -> dict[str, Indicator]:
    """Return indicators by name, longest name first, so that a prefix does not match first."""
    found = {indicator.name: indicator for indicator in indicators}
    return {name: found[name] for name in sorted(found, key=len, reverse=True)}


def indicator_text(name: Any, indicators: Mapping[str, Indicator]) -> str:
    """Return what an indicator is, in words; its name if it is not declared."""
    found = indicators.get(str(name))
    if found is None or found.unit == "as given":
        return name_text(str(name))
    if isinstance(found.rule, ProcessState):
        return f"state of {name_text(found.rule.process)}"
    return meaning_text(found)


def meaning_text(indicator: Indicator) -> str:
    """Return what an indicator measures, without the details."""
    return name_text(re.split("[;:]", indicator.meaning)[0])


def reason_text(
    name: str, value: Any, indicator: Indicator | None = None, reference: Any = None
) -> str:
    """Return an indicator's value as a phrase: what it measures, its value, and what is usual.

    Parameters
    ----------
    name : str
        The indicator's name, used as text if ``indicator`` is None.
    value : object
        Its value; None if it is missing.
    indicator : Indicator, optional
        Its declaration, which describes what is measured and over which window.
    reference : object, optional
        The usual value; omitted if None or equal to ``value``.

    Examples
    --------
    >>> from leadsignal.indicators.declare import Indicator, Trailing
    >>> meaning = "tickets opened in the last 30 days"
    >>> rule = Trailing("tickets", "opened_at", 30)
    >>> tickets = Indicator("tickets_30d", "tickets", "leading", "tickets", meaning, rule)
    >>> reason_text("tickets_30d", 1.0, tickets, 4.5)
    '1 ticket opened in 30 days, usually 4.5'
    >>> reason_text("tickets_30d", 0.0, tickets, 2.0)
    'no tickets opened in 30 days, usually 2'
    """
    return f"{_phrase(name, value, indicator)}{_usually(name, value, indicator, reference)}"


def _usually(name: str, value: Any, indicator: Indicator | None, reference: Any) -> str:
    """Return the usual value as the end of a phrase; empty if it is the same or unknown."""
    if value is None or reference in (None, value) or name == "usage_low":
        return ""
    if indicator is not None and isinstance(indicator.rule, FirstBy):
        return ""
    if name in SIDES and indicator is not None:
        below, above, none = SIDES[name]
        distance = share_text(abs(reference))
        side = none if distance == share_text(0.0) else below if reference < 0 else above
        return f", usually {side.format(distance)}"
    mine, usual = (_amount(one, indicator) for one in (value, reference))
    if mine == usual:
        usual = f"{reference:,.6g}"
    is_count = indicator is not None and re.fullmatch(r"(?!days|months)\w+s", indicator.unit)
    return f", usually {'none' if usual == '0' and is_count else name_text(usual)}"


def _phrase(name: str, value: Any, indicator: Indicator | None) -> str:
    amount = _amount(value, indicator)
    if indicator is None or indicator.unit == "as given":
        return f"{name_text(name)} {name_text(amount)}"
    if isinstance(indicator.rule, ProcessState):
        return f"{name_text(indicator.rule.process)} {name_text(amount)}"
    meaning = _short(indicator)
    if isinstance(indicator.rule, FirstBy):
        return f"{meaning}: {'not known yet' if value is None else 'done' if value else 'not done'}"
    if value is None:
        found = LAST.match(meaning)
        return f"no record of {found[1]}" if found else f"{meaning}: none known"
    if name == "usage_low":
        return "usage is low" if value else "usage is not low"
    if isinstance(indicator.rule, DaysInState):
        unchanged = _singular(f"no change for {amount} days", amount, "days")
        return f"{name_text(indicator.rule.process)}: {unchanged}"
    if name in RESULTS:
        below, above = RESULTS[name]
        return (below if value < 0 else above).format(share_text(abs(value)))
    if isinstance(indicator.rule, Fact) and name in FACTS:
        return _singular(FACTS[name].format(amount), amount, FACTS[name].split()[-1])
    return _counted(indicator, meaning, amount)


def _counted(indicator: Indicator, meaning: str, amount: str) -> str:
    """Return a number together with what it counts."""
    if meaning.startswith("days since"):
        return _singular(f"{amount} {meaning}", amount, "days")
    if found := COUNTED.match(meaning):
        what, window = found[1], found[2] or ""
        return f"no {what}{window}" if amount == "0" else f"{what}: {amount}{window}"
    if _counts(indicator):
        counted = _singular(meaning, amount, indicator.unit)
        return f"{'no' if amount == '0' else amount} {counted}"
    return f"{meaning}: {amount}"


def _short(indicator: Indicator) -> str:
    """Return what an indicator measures, with a shorter text for its window."""
    return re.sub(r"\bin the last (\d+) days", r"in \1 days", meaning_text(indicator))


def _counts(indicator: Indicator) -> bool:
    """Whether the unit names what is counted, as "tickets" in "tickets opened in 30 days"."""
    unit = indicator.unit
    return unit.endswith("s") and re.search(rf"\b{unit}\b", indicator.meaning) is not None


def _singular(text: str, amount: str, unit: str) -> str:
    """Return the text in the singular if the amount is 1: "ticket opened"."""
    if amount != "1":
        return text
    return re.sub(rf"\b{unit}\b", unit[:-1], text, count=1).replace(" their ", " its ")


def _amount(value: Any, indicator: Indicator | None) -> str:
    """Return a value as text, with few digits."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return value
    number = float(value)
    if indicator is not None and indicator.unit.startswith("share"):
        return share_text(number).replace("-", "\N{MINUS SIGN}")
    if abs(number) >= 10:
        return f"{number:,.0f}"
    return f"{number:.2g}".replace("-", "\N{MINUS SIGN}")


MIN_ALONE = 0.02
"""Minimum change in log-odds by itself for an indicator to be named."""
MIN_UNUSUAL = 0.3
"""Minimum share of other accounts that are closer to the middle for a value to be named."""
DISTINCT = 0.5
"""Minimum share of a group's effect that a member must have to be named instead."""
TRIED = 4
"""Number of a subject's most unusual indicators, or groups, whose own effect is computed."""
OWN_FACTS = ("tenure_days", "days_to_renewal", "term_months", "arr_now")
"""Columns in the family "context" that are not attributes."""
SEGMENTS = frozenset(
    ("segment", "industry", "sector", "vertical", "region", "country", "language", "tier", "plan",
     "edition", "product", "channel", "size", "employees", "seats", "licences", "licenses")
)  # fmt: skip
"""Words in the names of attributes that describe the kind of account and never a person."""
OPEN_STATES = ("overdue", "lapsed", "pending")
ADOPTED = ("adopted",)

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """Columns that are set to their typical values together, and those that may be named.

    ``kind`` is "indicator", "state" (of a process, with its days), "group" (of correlated
    behaviours), "segment" or "attribute"; an attribute may contain the name of a person.
    """

    columns: tuple[int, ...]
    subject: str
    kind: str = "indicator"

    @property
    def named(self) -> tuple[int, ...]:
        """Columns whose values may be named."""
        return self.columns if self.kind == "group" else self.columns[:1]


@dataclass(frozen=True, eq=False)
class Moving:
    """What moves the risk of each row most, by subject.

    ``part`` and ``column`` (rows, subjects) are the part, -1 if there is none, and the column that
    is named. ``on_side`` (rows, columns) marks the values on the side that is read as moving the
    risk.
    """

    part: NDArray[np.int64]
    column: NDArray[np.int64]
    on_side: Flags


def parts_of(model: ChurnModel) -> list[Part]:
    """Return the parts of a model that can be named: groups of behaviours, then indicators."""
    names, places = model.features_.names, {n: k for k, n in enumerate(model.features_.names)}
    found = [
        Part(tuple(places[name] for name in group), model.subject(group[0]), "group")
        for group in model.groups_
    ]
    columns: tuple[int, ...]
    for place, name in enumerate(names):
        family = model.families_[name]
        columns, kind = (place,), "indicator"
        if family == "processes" and name.endswith("_days_in_state"):
            continue
        if family == "processes" and name.endswith("_state"):
            days = places.get(f"{name.removesuffix('_state')}_days_in_state")
            columns, kind = (place, *([] if days is None else [days])), "state"
        elif family == "context" and name not in OWN_FACTS:
            kind = "segment" if SEGMENTS & set(name.lower().split("_")) else "attribute"
        found.append(Part(columns, model.subject(name), kind))
    return found


def moving_parts(
    model: ChurnModel,
    rows: pd.DataFrame,
    others: pd.DataFrame,
    parts: Sequence[Part],
    raises: pd.DataFrame,
    lowers: bool = False,
    with_gaps: Collection[str] | None = None,
) -> Moving:
    """Return, for each row and subject, the part that moves the risk most.

    ``raises`` (rows, subjects) marks the subjects for which a part is requested. Values must be on
    the side where more accounts churned or, with ``lowers``, on the other side. Missing values
    count only for the indicators in ``with_gaps``; None means all.
    """
    features = model.features_
    matrix = features.matrix(rows)
    typical = typical_row(features.matrix(others), features.is_category)
    if not parts:
        none = np.full(raises.shape, -1)
        return Moving(none, none, np.zeros(matrix.shape, dtype=bool))
    singles = [part for part in parts if part.kind != "group"]
    on_side, unusual = np.zeros(matrix.shape, dtype=bool), np.full(matrix.shape, -1.0)
    firsts = [part.columns[0] for part in singles]
    if firsts:
        on_side[:, firsts] = _on_side(model, matrix, typical, singles, lowers, with_gaps)
        unusual[:, firsts] = np.column_stack([_distance(model, rows, others, k) for k in firsts])
    unusual[~on_side] = -1.0
    requested = raises[[part.subject for part in parts]].to_numpy()
    score = np.column_stack([unusual[:, part.named].max(axis=1) for part in parts])
    subjects = [str(subject) for subject in raises.columns]
    tried = _most_unusual(np.where(requested, score, -1.0), parts, subjects)
    effect = np.zeros((len(rows), len(parts)))
    effect[tried] = _alone(model, matrix, typical, parts, tried) * (-1 if lowers else 1)
    best = _best(effect, parts, subjects)
    return Moving(best, _named_columns(best, unusual, parts), on_side)


def _named_columns(
    best: NDArray[np.int64], unusual: Floats, parts: Sequence[Part]
) -> NDArray[np.int64]:
    """Return the most unusual column of each part among those that `_on_side` allows."""
    columns = np.full(best.shape, -1)
    for number in np.unique(best[best >= 0]):
        named = np.array(parts[number].named)
        row, subject = np.nonzero(best == number)
        columns[row, subject] = named[unusual[row][:, named].argmax(axis=1)]
    return columns


def _on_side(
    model: ChurnModel,
    matrix: Floats,
    typical: Floats,
    parts: Sequence[Part],
    lowers: bool,
    with_gaps: Collection[str] | None,
) -> Flags:
    """Return a mask of the values on the side that is read as raising (lowering) the risk."""
    found = np.zeros((len(matrix), len(parts)), dtype=bool)
    for number, part in enumerate(parts):
        place = part.columns[0]
        name = model.features_.names[place]
        values, usual = matrix[:, place], typical[place]
        if part.kind == "attribute":
            continue
        if name in model.features_.levels:
            found[:, number] = np.isin(values, _codes(model, name, part, lowers))
            continue
        side = side_named(name, model.worse_)
        if lowers and side:
            side = BELOW if side == ABOVE else ABOVE
        found[:, number] = _beyond(values, usual, side)
        if with_gaps is None or name in with_gaps:
            found[:, number] |= np.isnan(values) & ~np.isnan(usual)
    return found


def _beyond(values: Floats, usual: float, side: str | None) -> Flags:
    """Return a mask of the values on ``side`` of the usual one; None: either side, "": neither."""
    if side is None:
        return np.asarray((values != usual) & ~np.isnan(values))
    above, below = side == ABOVE, side == BELOW
    return np.asarray((above & (values > usual)) | (below & (values < usual)))


def _codes(model: ChurnModel, name: str, part: Part, lowers: bool) -> list[int]:
    """Return the codes of a category that are read as raising (lowering) the risk."""
    levels = model.features_.levels[name]
    worse = model.worse_.get(name)
    if part.kind == "state":
        chosen = set(ADOPTED if lowers else OPEN_STATES)
    elif worse is None:
        chosen = set(levels)
    else:
        chosen = set(levels) - set(worse) if lowers else set(worse)
    return [code for code, level in enumerate(levels) if level in chosen]


def _most_unusual(score: Floats, parts: Sequence[Part], subjects: Iterable[str]) -> Any:
    """Return rows and parts: for each row and subject, the `TRIED` highest-scoring parts."""
    rows, numbers = [], []
    for subject in subjects:
        mine = np.array([k for k, part in enumerate(parts) if part.subject == subject], dtype=int)
        order = np.argsort(-score[:, mine], axis=1, kind="stable")[:, :TRIED]
        chosen = mine[order]
        row = np.repeat(np.arange(len(score)), chosen.shape[1])
        keep = score[row, chosen.ravel()] >= MIN_UNUSUAL
        rows.append(row[keep])
        numbers.append(chosen.ravel()[keep])
    return np.concatenate(rows), np.concatenate(numbers)


def _alone(
    model: ChurnModel, matrix: Floats, typical: Floats, parts: Sequence[Part], tried: Any
) -> Floats:
    """Return how much each part raises its row's log-odds compared with typical values."""
    if not len(tried[0]):
        return np.zeros(0)
    changed = matrix[tried[0]]
    for number in np.unique(tried[1]):
        at = tried[1] == number
        for column in parts[number].columns:
            changed[at, column] = typical[column]
    whole = log_odds(model.hazards_.curves(matrix)[0][:, -1])
    return np.asarray(whole[tried[0]] - log_odds(model.hazards_.curves(changed)[0][:, -1]))


def _best(effect: Floats, parts: Sequence[Part], subjects: Sequence[str]) -> NDArray[np.int64]:
    """Return the part with the largest effect; a group only if no member has most of its effect."""
    weighed = effect * [DISTINCT if part.kind == "group" else 1.0 for part in parts]
    best = np.full((len(effect), len(subjects)), -1)
    for at, subject in enumerate(subjects):
        mine = np.array([k for k, part in enumerate(parts) if part.subject == subject], dtype=int)
        if len(mine):
            strongest = mine[weighed[:, mine].argmax(axis=1)]
            enough = effect[np.arange(len(effect)), strongest] >= MIN_ALONE
            best[enough, at] = strongest[enough]
    return best


def _distance(model: ChurnModel, rows: pd.DataFrame, others: pd.DataFrame, place: int) -> Floats:
    """Return how unusual each value is among ``others``, from 0 (typical) to 1."""
    name = model.features_.names[place]
    values, of_others = rows[name], others[name]
    if name in model.features_.levels:
        shares = of_others.value_counts(normalize=True, dropna=False)
        return np.asarray(1 - values.map(shares).fillna(0).to_numpy(dtype=float))
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    known = of_others.to_numpy(dtype=float, na_value=np.nan)
    missing = float(np.isnan(known).mean())
    known = np.sort(known[~np.isnan(known)])
    if not len(known):
        return np.where(np.isnan(numbers), 1 - missing, 1.0)
    below, upto = (np.searchsorted(known, numbers, side) for side in ("left", "right"))
    middle = (below + upto + 1) / (2 * len(known))
    return np.where(np.isnan(numbers), 1 - missing, np.abs(2 * np.minimum(middle, 1) - 1))


def typical_value(column: pd.Series[Any]) -> Any:
    """Return the median of numbers or the most frequent category; None if all are missing."""
    known = column.dropna()
    if not len(known):
        return None
    if pd.api.types.is_numeric_dtype(known):
        return float(known.astype(float).median())
    return known.mode().iloc[0]


def known_value(value: Any) -> Any:
    """Return the value, or None if it is missing."""
    return None if value is None or value != value else value
