"""Which indicators of a subject move a risk by themselves, in the direction a reader expects.

A subject's share is the joint effect of its columns on the risk. An indicator is named only if it
moves the risk by itself, when it alone is set to its typical value, and if its value is on the side
where accounts churned more often (less often if it lowers the risk).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.model.directions import ABOVE, BELOW, side_named
from leadsignal.model.shapley import typical_row
from leadsignal.model.stacked_model import log_odds

if TYPE_CHECKING:
    from leadsignal.model.churn_model import ChurnModel

MIN_ALONE = 0.02
"""Minimum change in log-odds by itself for an indicator to be named."""
MIN_UNUSUAL = 0.3
"""Minimum share of other accounts that are closer to the middle for a value to be named."""
DISTINCT = 0.5
"""Minimum share of a group's effect that a member must have to be named instead."""
TRIED = 4
"""Number of a subject's most unusual indicators, or groups, whose own effect is computed."""
FACTS = ("tenure_days", "days_to_renewal", "term_months", "arr_now")
"""Columns in the family "context" that are not attributes."""
SEGMENTS = frozenset(
    ("segment", "industry", "sector", "vertical", "region", "country", "language", "tier", "plan",
     "edition", "product", "channel", "size", "employees", "seats", "licences", "licenses")
)  # fmt: skip
"""Words in the names of attributes that describe the kind of account and never a person."""
OPEN_STATES = ("overdue", "lapsed", "pending")
ADOPTED = ("adopted",)

Floats = NDArray[np.float64]
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
        elif family == "context" and name not in FACTS:
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
    matrix, typical = _arrays(model, rows, others)
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


def _arrays(model: ChurnModel, rows: pd.DataFrame, others: pd.DataFrame) -> tuple[Floats, Floats]:
    features = model.features_
    return features.matrix(rows), typical_row(features.matrix(others), features.is_category)


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
    if part.kind == "state":
        chosen = set(ADOPTED if lowers else OPEN_STATES)
    else:
        worse = model.worse_.get(name)
        if worse is None:
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
