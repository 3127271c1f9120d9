"""Whether the numbers of a loaded estimator fit together: predicting reads them without looking.

The shapes are known already (`estimator_shapes`). Each check raises ValueError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.model.learners import Boosting, LandmarkCox, LinearColumns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from leadsignal.model.person_period import Layout
    from leadsignal.model.stacked_model import StackedModel

MOST = 1e100
"""No number of a model is larger: sums and products of those below stay finite."""
MAX_CODES = 255
"""Codes of one category that boosting can tell apart."""


def check_stacked_model(stacked_model: StackedModel, layout: Layout) -> None:
    """Refuse a stacked model whose numbers do not fit together, or that reads other columns."""
    members = len(stacked_model.members)
    _need(members > 0 and len(stacked_model.weights) == members, "it has other weights")
    _finite(stacked_model.weights, "the weights")
    _need((stacked_model.weights >= 0).all(), "a weight is negative")
    for member in stacked_model.members:
        if isinstance(member, Boosting):
            _check_layout(member.layout, layout)
            _check_boosting(member.trees, layout)
        else:
            _check_layout(member.columns.layout, layout)
            if isinstance(member, LandmarkCox):
                _check_layout(member.layout, layout)
            _check_linear(member, layout)


def _need(holds: Any, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _same(one: NDArray[Any], other: NDArray[Any], what: str) -> None:
    _need(np.array_equal(one, other), f"{what} is another")


def _finite(numbers: NDArray[np.float64], what: str) -> None:
    _need((np.abs(numbers) <= MOST).all(), f"{what} are not finite")


class OtherFeaturesError(ValueError):
    """A learner reads other features than it should."""


def _check_layout(own: Layout, layout: Layout) -> None:
    same = tuple(own.names) == layout.names and np.array_equal(own.ends, layout.ends)
    if not same or not np.array_equal(own.is_category, layout.is_category):
        raise OtherFeaturesError("a learner reads other features")
    turned = np.isin(own.signs, (-1, 0, 1))
    _need(len(own.signs) == len(layout.names) and turned.all(), "the signs are others")


# Linear models


def _check_linear(member: Any, layout: Layout) -> None:
    count = _columns_of(member.columns, layout)
    _need(len(member.coefficients) == count, "it has other coefficients")
    _finite(member.coefficients, "the coefficients")
    if isinstance(member, LandmarkCox):
        _need(len(member.reference) == count, "it has another reference")
        _finite(member.reference, "the reference")
        _need(len(member.increments) == len(layout.ends), "it has other increments")
        _finite(member.increments, "the increments")
        _need((member.increments >= 0).all(), "the hazard falls")


def _columns_of(columns: LinearColumns, layout: Layout) -> int:
    """Return how many columns a linear model reads, after a look at each."""
    fresh = LinearColumns(layout)
    _same(columns.how, fresh.how, "what says how")
    nothing = np.full((1, len(layout.names)), np.nan)
    nothing[:, layout.names.index("step_begin")] = 0.0
    timing = int(fresh._when(nothing).shape[1])
    _need(columns.timing_count == timing, "it has other columns of time")
    if not fresh.how.any():
        return timing
    return timing + _encoded(columns.encoder, layout.is_category[fresh.how])


def _encoded(encoder: Any, coded: NDArray[np.bool_]) -> int:
    """Return how many columns an encoder makes."""
    _same(encoder.categorical_features, coded, "the mask of categories")
    _need(encoder.n_features_in_ == len(coded), "the encoder reads other columns")
    numbers = len(encoder.numbers_)
    _need(_ascending(encoder.numbers_, len(coded)), "the encoder reads other columns")
    _need(not coded[encoder.numbers_].any(), "the encoder reads a category as a number")
    _need(_ascending(encoder.with_gaps_, len(coded)), "the encoder reads other columns")
    for values in (encoder.logged_, encoder.mean_, encoder.scale_):
        _need(len(values) == numbers, "the encoder has other scales")
    # Encoded values are clipped to three standard deviations, however large they are.
    _need(np.isfinite(encoder.mean_).all(), "the means are not finite")
    positive = np.isfinite(encoder.scale_) & (encoder.scale_ > 0)
    _need(positive.all(), "a scale is not positive")
    flags = encoder.flags_
    _need(flags.shape[1] == 2, "the encoder has other flags")
    _finite(flags, "the flags")
    columns = flags[:, 0]
    within = (columns >= 0) & (columns < len(coded)) & (columns == np.floor(columns))
    _need(within.all() and coded[columns.astype(int)].all(), "the encoder has other flags")
    return numbers + len(encoder.with_gaps_) + len(flags)


def _ascending(places: NDArray[np.int64], end: int) -> bool:
    return bool(((places >= 0) & (places < end)).all() and (np.diff(places) > 0).all())


# Boosted trees


def _check_boosting(trees: Any, layout: Layout) -> None:
    coded, count = layout.is_category, len(layout.names)
    for read in (trees.n_features_in_, trees._n_features):
        _need(read == count, f"it reads {read} columns instead of {count}")
    for mask in (trees.categorical_features, trees.is_categorical_):
        _need(mask is None or np.array_equal(mask, coded), "the mask of categories is another")
    _need(len(trees.monotonic_cst) == count, "the signs are others")
    _need(np.isin(trees.monotonic_cst, (-1, 0, 1)).all(), "the signs are others")
    _need(trees.classes_.tolist() == [False, True], "it has other classes")
    _need(trees._baseline_prediction.shape == (1, 1), "it begins elsewhere")
    _finite(trees._baseline_prediction, "what it begins with")
    # Where there are categories, they come first.
    with_codes = bool(coded.any())
    _need((trees.is_categorical_ is not None) == with_codes, "the mask of categories is another")
    _need((trees._preprocessor is not None) == with_codes, "its categories are others")
    first = np.sort(coded)[::-1]
    known = _check_encoder(trees._preprocessor, coded) if with_codes else []
    _check_bins(trees, first, known)
    for (tree,) in trees._predictors:
        _check_tree(tree, first, trees._bin_mapper)


def _check_encoder(preprocessor: Any, coded: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the known codes of each category, after a look at the columns' encoder."""
    masks = {"encoder": coded, "numerical": ~coded}
    count = int(coded.sum())
    _need(preprocessor.n_features_in_ == len(coded), "the encoder reads other columns")
    for name, _, mask in [*preprocessor.transformers, *preprocessor.transformers_[:2]]:
        _same(mask, masks[name], "the mask of categories")
    for mask, right in zip(preprocessor._columns, masks.values(), strict=True):
        _same(mask, right, "the mask of categories")
    ends = {"encoder": (0, count), "numerical": (count, len(coded)), "remainder": (0, 0)}
    for name, part in preprocessor.output_indices_.items():
        _need((part.start, part.stop) == ends[name], "the encoder has other columns")
    places = preprocessor._transformer_to_input_indices
    for name, mask in masks.items():
        _need(places[name] == np.flatnonzero(mask).tolist(), "the encoder reads other columns")
    _need(not places["remainder"], "the encoder leaves columns out")
    encoder, numbers = (kept[1] for kept in preprocessor.transformers_[:2])
    _need(getattr(numbers, "n_features_in_", len(coded) - count) == len(coded) - count, "numbers")
    return _known(encoder, count)


def _known(encoder: Any, count: int) -> list[NDArray[np.float64]]:
    known: list[NDArray[np.float64]] = encoder.categories_
    _need(encoder.n_features_in_ == len(known) == count, "the encoder has other categories")
    missing = {}
    for place, codes in enumerate(known):
        gaps = np.isnan(codes)
        _need(not gaps[:-1].any(), "categories are not in order")
        if gaps.any():
            missing[place] = len(codes) - 1
        codes = codes[~gaps]
        _finite(codes, "categories")
        _need(len(codes) <= MAX_CODES and (np.diff(codes) > 0).all(), "categories are not in order")
    _need(encoder._missing_indices == missing, "missing values are others")
    return known


def _check_bins(trees: Any, first: NDArray[np.bool_], known: list[NDArray[np.float64]]) -> None:
    """Look at the bins of each column, in the trees' order of columns."""
    mapper, count = trees._bin_mapper, len(first)
    remapped = trees._is_categorical_remapped
    _need(remapped is None or np.array_equal(remapped, first), "the mask of categories is another")
    mask = mapper.is_categorical
    _need(mask is None or np.array_equal(mask, first), "the mask of categories is another")
    _need((remapped is None) == (mask is None) == (not known), "the mask of categories is another")
    _same(mapper.is_categorical_, first.astype(np.uint8), "the mask of categories")
    thresholds = mapper.bin_thresholds_
    _need(len(thresholds) == len(mapper.n_bins_non_missing_) == count, "it has other bins")
    _need((mapper.n_bins_non_missing_ <= mapper.n_bins).all(), "it has other bins")
    categories = mapper.known_categories or [None] * count
    _need(len(categories) == count, "it has other categories")
    for place, (bins, codes) in enumerate(zip(thresholds, categories, strict=True)):
        _need(np.isfinite(bins).all(), "bins are not finite")
        _need(len(bins) <= mapper.n_bins and (np.diff(bins) >= 0).all(), "bins are not in order")
        _need((codes is not None) == bool(first[place]), "it has other categories")
        if codes is not None:
            # The encoder has made the codes into places: 0, 1, 2 and so on.
            number = int((~np.isnan(known[place])).sum())
            _same(codes, np.arange(number, dtype=float), "categories")
            _same(bins, codes, "categories")


def _check_tree(tree: Any, first: NDArray[np.bool_], mapper: Any) -> None:
    """Refuse what is no tree, or reads what is not there: it is walked without looking."""
    nodes, sets = tree.nodes, tree.raw_left_cat_bitsets
    _need(0 < len(nodes) <= 2 * MAX_CODES, "a tree has other nodes")
    for name in ("is_leaf", "is_categorical", "missing_go_to_left"):
        _need((nodes[name] <= 1).all(), "a tree has other nodes")
    _finite(nodes["value"], "what a tree says")
    inner = nodes[nodes["is_leaf"] == 0]
    at = np.flatnonzero(nodes["is_leaf"] == 0)
    left, right = inner["left"].astype(np.int64), inner["right"].astype(np.int64)
    _need((left > at).all() and (right > at).all(), "a tree leads back")
    # Each node but the first is met once: nothing leads outside, and no way is walked twice.
    met = np.sort(np.concatenate([left, right]))
    _same(met, np.arange(1, len(nodes)), "a tree's way")
    column = inner["feature_idx"]
    _need(((column >= 0) & (column < len(first))).all(), "a tree reads another column")
    by_code = inner["is_categorical"] == 1
    _same(by_code, first[column], "a tree's kind of split")
    _need(not np.isnan(inner["num_threshold"]).any(), "a tree splits nowhere")
    _need(sets.shape[1:] == (8,) and tree.binned_left_cat_bitsets.shape == sets.shape, "a tree")
    _need((inner["bitset_idx"][by_code] < len(sets)).all(), "a tree has other categories")
