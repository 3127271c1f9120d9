"""What each subject adds to a risk, and which of its indicators a reason may name.

Exact Shapley values come from the risk under every coalition of subjects. A coalition keeps the
columns of its subjects and sets the others to a reference. There are 2 ** n coalitions of n
subjects, but a tree reads few subjects and a linear model is additive. Each part is therefore
evaluated only for coalitions of the subjects it reads, and only the sums for all coalitions.

Which indicators a reason may name is learned from the training rows. A column can have the wrong
sign in a model because a correlated column has the opposite one. Readers take reasons literally: "2
reports, usually 9" says that accounts with fewer reports leave more often. So a reason names a
value only if the observed churn rates agree.

Behaviours that all increase with the activity of an account are a group: which of them a model uses
is nearly arbitrary, so a reason names the whole group rather than one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import OptionError
from leadsignal.indicators.behaviors import BEHAVIOR_PARTS, BEHAVIORS
from leadsignal.model.features import design
from leadsignal.model.learners import Boosting, Logistic
from leadsignal.model.stacked_model import Hazards, StackedModel, check_chances, curves_of
from leadsignal.model.trees import BoostedTrees, by_blocks, splits_of, tree_values
from leadsignal.workers import one_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from leadsignal.model.features import Features

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


MAX_GROUPS = 12
ROWS_AT_ONCE = 20_000


def typical_row(matrix: NDArray[np.float64], is_category: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the median of each number and the most frequent code of each category.

    >>> typical_row(np.array([[1.0, 0.0], [3.0, 1.0], [8.0, 1.0]]), np.array([False, True]))
    array([3., 1.])
    """
    typical = np.full(matrix.shape[1], np.nan)
    for column, values in enumerate(matrix.T):
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        if is_category[column]:
            codes, counts = np.unique(known, return_counts=True)
            typical[column] = codes[counts.argmax()]
        else:
            typical[column] = np.median(known)
    return typical


def shapley_values(
    value: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    matrix: NDArray[np.float64],
    reference: NDArray[np.float64],
    groups: NDArray[Any],
) -> dict[str, NDArray[np.float64]]:
    """Return each group's Shapley value for each row, in the order in which groups first appear.

    ``value`` maps rows (rows, columns) to numbers (rows,); ``groups`` names the group of each
    column. A coalition keeps the columns of its groups and sets the others to ``reference``. The
    values of a row add up to value(row) - value(reference) (Shapley 1953). Raises OptionError for
    more than 12 groups, because every coalition is evaluated.

    >>> rows, origin = np.array([[2.0, 3.0]]), np.zeros(2)
    >>> shapley_values(lambda x: x[:, 0] * x[:, 1], rows, origin, np.array(["a", "b"]))
    {'a': array([3.]), 'b': array([3.])}
    """
    names = list(dict.fromkeys(groups.tolist()))
    if len(names) > MAX_GROUPS:
        raise OptionError(f"{len(names)} groups are too many", f"Give at most {MAX_GROUPS}")
    worth = np.empty((2 ** len(names), len(matrix)))
    for begin in range(0, len(matrix), ROWS_AT_ONCE):
        part = slice(begin, begin + ROWS_AT_ONCE)
        for coalition in range(len(worth)):
            kept = [name for bit, name in enumerate(names) if coalition >> bit & 1]
            worth[coalition, part] = value(np.where(np.isin(groups, kept), matrix[part], reference))
    return shares_of(worth, names)


def shares_of(worth: NDArray[np.float64], names: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return each group's Shapley value from the value of every coalition, (2 ** groups, rows).

    Group k belongs to a coalition if bit k of the coalition's number is set.
    """
    return {name: _share(worth, bit, len(names)) for bit, name in enumerate(names)}


def _share(worth: NDArray[np.float64], bit: int, count: int) -> NDArray[np.float64]:
    """Average what a group adds over the coalitions it joins, weighted |S|! (n - |S| - 1)! / n!."""
    share = np.zeros(worth.shape[1])
    for coalition in range(len(worth)):
        if not coalition >> bit & 1:
            size = coalition.bit_count()
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            share += weight * (worth[coalition | 1 << bit] - worth[coalition])
    return share


Table = tuple[tuple[int, ...], Floats]
"""The subjects that a part reads, and its score under their coalitions, (2 ** subjects, rows)."""


READ_TOGETHER = ("tenure_days", "days_to_renewal", "term_months")
"""Features that determine when a renewal comes; the design combines them."""
NOBODY = -1
"""Subject of a column that has the same value in all rows."""
ROWS_OF_COALITION = 256


def coalition_risks(
    hazards: Hazards, matrix: Floats, reference: Floats, subject: Ints
) -> Floats | None:
    """Return the risk within the horizon under each coalition, shape (2 ** subjects, rows).

    ``matrix`` has shape (rows, features). ``subject`` is the code of each feature's subject; bit k
    of a coalition's number says whether subject k belongs to it. None if the model has parts that
    are not separable (a Cox model), or if the features in ``READ_TOGETHER`` belong to several
    subjects.
    """
    columns = _subjects_of_columns(hazards, subject)
    members = [*hazards.churn.members, *(hazards.other.members if hazards.other else ())]
    separable = all(isinstance(member, Boosting | Logistic) for member in members)
    if columns is None or not separable or not len(matrix):
        return None
    count = int(subject.max()) + 1
    risks = np.empty((2**count, len(matrix)))

    def fill(block: slice) -> None:
        for begin in range(block.start, block.stop, ROWS_OF_COALITION):
            part = slice(begin, min(begin + ROWS_OF_COALITION, block.stop))
            risks[:, part] = _risks(hazards, matrix[part], reference, columns, count)

    with one_thread():
        by_blocks(fill, len(matrix))
    check_chances(risks.T)
    return risks


def _stacked(hazards: Hazards, matrix: Floats) -> Floats:
    rows, steps = len(matrix), len(hazards.ends)
    row, step = np.repeat(np.arange(rows), steps), np.tile(np.arange(steps), rows)
    return design(hazards.features, matrix, hazards.ends, row, step)


def _subjects_of_columns(hazards: Hazards, subject: Ints) -> Ints | None:
    """Return the subject of each column of a design; None if the timing columns have several."""
    names = hazards.features.names
    timing = {int(subject[place]) for place, name in enumerate(names) if name in READ_TOGETHER}
    if len(timing) > 1:
        return None
    added = [NOBODY]
    if "days_to_renewal" in names:
        added += [*timing] * 2
    return np.append(subject, added).astype(np.int64)


def _risks(
    hazards: Hazards, matrix: Floats, reference: Floats, columns: Ints, count: int
) -> Floats:
    """Return the risks of a few rows, shape (2 ** count, rows)."""
    from scipy.special import expit

    own = _stacked(hazards, matrix)
    others = _stacked(hazards, np.broadcast_to(reference, matrix.shape))
    shape = (2**count, len(matrix), len(hazards.ends))
    churn = expit(_scores(hazards.churn, own, others, columns, count)).reshape(shape)
    other = np.zeros(shape)
    if hazards.other is not None:
        other = expit(_scores(hazards.other, own, others, columns, count)).reshape(shape)
    return curves_of(churn, np.minimum(other, 1 - churn))[0][..., -1]


def _scores(
    stacked_model: StackedModel, own: Floats, others: Floats, columns: Ints, count: int
) -> Floats:
    """Return a stacked model's log-odds under each coalition, shape (2 ** count, rows)."""
    tables: dict[tuple[int, ...], Floats] = {}
    for member, weight in zip(stacked_model.members, stacked_model.weights, strict=True):
        if weight:
            for read, table in _tables(member, own, others, columns):
                tables[read] = tables.get(read, 0.0) + weight * table
    total = np.full((2**count, len(own)), stacked_model.intercept)
    for read, table in _merged(tables).items():
        total += table[_within(read, tuple(range(count)))]
    return total


def _merged(tables: dict[tuple[int, ...], Floats]) -> dict[tuple[int, ...], Floats]:
    """Return the tables, each added to one that reads a superset of its subjects, if any."""
    merged: dict[tuple[int, ...], Floats] = {}
    for read in sorted(tables, key=lambda read: (-len(read), read)):
        larger = next((other for other in merged if set(read) <= set(other)), None)
        if larger is None:
            merged[read] = tables[read].copy()
        else:
            merged[larger] += tables[read][_within(read, larger)]
    return merged


def _within(read: tuple[int, ...], among: tuple[int, ...]) -> Ints:
    """Return, for each coalition of ``among``, the number of its restriction to ``read``."""
    coalitions = np.arange(2 ** len(among))
    bits = [coalitions >> among.index(one) & 1 for one in read]
    numbers = [bit << place for place, bit in enumerate(bits)]
    return np.sum(numbers, axis=0, dtype=np.int64) if numbers else np.zeros_like(coalitions)


def _tables(member: object, own: Floats, others: Floats, columns: Ints) -> Iterator[Table]:
    if isinstance(member, Boosting):
        yield from _of_trees(member.trees, own, others, columns)
    elif isinstance(member, Logistic):
        yield from _of_sums(member, own, others, columns)


def _of_trees(boosted: BoostedTrees, own: Floats, others: Floats, columns: Ints) -> Iterator[Table]:
    mine, theirs = boosted.columns(own), boosted.columns(others)
    owner = {at: int(columns[at]) for at in mine}
    yield (), np.full((1, len(own)), boosted.baseline)
    for tree in boosted.trees:
        features = {split.column for split in splits_of(tree)}
        read = tuple(sorted({owner[at] for at in features} - {NOBODY}))
        table = np.empty((2 ** len(read), len(own)))
        for coalition in range(len(table)):
            kept = {one for bit, one in enumerate(read) if coalition >> bit & 1}
            seen = {at: (mine if owner[at] in kept else theirs)[at] for at in features}
            table[coalition] = tree_values(tree, seen)
        yield read, table


def _of_sums(member: Logistic, own: Floats, others: Floats, columns: Ints) -> Iterator[Table]:
    yield (), np.full((1, len(own)), member.intercept)
    subject = member.columns.sources(columns)
    mine, theirs = (member.columns.columns(rows) * member.coefficients for rows in (own, others))
    for one in sorted({int(number) for number in subject}):
        chosen = np.flatnonzero(subject == one)
        sums = [np.take(part, chosen, axis=1).sum(axis=1) for part in (theirs, mine)]
        yield ((), sums[1][None]) if one == NOBODY else ((one,), np.stack(sums))


ABOVE, BELOW = "above", "below"
MAX_COMPARED = 20_000
"""Maximum number of rows that are compared, spaced evenly over all rows."""

NATURAL = (
    (ABOVE, r"usage_low(_.+)?|result_stalled_days|results_not_shown|flags_.+|plans_overdue"),
    (ABOVE, r"(customer|vendor)_commitments_(open|overdue)|contract_reductions_365d"),
    (ABOVE, r"(usage|survey|result|sponsor|handoff|diary)_days_since(_.+)?"),
    (ABOVE, r"contract_days_since_expansion"),
    (BELOW, r"contract_(days_since_reduction|expansions_365d|arr_change_365d)"),
    (BELOW, r"(customer|vendor)_commitments_kept_180d|(sponsor|handoff|diary)_events_90d"),
    (BELOW, r"usage_(amount|share_of_quarter|to_best)(_.+)?|activity_.+|survey_score|health_score"),
    (BELOW, r"results?_(90d|gap|gap_90d|gap_change|met_365d)"),
)
"""The unfavourable side of built-in indicators, by name."""

Worse = dict[str, str | list[str]]
"""By indicator: "above" or "below" the typical value, or values of a category."""


def learn_worse(features: Features, rows: pd.DataFrame, churned: NDArray[np.bool_]) -> Worse:
    """Return on which side of each indicator the accounts in ``rows`` churned more often.

    ``churned`` (rows,) says whether an account churned within the horizon of its row. Rows are
    weighted so that each account counts once. An expected sign takes precedence; an indicator with
    neither a sign nor a difference is left out.
    """
    kept = slice(None, None, max(1, -(-len(rows) // MAX_COMPARED)))
    rows, churned = rows.iloc[kept], churned[kept]
    account = rows["account_id"].to_numpy(str)
    _, code, count = np.unique(account, return_inverse=True, return_counts=True)
    weight = 1.0 / count[code]
    matrix = features.matrix(rows)
    found: Worse = {}
    for place, name in enumerate(features.names):
        values = matrix[:, place]
        if name in features.levels:
            found[name] = _worse_levels(values, features.levels[name], churned, weight)
        elif side := _worse_side(values, churned, weight, features.expected_sign.get(name, 0)):
            found[name] = side
    return found


def side_named(name: str, worse: Worse) -> str | None:
    """Return the side on which a number may be named as raising the risk; None for either.

    An empty string means neither: more accounts churned on the favourable side.

    >>> side_named("survey_score", {"survey_score": "below"}), side_named("tickets_open", {})
    ('below', None)
    >>> side_named("survey_score", {"survey_score": "above"})
    ''
    """
    natural = next((side for side, names in NATURAL if re.fullmatch(names, name)), None)
    found = worse.get(name)
    if natural is None or found is None:
        return natural or (found if isinstance(found, str) else None)
    return natural if natural == found else ""


def _worse_side(values: Floats, churned: NDArray[np.bool_], weight: Floats, sign: int) -> str:
    """Return the side of a number on which more accounts churned; "" if there is none."""
    import pandas as pd

    if sign:
        return BELOW if sign > 0 else ABOVE
    known = ~np.isnan(values)
    left, stayed = known & churned, known & ~churned
    if not left.any() or not stayed.any():
        return ""
    rank = np.zeros(len(values))
    rank[known] = pd.Series(values[known]).rank()
    difference = _mean(rank, weight, left) - _mean(rank, weight, stayed)
    return "" if difference == 0 else ABOVE if difference > 0 else BELOW


def _worse_levels(
    codes: Floats, levels: tuple[str, ...], churned: NDArray[np.bool_], weight: Floats
) -> list[str]:
    """Return the values of a category with a higher churn rate than overall."""
    overall = _mean(churned.astype(float), weight, np.ones(len(codes), dtype=bool))
    return [
        level
        for code, level in enumerate(levels)
        if (codes == code).any() and _mean(churned.astype(float), weight, codes == code) > overall
    ]


def _mean(values: Any, weight: Floats, chosen: NDArray[np.bool_]) -> float:
    return float(np.average(values[chosen], weights=weight[chosen])) if chosen.any() else 0.0


MIN_CORRELATION = 0.7
"""Minimum mean absolute Spearman correlation at which two clusters are merged."""
RESAMPLES = 20
"""Number of bootstrap resamples of customers; a pair must be together in most of them."""
MAX_CUSTOMERS = 2_000
"""Maximum number of customers whose rows are compared."""
COLUMN = re.compile(rf"(?:behavior_)?(.+?)_(?:{'|'.join(BEHAVIOR_PARTS)})")

Groups = tuple[tuple[str, ...], ...]


def learn_groups(
    features: Features,
    rows: pd.DataFrame,
    families: Mapping[str, str],
    customer: NDArray[np.int64],
    seed: int,
) -> Groups:
    """Return groups of two or more behaviour indicators that are correlated in the training rows.

    One row per customer is used. In each of 20 resamples of customers, average linkage on 1 -
    |Spearman correlation| merges clusters that correlate by 0.7 or more. Any two indicators of a
    group are together in more than half of the resamples (Monti et al. 2003).
    """
    names = [name for name in features.names if families[name] == BEHAVIORS]
    names = [name for name in names if name not in features.levels]
    if len(names) < 2:
        return ()
    rng = np.random.default_rng(seed)
    chosen = _one_row_each(customer, rng)
    places = [features.names.index(name) for name in names]
    ranks = _ranks(features.matrix(rows.iloc[chosen])[:, places])
    together = np.zeros((len(names), len(names)))
    for _ in range(RESAMPLES):
        cluster = _clusters(ranks[rng.integers(len(ranks), size=len(ranks))])
        together += cluster[:, None] == cluster
    label = _linked(1 - together / RESAMPLES, "complete", 0.5 - 1e-9)
    members = [tuple(np.array(names)[label == one].tolist()) for one in np.unique(label)]
    return tuple(sorted((one for one in members if len(one) > 1), key=lambda one: one[0]))


def behavior_of(column: str) -> str:
    """Return the behaviour in the name of an indicator, as words.

    >>> behavior_of("behavior_report_exported_events_30d")
    'report exported'
    """
    found = COLUMN.fullmatch(column)
    return (found[1] if found else column).replace("_", " ")


def _one_row_each(customer: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return one random row for each of at most `MAX_CUSTOMERS` customers."""
    shuffled = rng.permutation(len(customer))
    _, first = np.unique(customer[shuffled], return_index=True)
    rows = shuffled[first]
    few = rng.permutation(len(rows))[:MAX_CUSTOMERS]
    return np.asarray(np.sort(rows[few]))


def _ranks(matrix: Floats) -> Floats:
    """Return the ranks of each column; missing values get the middle rank."""
    import pandas as pd

    ranks = pd.DataFrame(matrix).rank().to_numpy()
    middle = (1 + np.sum(~np.isnan(ranks), axis=0)) / 2
    return np.asarray(np.where(np.isnan(ranks), middle, ranks))


def _clusters(ranks: Floats) -> NDArray[np.int64]:
    """Return the cluster of each column in one resample."""
    centred = ranks - ranks.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(size > 0, size, 1.0)
    return _linked(1 - np.abs(unit.T @ unit), "average", 1 - MIN_CORRELATION)


def _linked(distance: Floats, method: str, most: float) -> NDArray[np.int64]:
    """Return the cluster of each item, with clusters merged up to the distance ``most``."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.clip((distance + distance.T) / 2, 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method)
    return np.asarray(fcluster(tree, most, "distance"), dtype=np.int64)
