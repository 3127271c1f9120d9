"""Every public survival function refuses every kind of bad input with the library's own error."""

import datetime
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from leadsignal import survival
from leadsignal.errors import OptionError
from leadsignal.survival import fit_cox, kaplan_meier

N = 8
STOP = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
EVENT = np.array([1, 1, 0, 1, 1, 0, 1, 0])
X = np.array([[0.0, 1], [1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [1, 1], [0, 0]])
GROUP = np.array(list("abababab"))
SCORE = np.array([0.9, 0.4, 0.5, 0.3, 0.2, 0.7, 0.6, 0.1])
DAYS = pd.Series(pd.to_timedelta(STOP, unit="D"))
DATES = pd.Series(pd.Timestamp("2024-01-01") + DAYS)

with_start = {"start": 0 * STOP}
weighted = {"weights": np.ones(N)}
CALLS = {
    "kaplan_meier": {
        "stop": STOP, "event": EVENT, **with_start, **weighted, "group": GROUP, "cluster": GROUP,
        "scale": "log", "level": 0.9,
    },
    "nelson_aalen": {
        "stop": STOP, "event": EVENT, **with_start, **weighted, "group": GROUP, "level": 0.9
    },
    "aalen_johansen": {
        "stop": STOP, "cause": EVENT, **with_start, **weighted, "group": GROUP, "cluster": GROUP,
        "level": 0.9,
    },
    "simon_makuch": {
        "stop": STOP, "event": EVENT, "state": GROUP, "start": 0 * STOP, "cluster": GROUP,
        "at_least": 1, "level": 0.9,
    },
    "logrank": {
        "stop": STOP, "event": EVENT, "group": GROUP, **with_start, "strata": np.repeat([1, 2], 4),
        **weighted, "kind": "fleming-harrington", "rho": 1.0, "gamma": 0.0,
    },
    "concordance": {
        "stop": STOP, "event": EVENT, "score": SCORE, **with_start, **weighted,
        "strata": np.ones(N), "cluster": GROUP, "horizon": 6.0, "censoring": "none", "level": 0.9,
    },
    "incident_auc": {
        "stop": STOP, "event": EVENT, "score": SCORE, "times": [0.0, 4.0, 8.0], **with_start,
        "cluster": GROUP, "level": 0.9,
    },
    "dynamic_auc": {
        "stop": STOP, "event": EVENT, "score": SCORE, "times": [2.5, 4.5], "cluster": GROUP,
        **weighted, "level": 0.9,
    },
    "brier": {
        "stop": STOP, "event": EVENT, "risk": SCORE, "times": 4.5, "cluster": GROUP, **weighted,
        "level": 0.9,
    },
    "calibration": {
        "stop": STOP, "event": EVENT, "risk": SCORE, "horizon": 4.5, "cluster": GROUP, **weighted,
        "bins": 3, "level": 0.9,
    },
    "fit_cox": {
        "X": X, "stop": STOP, "event": EVENT, **with_start, **weighted,
        "strata": np.repeat([1, 2], 4), "cluster": np.arange(N), "ties": "efron", "ridge": 0.1,
        "offset": SCORE, "names": ["a", "b"],
    },
    "fit_aft": {
        "X": X, "stop": STOP, "event": EVENT, "model": "weibull", **with_start, **weighted,
        "ridge": 0.1, "names": ["a", "b"],
    },
    "plot_kaplan_meier": {
        "stop": STOP, "event": EVENT, **with_start, **weighted, "group": GROUP
    },
}  # fmt: skip

fit = fit_cox(X, STOP, EVENT, ridge=0.1)
curves = kaplan_meier(STOP, EVENT)
METHODS = {
    "probability_at": (survival.probability_at, {"curves": curves, "time": 4.0, "cause": 1}),
    "restricted_mean": (survival.restricted_mean, {"curve": curves, "tau": 4.0, "cause": 1}),
    "at": (curves[0].at, {"times": [1.0]}),
    "quantile": (curves[0].quantile, {"share": 0.5}),
    "quantiles": (curves.quantiles, {"share": 0.5}),
    "linear_predictor": (fit.linear_predictor, {"X": X}),
    "summary_at": (fit.summary_at, {"level": 0.9}),
    "test_proportionality": (fit.test_proportionality, {"transform": "km", "terms": ["a", "b"]}),
    "along": (
        fit.baseline().along, {"X": X, "start": STOP - 1, "stop": STOP, "level": 0.9}
    ),
}  # fmt: skip

NOT_NUMBERS = {
    "timedelta64": DAYS.to_numpy(),
    "pandas durations with NaT": DAYS.where(EVENT == 1),
    "polars durations": pl.Series(DAYS.to_numpy()),
    "durations as objects": DAYS.astype(object),
    "python durations": [datetime.timedelta(days=float(day)) for day in STOP],
    "datetime64": DATES.to_numpy(),
    "dates with NaT": DATES.where(EVENT == 1),
    "python dates": [datetime.date(2024, 1, 1)] * N,
    "masked": np.ma.array(STOP, mask=EVENT == 0),
    "None in objects": np.array([1, None, 1, 0, 1, 1, 0, 1], dtype=object),
    "NaN in objects": np.array([1, np.nan, 1, 0, 1, 1, 0, 1], dtype=object),
    "NaT in objects": np.array([1, pd.NaT, 1, 0, 1, 1, 0, 1], dtype=object),
    "nullable integers": pd.Series([1, None, 1, 0, 1, 1, 0, 1], dtype="Int64"),
    "nullable booleans": pd.Series([True, None] * 4, dtype="boolean"),
    "nullable floats": pd.Series([1.0, None] * 4, dtype="Float64"),
    "polars nulls": pl.Series([1, None, 1, 0, 1, 1, 0, 1]),
    "text": ["1", "1", "0", "1", "1", "0", "1", "0"],
    "bytes": [b"1"] * N,
    "text as objects": np.array(["1"] * N, dtype=object),
    "complex": STOP + 0j,
    "complex objects": np.array([1 + 1j] * N, dtype=object),
    "NaN": np.where(EVENT == 1, np.nan, 1.0),
    "infinity": np.where(EVENT == 1, np.inf, 1.0),
    "a dictionary": {"a": 1},
    "a number beyond all floats": [10**400] * N,
}
WRONG_SHAPES = {
    "too short": STOP[:-1],
    "ragged": [[1.0], [1.0, 2.0]] * 4,
    "one number": 1.0,
    "a generator": (x for x in range(N)),
}
WITHOUT_NAMES = {
    "NaN": np.array([1.0, np.nan] * 4),
    "None": np.array(["a", None] * 4, dtype=object),
    "NaN in objects": np.array([True, np.nan, False, True] * 2, dtype=object),
    "NaT in objects": np.array(["a", pd.NaT] * 4, dtype=object),
    "NA in objects": np.array(["a", pd.NA] * 4, dtype=object),
    "text with NA": pd.Series(["a", None] * 4, dtype="string"),
    "categories with a gap": pd.Series(["a", None] * 4, dtype="category"),
    "nullable booleans": pd.Series([True, None] * 4, dtype="boolean"),
    "polars text with null": pl.Series(["a", None] * 4),
    "NaT": DATES.where(EVENT == 1),
    "masked": np.ma.array([1] * N, mask=EVENT == 0),
    "a mixture": np.array(["a", 1] * 4, dtype=object),
    "lists": np.array([[1], [2, 3]] * 4, dtype=object),
}
NO_NUMBER = {
    "None": None, "NaN": float("nan"), "infinity": float("inf"), "minus infinity": -float("inf"),
    "text": "0.5", "a list": [0.5, 0.7], "a duration": pd.Timedelta(days=3), "NaT": pd.NaT,
    "NA": pd.NA, "complex": 1j, "an object": object(), "negative": -3.0,
}  # fmt: skip
NO_CHOICE = {"None": None, "a number": 3, "an array": np.array(["log", "log"]), "unknown": "x"}
NO_HORIZONS = {
    "NaN": [np.nan], "infinity": [1.0, np.inf], "falling": [3.0, 2.0], "text": ["2", "3"],
    "durations": DAYS[:2], "dates": DATES[:2], "none": [], "masked": np.ma.array([1, 2], mask=True),
    "matrix": [[1.0, 2.0]], "complex": [1j, 2j],
}  # fmt: skip
NO_NAMES = {"text": "ab", "a number": 3, "twice": ["a", "a"], "too few": ["a"]}

NUMBERS = {**NOT_NUMBERS, **WRONG_SHAPES}
NOT_LABELS = {**WITHOUT_NAMES, **WRONG_SHAPES}
COLUMNS = {
    **{name: np.column_stack((value, value)) for name, value in NOT_NUMBERS.items()
       if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)},
    "masked": np.ma.array(X, mask=X == 0),
    "nullable": pd.DataFrame({"a": pd.array([1, None] * 4, dtype="Int64"), "b": SCORE}),
    "durations": pd.DataFrame({"a": DAYS, "b": SCORE}),
    "text": pd.DataFrame({"a": ["1"] * N, "b": SCORE}),
    "polars": pl.DataFrame({"a": ["1"] * N, "b": SCORE}),
    "a vector": STOP,
    "a number": 1.0,
    **WRONG_SHAPES,
}  # fmt: skip
ROLES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("stop", "event", "cause", "start", "weights", "score", "risk", "offset"),
                    NUMBERS),
    **dict.fromkeys(("group", "strata", "cluster", "state"), NOT_LABELS),
    **dict.fromkeys(("level", "share", "at_least", "bins", "rho", "gamma", "tau"), NO_NUMBER),
    "horizon": {name: NO_NUMBER[name] for name in NO_NUMBER if name not in ("None", "negative")},
    **dict.fromkeys(("scale", "kind", "censoring", "ties", "model", "transform"), NO_CHOICE),
    "time": {name: value for name, value in NO_NUMBER.items() if name != "negative"},
    "cause_code": {"text": "1", "a list": [1, 2], "unknown": 7, "NaN": np.nan, "NaT": pd.NaT},
    "times": NO_HORIZONS,
    "moments": {name: NOT_NUMBERS[name] for name in
                ("timedelta64", "polars durations", "masked", "text", "complex", "dates with NaT")},
    "ridge": {name: value for name, value in NO_NUMBER.items() if name != "a list"},
    "X": COLUMNS,
    "names": NO_NAMES,
    "terms": {"text": "ab", "a number": 3, "too few": ["a"]},
    "curves": {"None": None, "one curve": curves[0], "an array": STOP},
}  # fmt: skip
ROLES["curve"] = ROLES["curves"]


def role(function: str, name: str) -> dict[str, Any]:
    if function in ("probability_at", "restricted_mean") and name == "cause":
        return ROLES["cause_code"]
    if function == "at":
        return ROLES["moments"]
    if function == "linear_predictor":
        return {key: value for key, value in COLUMNS.items() if key != "too short"}
    return ROLES[name]


def every_function() -> Iterator[Any]:
    for name, arguments in CALLS.items():
        yield name, getattr(survival, name), arguments
    for name, (function, arguments) in METHODS.items():
        yield name, function, arguments


ARGUMENTS = [
    pytest.param(what, function, arguments, name, id=f"{what}-{name}")
    for what, function, arguments in every_function()
    for name in arguments
]


@pytest.mark.parametrize(("what", "function", "arguments", "name"), ARGUMENTS)
def test_bad_input_gets_our_error(
    what: str, function: Callable[..., Any], arguments: dict[str, Any], name: str
) -> None:
    for kind, bad in role(what, name).items():
        with pytest.raises(OptionError) as caught:
            function(**{**arguments, name: bad})
        assert caught.value, kind


@pytest.mark.parametrize(("what", "function", "arguments"), list(every_function()))
def test_the_arguments_are_fine_as_they_are(
    what: str, function: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    function(**arguments)


@pytest.mark.parametrize(("what", "function", "arguments"), list(every_function()))
def test_no_argument_is_left_out(
    what: str, function: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    drawing = {"ax", "at_risk", "bands", "stratum"}
    assert set(inspect.signature(function).parameters) - drawing == set(arguments)


def test_no_function_is_left_out() -> None:
    public = {name for name in dir(survival) if inspect.isfunction(getattr(survival, name))}
    assert public - {"cross_check"} == (set(CALLS) | set(METHODS)) & public


def test_all_faults_of_a_call_are_listed_with_what_to_do() -> None:
    with pytest.raises(OptionError) as caught:
        kaplan_meier(
            DAYS.where(EVENT == 1), np.ma.array(EVENT, mask=EVENT == 0), level=None,  # type: ignore[arg-type]
            group=np.array(["a", None] * 4, dtype=object), weights=list("11111111"),
        )  # fmt: skip
    assert str(caught.value).splitlines() == [
        "kaplan_meier: 5 faults in the arguments:",
        "  stop does not hold numbers but durations, 3 of 8 missing; divide them by a unit, for "
        "example pd.Timedelta(days=1)",
        "  event is masked at 3 of 8 places (first: 2, counted from 0); leave masked rows out",
        "  weights does not hold numbers but text; pass a numeric array",
        "  group is NaN in 4 rows (first: row 1, counted from 0)",
        "  level is None; it must be a number between 0 and 1, for example 0.95",
    ]


@pytest.mark.parametrize(
    "good",
    [
        STOP.astype(int), STOP.astype(np.float32), STOP.astype(object), list(STOP),
        pd.Series(STOP, dtype="Int64"), pd.Series(STOP, dtype="Float64"), pl.Series(STOP),
        np.ma.array(STOP, mask=False), [np.float64(x) for x in STOP], DAYS / pd.Timedelta(days=1),
    ],
)  # fmt: skip
def test_numbers_of_every_type_are_taken(good: Any) -> None:
    found = kaplan_meier(good, EVENT)[0]
    assert np.array_equal(found.estimate, curves[0].estimate)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([True, False] * 4, dtype=object), [False, True]),
        (np.array([frozenset("a"), frozenset("b")] * 4, dtype=object), None),
        (pd.Series(["x", "y"] * 4, dtype="category"), ["x", "y"]),
        (pl.Series(["x", "y"] * 4), ["x", "y"]),
        (pd.Series(pd.to_datetime(["2024-01-01", "2024-02-01"] * 4)),
         [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-01")]),
        (np.ma.array([1, 2] * 4, mask=False), [1, 2]),
    ],
)  # fmt: skip
def test_labels_of_every_type_make_one_group_each(labels: Any, names: Any) -> None:
    found = kaplan_meier(STOP, EVENT, group=labels)
    plain = kaplan_meier(STOP, EVENT, group=[0, 1] * 4)
    assert len(found) == 2
    if names is not None:
        assert [curve.group for curve in found] == names
    assert {tuple(c.estimate) for c in found} == {tuple(c.estimate) for c in plain}
