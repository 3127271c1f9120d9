"""The shape of a saved estimator: a `StackedModel` of learners as `estimator_to_bytes` writes it.

Types are named by module and class. What fitting leaves behind and predicting does not need must be
there too, as `Boosting.fit` sets it.
"""

from __future__ import annotations

from typing import Any

from leadsignal.model.persistence.shapes import (
    Shape,
    a_dict,
    a_list,
    a_slice,
    a_tuple,
    an_object,
    array,
    holding,
    list_of,
    number,
    numbered,
    one_of,
    only,
    parts,
    reduced,
    text,
    tuple_of,
    typed,
    value,
    whole,
)

MAX_COLUMNS = 10_003
"""Columns of a design: 10,000 indicators, the step, and two of the renewal."""
MAX_TREES = 1_000
_NODE = (
    "value <f8,count <u4,feature_idx <i8,num_threshold <f8,missing_go_to_left |u1,left <u4,"
    "right <u4,gain <f8,depth <u4,is_leaf |u1,bin_threshold |u1,is_categorical |u1,bitset_idx <u4"
)
NODES = str([tuple(field.split()) for field in _NODE.split(",")])
"""The dtype of a tree's nodes, as its file says it."""
_CATEGORIES = 256

_NONE, _NO, _YES = only(None), only(False), only(True)
_COUNT, _COLUMNS, _SEED = whole(0, 2**53), whole(0, MAX_COLUMNS), whole(-(2**63), 2**64)
_FLOATS, _MASK = array("<f8", 1), array("|b1", 1)
_WHOLE_NUMBERS = array("<i8", 1)
_SCALAR = array("<u8", 0, "numpy.uint64")
_FLOAT_TYPE = typed("TypeNode", "numpy.float64")
_NAME = value(lambda item: isinstance(item, str) and item.isprintable())
_WORDS = number(-1e100, 1e100)

_OF_EVERY = {
    "_sklearn_version": text(r"[0-9][0-9A-Za-z.+]{0,30}"),
    "_sklearn_output_config": a_dict({"transform": only("default")}),
}


def _sklearn(kind: str, shapes: dict[str, Shape], optional: tuple[str, ...] = ()) -> Shape:
    return an_object(f"sklearn.{kind}", {**_OF_EVERY, **shapes}, (*_OF_EVERY, *optional))


_LAYOUT = an_object(
    "leadsignal.model.person_period.Layout",
    {
        "names": tuple_of(_NAME, MAX_COLUMNS),
        "is_category": _MASK,
        "signs": _WHOLE_NUMBERS,
        "ends": _WHOLE_NUMBERS,
    },
)

# Boosting

_ENCODER = _sklearn(
    "preprocessing._encoders.OrdinalEncoder",
    {
        "categories": only("auto"),
        "dtype": _FLOAT_TYPE,
        "handle_unknown": only("use_encoded_value"),
        "unknown_value": only(float("nan")),
        "encoded_missing_value": only(float("nan")),
        "min_frequency": _NONE,
        "max_categories": _NONE,
        "_infrequent_enabled": _NO,
        "n_features_in_": _COLUMNS,
        "categories_": list_of(_FLOATS, MAX_COLUMNS),
        "_missing_indices": numbered(whole(0, _CATEGORIES), MAX_COLUMNS),
    },
    ("_infrequent_enabled", "n_features_in_", "categories_", "_missing_indices"),
)
_CHECK = holding(
    "PartialNode",
    "functools.partial",
    parts(
        {
            "func": typed("FunctionNode", "sklearn.utils.validation.check_array"),
            "args": a_tuple(),
            "kwds": a_dict(
                {
                    "dtype": a_list(_FLOAT_TYPE),
                    "ensure_all_finite": _NO,
                    "force_all_finite": _NO,
                },
                ("ensure_all_finite", "force_all_finite"),
            ),
            "namespace": one_of(_NONE, a_dict({})),
        }
    ),
)
_NUMBERS = _sklearn(
    "preprocessing._function_transformer.FunctionTransformer",
    {
        "func": _CHECK,
        "inverse_func": _NONE,
        "validate": _NO,
        "accept_sparse": _NO,
        "check_inverse": _YES,
        "feature_names_out": _NONE,
        "kw_args": _NONE,
        "inv_kw_args": _NONE,
        "n_features_in_": _COLUMNS,
    },
    ("n_features_in_",),
)
_PLACES = list_of(_COLUMNS, MAX_COLUMNS)
_COLUMNS_KEPT = [
    a_tuple(only("encoder"), _ENCODER, _MASK),
    a_tuple(only("numerical"), _NUMBERS, _MASK),
]
_LEFT = list_of(one_of(_NO, _YES, _COLUMNS), MAX_COLUMNS)
_LEFT_BEFORE = an_object(
    "sklearn.compose._column_transformer._RemainderColsList",  # before 1.7
    {
        "data": _LEFT,
        "future_dtype": only(None, "str", "bool", "int"),
        "warning_was_emitted": _NO,
        "warning_enabled": only(True, False),
    },
)
_REMAINDER = a_tuple(only("remainder"), only("drop"), one_of(_LEFT, _LEFT_BEFORE))
_THREE = ("encoder", "numerical", "remainder")
_PREPROCESSOR = _sklearn(
    "compose._column_transformer.ColumnTransformer",
    {
        "transformers": a_list(*_COLUMNS_KEPT),
        "remainder": only("drop"),
        "sparse_threshold": only(0.3),
        "n_jobs": _NONE,
        "transformer_weights": _NONE,
        "verbose": _NO,
        "verbose_feature_names_out": _YES,
        "force_int_remainder_cols": only(True, "deprecated"),
        "n_features_in_": _COLUMNS,
        "_n_features": _COLUMNS,
        "_columns": a_list(_MASK, _MASK),
        "_transformer_to_input_indices": a_dict(dict.fromkeys(_THREE, _PLACES)),
        "_remainder": _REMAINDER,
        "sparse_output_": _NO,
        "transformers_": one_of(a_list(*_COLUMNS_KEPT, _REMAINDER), a_list(*_COLUMNS_KEPT)),
        "output_indices_": a_dict(dict.fromkeys(_THREE, a_slice(MAX_COLUMNS))),
    },
    ("force_int_remainder_cols", "_n_features"),
)


def _interval(inclusive: Shape) -> Shape:
    ends = {"low": only(0), "high": only(1), "low_inclusive": inclusive}
    return an_object("sklearn._loss.link.Interval", {**ends, "high_inclusive": inclusive})


_LOSS = _sklearn(
    "_loss.loss.HalfBinomialLoss",
    {
        "closs": one_of(
            reduced("sklearn._loss._loss.CyHalfBinomialLoss"),
            reduced("_loss.CyHalfBinomialLoss"),  # as scikit-learn before 1.8 calls it
        ),
        "link": holding("ObjectNode", "sklearn._loss.link.LogitLink", one_of(_NONE, a_dict({}))),
        "n_classes": only(2),
        "xp": _NONE,
        "device": _NONE,
        "approx_hessian": _NO,
        "constant_hessian": _NO,
        "interval_y_true": _interval(_YES),
        "interval_y_pred": _interval(_NO),
    },
    ("xp", "device"),
)
_RANDOM = holding(
    "RandomGeneratorNode",
    "numpy.random._generator.Generator",
    parts(
        {
            "bit_generator": a_dict(
                {
                    "bit_generator": only("PCG64"),
                    "state": a_dict(dict.fromkeys(("state", "inc"), whole(0, 2**128 - 1))),
                    "has_uint32": only(0, 1),
                    "uinteger": whole(0, 2**32 - 1),
                }
            ),
            "seed_seq": a_dict(
                {
                    "entropy": one_of(_SCALAR, whole(0, 2**128 - 1)),
                    "spawn_key": a_tuple(),
                    "pool_size": only(4),
                    "n_children_spawned": only(0),
                }
            ),
        }
    ),
)
_BIN_MAPPER = _sklearn(
    "ensemble._hist_gradient_boosting.binning._BinMapper",
    {
        "n_bins": only(256),
        "subsample": only(200_000),
        "is_categorical": one_of(_MASK, _NONE),
        "known_categories": one_of(_NONE, list_of(one_of(_FLOATS, _NONE), MAX_COLUMNS)),
        "random_state": one_of(_SCALAR, _SEED),
        "n_threads": whole(1, 10_000),
        "is_categorical_": array("|u1", 1),
        "missing_values_bin_idx_": only(255),
        "bin_thresholds_": list_of(_FLOATS, MAX_COLUMNS),
        "n_bins_non_missing_": array("<u4", 1),
    },
)
_TREE = an_object(
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    {
        "nodes": array(NODES, 1),
        "binned_left_cat_bitsets": array("<u4", 2),
        "raw_left_cat_bitsets": array("<u4", 2),
    },
)
_TREES = _sklearn(
    "ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    {
        "loss": only("log_loss"),
        "learning_rate": only(0.1),
        "max_iter": whole(1, MAX_TREES),
        "max_leaf_nodes": whole(2, 255),
        "max_depth": _NONE,
        "min_samples_leaf": _COUNT,
        "l2_regularization": number(0, 1e6),
        "max_features": number(0, 1),
        "max_bins": only(255),
        "monotonic_cst": _WHOLE_NUMBERS,
        "interaction_cst": _NONE,
        "categorical_features": _MASK,
        "warm_start": _NO,
        "early_stopping": _NO,
        "scoring": only("loss"),
        "validation_fraction": only(0.1),
        "n_iter_no_change": only(10),
        "tol": only(1e-7),
        "verbose": only(0),
        "random_state": _SEED,
        "class_weight": _NONE,
        "is_categorical_": one_of(_MASK, _NONE),
        "_preprocessor": one_of(_PREPROCESSOR, _NONE),
        "n_features_in_": _COLUMNS,
        "_is_categorical_remapped": one_of(_MASK, _NONE),
        "_label_encoder": _sklearn(
            "preprocessing._label.LabelEncoder", {"classes_": array("|b1", 1)}
        ),
        "classes_": array("|b1", 1),
        "n_trees_per_iteration_": only(1),
        "_fitted_with_sw": only(True),
        "_random_seed": one_of(_SCALAR, _SEED),
        "_feature_subsample_rng": _RANDOM,
        "_n_features": _COLUMNS,
        "_loss": _LOSS,
        "do_early_stopping_": _NO,
        "_use_validation_data": only(True, False),
        "_bin_mapper": _BIN_MAPPER,
        "_baseline_prediction": array("<f8", 2),
        "_predictors": list_of(a_list(_TREE), MAX_TREES),
        "_scorer": _NONE,
        "train_score_": _FLOATS,
        "validation_score_": _FLOATS,
    },
    ("_label_encoder", "_scorer", "_random_seed", "_fitted_with_sw"),
)
_BOOSTING = an_object(
    "leadsignal.model.learners.Boosting", {"layout": _LAYOUT, "seed": _SEED, "trees": _TREES}
)

# Linear models

_LEARNED = {
    "n_features_in_": _COLUMNS,
    "numbers_": _WHOLE_NUMBERS,
    "logged_": _MASK,
    "mean_": _FLOATS,
    "scale_": _FLOATS,
    "with_gaps_": _WHOLE_NUMBERS,
    "flags_": array("<f8", 2),
}
_INDICATORS = an_object(
    "leadsignal.model.encoding.IndicatorEncoder",
    {"categorical_features": _MASK, **_LEARNED},
    tuple(_LEARNED),
)
_LINEAR = an_object(
    "leadsignal.model.learners.LinearColumns",
    {"layout": _LAYOUT, "how": _MASK, "encoder": _INDICATORS, "timing_count": _COUNT},
)
_LOGISTIC = an_object(
    "leadsignal.model.learners.Logistic",
    {"columns": _LINEAR, "coefficients": _FLOATS, "intercept": _WORDS},
)
_COX = an_object(
    "leadsignal.model.learners.LandmarkCox",
    {
        "layout": _LAYOUT,
        "columns": _LINEAR,
        "coefficients": _FLOATS,
        "reference": _FLOATS,
        "increments": _FLOATS,
    },
)

_BLEND = an_object(
    "leadsignal.model.stacked_model.StackedModel",
    {
        "members": tuple_of(one_of(_BOOSTING, _LOGISTIC, _COX), 2),
        "weights": _FLOATS,
        "intercept": _WORDS,
    },
)
_OF_ROOT = {"protocol": int, "_skops_version": str}


def check_shape(schema: Any, arrays: Any) -> None:
    """Raise ValueError where a schema is not that of a stacked model."""
    if not isinstance(schema, dict) or any(
        type(schema.get(k)) is not t for k, t in _OF_ROOT.items()
    ):
        raise ValueError("no schema of skops")
    _BLEND({key: item for key, item in schema.items() if key not in _OF_ROOT}, "", arrays)
