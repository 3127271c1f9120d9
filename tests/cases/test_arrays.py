"""Arrays as they come: missing durations, labels with gaps, masks, and times that tie by a bit."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import leadsignal as ls
from leadsignal import survival
from leadsignal.cohorts.curves import shrink
from leadsignal.errors import ModelError, OptionError, TablesError
from leadsignal.survival import fit_cox, kaplan_meier, logrank

FIRST = pd.Series(pd.to_datetime(["2024-03-01"] * 4))
LAST = pd.Series(pd.to_datetime(["2024-03-06", "NaT", "2024-03-16", "NaT"]))


@pytest.mark.parametrize(
    "duration",
    [LAST - FIRST, (LAST - FIRST).to_numpy(), pl.Series((LAST - FIRST).to_numpy()),
     (LAST - FIRST).astype(object), LAST, list(LAST - FIRST)],
)  # fmt: skip
def test_durations_that_are_missing_for_everybody_still_there_are_refused(duration: Any) -> None:
    with pytest.raises(OptionError, match=r"stop does not hold numbers but \w+, 2 of 4 missing"):
        kaplan_meier(duration, LAST.notna())


def test_durations_until_the_end_of_follow_up_are_right_in_days() -> None:
    until = LAST.fillna(pd.Timestamp("2024-04-01"))
    curve = kaplan_meier((until - FIRST) / pd.Timedelta(days=1), LAST.notna())[0]
    assert curve.time.tolist() == [5, 15]
    assert curve.at_risk.tolist() == [4, 3]
    assert curve.estimate.tolist() == [0.75, 0.5]


@pytest.mark.parametrize("gap", [np.nan, None, pd.NA, pd.NaT])
def test_object_labels_with_gaps_are_refused_as_those_of_floats(gap: Any) -> None:
    labels = pd.Series([2.0, gap, 2.0, 5.0, gap, 5.0], dtype=object)
    stop, event = [1, 2, 3, 4, 5, 6], [1, 1, 0, 1, 1, 0]
    x = np.array([[0.1], [0.4], [0.2], [0.9], [0.3], [0.5]])
    for call in (
        lambda: kaplan_meier(stop, event, group=labels),
        lambda: logrank(stop, event, labels),
        lambda: fit_cox(x, stop, event, strata=labels),
        lambda: fit_cox(x, stop, event, cluster=labels),
    ):
        with pytest.raises(OptionError, match=r"is NaN in 2 rows \(first: row 1, counted from 0\)"):
            call()


def test_object_labels_without_gaps_are_those_of_text() -> None:
    rng = np.random.default_rng(5)
    x, stop, event = rng.normal(size=(80, 2)), rng.integers(1, 20, 80), rng.random(80) < 0.6
    flag = np.array([True, False, True, True] * 20, dtype=object)
    text = np.where(flag.astype(bool), "yes", "no")
    one = fit_cox(x, stop, event, strata=flag, cluster=flag)
    other = fit_cox(x, stop, event, strata=text, cluster=text)
    assert np.array_equal(one.coef, other.coef)
    assert one.robust_se is not None
    assert other.robust_se is not None
    assert np.array_equal(one.robust_se, other.robust_se)


def test_masked_numbers_are_refused_and_an_empty_mask_is_none() -> None:
    stop = np.ma.array([4.0, 9, 2, 7], mask=[False, False, True, False])
    with pytest.raises(OptionError, match="stop is masked at 1 of 4 places"):
        kaplan_meier(stop, [1, 1, 1, 0])
    whole = kaplan_meier(np.ma.array(stop.data, mask=False), [1, 1, 1, 0])[0]
    assert whole.estimate.tolist() == [0.75, 0.5, 0]


def test_weights_that_are_no_copies_are_called_that() -> None:
    with pytest.raises(ModelError, match="weights count as copies of a row"):
        logrank([3, 5, 6, 8], [1] * 4, list("abab"), weights=np.full(4, 0.2))
    with pytest.raises(ModelError, match="is more than one group at risk"):
        logrank([3, 5], [1, 1], list("ab"), start=[2, 4])


@pytest.mark.parametrize(("rho", "gamma"), [(-2, -1), (0, -0.5), (np.nan, 0), ("1", 0)])
def test_fleming_harrington_weights_are_of_0_or_more(rho: Any, gamma: float) -> None:
    with pytest.raises(OptionError, match="must be a finite number of 0 or more"):
        logrank([1, 2], [1, 1], ["a", "b"], kind="fleming-harrington", rho=rho, gamma=gamma)


def test_scores_of_text_horizons_without_end_and_no_level_are_refused() -> None:
    stop, event = [2, 4, 6, 8], [1, 1, 1, 1]
    with pytest.raises(OptionError, match="score does not hold numbers but text"):
        survival.dynamic_auc(stop, event, ["7", "5", "3", "1"], 5)
    with pytest.raises(OptionError, match="tau is inf"):
        survival.restricted_mean(kaplan_meier(stop, event), np.inf)
    with pytest.raises(OptionError, match="time is nan"):
        survival.probability_at(kaplan_meier(stop, event), np.nan)
    with pytest.raises(OptionError, match="level is None"):
        kaplan_meier(stop, event, level=None)  # type: ignore[arg-type]
    assert np.isnan(kaplan_meier(stop, event)[0].at([np.nan, 5.0])).tolist() == [True, False]


# Values of R's survival 3.8 with its default timefix = TRUE: 0.1 + 0.2 is 0.3, 0.1 * 7 is 0.7.
TIMES = np.array([0.1 + 0.2, 0.3, 0.3, 0.7, 0.1 * 7, 1.0])
EVENTS, ARM = [1, 1, 0, 1, 1, 0], np.array([0, 1, 1, 0, 1, 0])


def test_times_equal_up_to_rounding_are_one_time() -> None:
    curve = kaplan_meier(TIMES, EVENTS)[0]
    assert curve.estimate == pytest.approx([2 / 3, 2 / 9], rel=1e-12)
    assert survival.concordance(TIMES, EVENTS, ARM).estimate == pytest.approx(0.55)
    assert logrank(TIMES, EVENTS, ARM).p == pytest.approx(0.6726, abs=5e-5)


def frame_of(days: Any) -> Any:
    accounts = pd.DataFrame({"account_id": ["k"], "started_on": ["2023-01-02"]})
    results = pd.DataFrame({"account_id": "k", "measured_on": days, "value": 2.0})
    tables = ls.read_tables(
        {"accounts": accounts, "results": results}, as_of="2024-01-01", timezone="Asia/Tokyo"
    )
    return [str(day.date()) for day in tables.frame("results").measured_on]


WITH, WITHOUT = pd.Timestamp("2023-06-01 21:00", tz="UTC"), pd.Timestamp("2023-06-03 21:00")


@pytest.mark.parametrize(
    "days",
    [
        [WITHOUT, WITH, WITH],
        [WITH, WITH, WITHOUT],
        [datetime.date(2023, 6, 3), WITH.to_pydatetime(), WITH.to_pydatetime()],
        [WITH, WITH, "2023-06-03 21:00"],
    ],
)
def test_objects_that_mix_times_with_and_without_offset_are_a_fault(days: Any) -> None:
    with pytest.raises(TablesError, match="mixed time zones: this time has no offset"):
        frame_of(pd.Series(days, dtype=object))


def test_objects_of_one_kind_are_read() -> None:
    elsewhere = WITH.tz_convert("America/Lima")
    assert frame_of(pd.Series([WITH, elsewhere], dtype=object)) == ["2023-06-02", "2023-06-02"]
    days = [datetime.date(2023, 6, 1), datetime.datetime(2023, 6, 3, 21)]
    assert frame_of(pd.Series(days, dtype=object)) == ["2023-06-01", "2023-06-03"]


CHANGES = ([0], [20.0], [1])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"accounts": np.array(["a", None], dtype=object)}, "accounts is NaN in 1 row"),
        ({"cluster": np.array([7.0, np.nan], dtype=object)}, "cluster is NaN in 1 row"),
        ({"cluster": ["x"]}, r"cluster has shape \(1,\)"),
        ({"stop": pd.to_timedelta([40, 90], unit="D")}, "stop does not hold numbers but durations"),
        ({"stop": np.ma.array([40, 90], mask=[False, True])}, "stop is masked at 1 of 2 places"),
        ({"cause": [True, None]}, "cause is NaN or infinite in 1 row"),
        ({"changes": ([0], pd.to_datetime(["2024-01-01"]), [1])}, "day does not hold numbers"),
    ],
)
def test_cohorts_of_a_caller_pass_the_same_door(changed: Any, message: str) -> None:
    given = {
        "accounts": ["a", "b"], "stop": [40, 90], "cause": [0, 1], "changes": CHANGES, **changed
    }  # fmt: skip
    with pytest.raises(OptionError, match=message):
        ls.cohorts.DatedCohorts.from_changes("used", ["no", "yes"], **given)


def test_counts_that_are_shrunk_are_numbers() -> None:
    with pytest.raises(OptionError, match="ended does not hold numbers but text"):
        shrink(["a", "b"], ["1", "2"], [1.0, 2.0])
    with pytest.raises(OptionError, match="expected is NaN"):
        shrink(["a", "b"], [1, 2], [1.0, np.nan])


def numbers_of(stop: np.ndarray, start: np.ndarray) -> dict[str, Any]:
    """Return what every estimator says of one sample of 60 rows."""
    rng = np.random.default_rng(9)
    x, group = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    event, cause = rng.random(60) < 0.6, rng.integers(0, 3, 60)
    risk = rng.random(60)
    fit = fit_cox(x, stop, event, start=start)
    breslow = fit_cox(x, stop, event, ties="breslow", strata=group)
    curves = survival.aalen_johansen(stop, cause, start=start, group=group)
    judged = survival.calibration(stop, cause, risk, 1.3, bins=3)
    return {
        "cox": [*fit.coef, *fit.se, fit.loglik, *breslow.coef],
        "martingale": fit.residuals().martingale,
        "baseline": fit.baseline().along(x[:1], [0.0], [1.3]).survival,
        "proportional": [fit.test_proportionality(how).overall.p for how in ("km", "rank")],
        "kaplan-meier": kaplan_meier(stop, event, start=start)[0].estimate,
        "nelson-aalen": survival.nelson_aalen(stop, event)[0].std_err,
        "aalen-johansen": np.concatenate([curve.std_err for curve in curves]),
        "at": curves[0].at([0.3, 0.7, 1.3]),
        "mean": survival.restricted_mean(curves, 1.3).std_err,
        "simon-makuch": survival.simon_makuch(stop, event, group, start=start)[1].estimate,
        "log-rank": logrank(stop, event, group, start=start).statistic,
        "concordance": survival.concordance(stop, event, risk, horizon=1.3).std_err,
        "uno": survival.concordance(stop, event, risk, censoring="inverse").estimate,
        "incident": survival.incident_auc(stop, event, risk, [0.0, 0.7, 1.3]).auc,
        "auc": survival.dynamic_auc(stop, cause, risk, [0.7, 1.3]).std_err,
        "brier": survival.brier(stop, cause, risk, 1.3).score,
        "calibration": [*judged.slope, *judged.share],
    }


def test_every_estimator_takes_times_equal_up_to_rounding_as_one() -> None:
    rng = np.random.default_rng(2)
    stop = rng.integers(4, 21, 60) / 10
    start = np.where(rng.random(60) < 0.3, 0.2, 0.0)
    shaken = stop * (1 + rng.integers(-3, 4, 60) * 2.0**-52)
    assert len(np.unique(shaken)) > 2 * len(np.unique(stop))
    expected, found = numbers_of(stop, start), numbers_of(shaken, start)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-7, nan_ok=True), name
