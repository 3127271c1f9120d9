"""Convert fitted estimators to plain dictionaries and back: numbers and lists only, for JSON.

The content is checked when it is read, because prediction does not check it: the number of
coefficients, the columns that trees use, finite numbers. Readers raise ValueError for invalid
content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.model.features import IndicatorColumns, Layout
from leadsignal.model.learners import Boosting, LandmarkCox, LearnerTypes, LinearColumns, Logistic
from leadsignal.model.stacked_model import StackedModel
from leadsignal.model.trees import MISSING, BoostedTrees, Node, Split

Floats = NDArray[np.float64]


MAX_NUMBER = 1e100
"""Maximum absolute number in a model; sums and products of smaller ones stay finite."""
MAX_THRESHOLD = float(np.finfo(np.float64).max)
MAX_TREES, MAX_DEPTH = 1_000, 64


def stacked_model_to_dict(model: StackedModel) -> dict[str, Any]:
    """Return a stacked model ready for JSON."""
    return {
        "intercept": model.intercept,
        "weights": model.weights.tolist(),
        "members": list(map(_member_to_dict, model.members)),
    }


def _member_to_dict(member: Any) -> dict[str, Any]:
    if isinstance(member, Boosting):
        trees = list(map(_node_to_dict, member.trees.trees))
        return {"baseline": member.trees.baseline, "trees": trees}
    content = {"coefficients": member.coefficients.tolist()}
    if isinstance(member, LandmarkCox):
        content["reference"] = member.reference.tolist()
        content["increments"] = member.increments.tolist()
    else:
        content["intercept"] = member.intercept
    if member.columns.how.any():
        encoder = member.columns.encoder
        content["encoder"] = {name: getattr(encoder, name).tolist() for name in ENCODER}
    return content


ENCODER = ("numbers", "logged", "mean", "scale", "with_gaps", "flags")
"""Attributes of `IndicatorColumns`."""


def _node_to_dict(node: Node) -> dict[str, Any] | float:
    if not isinstance(node, Split):
        return node
    branches = {"left": _node_to_dict(node.left), "right": _node_to_dict(node.right)}
    content = {"column": node.column, "missing_left": node.missing_left, **branches}
    if node.codes is None:
        return {**content, "threshold": node.threshold}
    return {**content, "codes": list(node.codes)}


# Reading


def stacked_model_from_dict(
    content: Any, layout: Layout, learners: LearnerTypes, levels: Mapping[int, int]
) -> StackedModel:
    """Return the model that `stacked_model_to_dict` wrote, for a design with this layout.

    ``levels`` maps each categorical column to its number of codes.
    """
    _need_parts(content, "intercept", "weights", "members")
    members = content["members"]
    if not isinstance(members, list) or len(members) != len(learners):
        raise ValueError("members are not those of the estimator")
    return StackedModel(
        tuple(
            _member(member, learner(layout, 0), levels)
            for member, learner in zip(members, learners, strict=True)
        ),
        _floats(content, "weights", len(learners), low=0),
        _number(content["intercept"], "intercept"),
    )


def _member(
    content: Any, learner: Boosting | Logistic | LandmarkCox, levels: Mapping[int, int]
) -> Boosting | Logistic | LandmarkCox:
    """Return the learner with its fitted numbers set."""
    if isinstance(learner, Boosting):
        _need_parts(content, "baseline", "trees")
        learner.trees = _boosted(content, learner.layout, levels)
        return learner
    own = ("reference", "increments") if isinstance(learner, LandmarkCox) else ("intercept",)
    encoded = ("encoder",) if learner.columns.how.any() else ()
    _need_parts(content, "coefficients", *own, *encoded)
    count = _columns_of(learner.columns, content.get("encoder"), levels)
    learner.coefficients = _floats(content, "coefficients", count)
    if isinstance(learner, LandmarkCox):
        learner.reference = _floats(content, "reference", count)
        learner.increments = _floats(content, "increments", len(learner.layout.ends), low=0)
    else:
        learner.intercept = _number(content["intercept"], "intercept")
    return learner


def _columns_of(columns: LinearColumns, content: Any, levels: Mapping[int, int]) -> int:
    """Set the encoder of a linear model and return the number of columns it reads."""
    coded = columns.layout.is_category[columns.how]
    if not len(coded):
        return columns.timing_count
    _need_parts(content, *ENCODER)
    numbers, gaps = (_places(content, name, len(coded)) for name in ("numbers", "with_gaps"))
    if coded[numbers].any():
        raise ValueError("numbers has a category")
    of_encoder = {k: levels[place] for k, place in enumerate(np.flatnonzero(columns.how).tolist())
                  if place in levels}  # fmt: skip
    logged = _list(content, "logged", len(numbers), _is_flag).astype(bool)
    mean = _floats(content, "mean", len(numbers))
    scale = _floats(content, "scale", len(numbers), low=np.finfo(float).tiny)
    flags = _list(content, "flags", None, lambda flag: _is_flag_of(flag, of_encoder))
    coded_as = flags.astype(float).reshape(-1, 2)
    columns.encoder = IndicatorColumns(numbers, logged, mean, scale, gaps, coded_as)
    return columns.timing_count + len(numbers) + len(gaps) + len(flags)


def _boosted(content: Mapping[str, Any], layout: Layout, levels: Mapping[int, int]) -> BoostedTrees:
    trees = content["trees"]
    if not isinstance(trees, list) or len(trees) > MAX_TREES:
        raise ValueError(f"trees is not a list of at most {MAX_TREES:,} trees")
    baseline = _number(content["baseline"], "baseline")
    return BoostedTrees(baseline, tuple(_node(tree, len(layout.names), levels) for tree in trees))


def _node(content: Any, columns: int, levels: Mapping[int, int], depth: int = 0) -> Node:
    if not isinstance(content, dict):
        return _number(content, "a leaf")
    is_category = content.get("column") in levels
    part = "codes" if is_category else "threshold"
    _need_parts(content, "column", "missing_left", "left", "right", part)
    column = content["column"]
    if not _is_whole(column, columns) or not _is_flag(content["missing_left"]) or depth > MAX_DEPTH:
        raise ValueError("trees has an invalid split")
    threshold, codes = None, None
    if is_category:
        codes = tuple(_places(content, "codes", min(levels[column], MISSING)).tolist())
    else:
        threshold = _number(content["threshold"], "threshold", MAX_THRESHOLD)
    branches = (_node(content[side], columns, levels, depth + 1) for side in ("left", "right"))
    return Split(column, content["missing_left"], threshold, codes, *branches)


# Parts


def _need_parts(content: Any, *parts: str) -> None:
    if not isinstance(content, dict) or set(content) != set(parts):
        raise ValueError(f"an estimator does not have the parts {', '.join(parts)}")


def _is_whole(value: object, end: int) -> bool:
    return type(value) is int and 0 <= value < end


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_flag_of(value: object, levels: Mapping[int, int]) -> bool:
    """Whether the value is a pair of a categorical column and one of its codes."""
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        return False
    return value[0] in levels and value[1] in range(levels[value[0]])


def _is_number(value: object, most: float = MAX_NUMBER) -> bool:
    return type(value) in (int, float) and abs(value) <= most  # type: ignore[arg-type]


def _number(value: Any, name: str, most: float = MAX_NUMBER) -> float:
    if not _is_number(value, most):
        raise ValueError(f"{name} is not a finite number")
    return float(value)


def _list(
    content: Mapping[str, Any], name: str, count: int | None, holds: Callable[[Any], bool]
) -> NDArray[Any]:
    """Return a list as an array; ``count`` None allows any length."""
    values = content[name]
    right = isinstance(values, list) and count in (None, len(values))
    if not right or not all(map(holds, values)):
        raise ValueError(f"{name} is not a valid part of an estimator")
    return np.array(values)


def _floats(content: Mapping[str, Any], name: str, count: int, low: float = -np.inf) -> Floats:
    return _list(content, name, count, lambda v: _is_number(v) and v >= low).astype(np.float64)


def _places(content: Mapping[str, Any], name: str, end: int) -> NDArray[np.int64]:
    """Return strictly increasing integers from 0 to below ``end``."""
    places = _list(content, name, None, lambda value: _is_whole(value, end)).astype(np.int64)
    if (np.diff(places) <= 0).any():
        raise ValueError(f"{name} does not increase")
    return places
