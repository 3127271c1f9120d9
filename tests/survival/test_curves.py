"""Curves against R, against lifelines, and by hand."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadsignal.errors import OptionError
from leadsignal.survival import aalen_johansen, kaplan_meier, nelson_aalen, simon_makuch

from .conftest import close, each_close, table


def late_entry(pbcseq: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first = pbcseq.drop_duplicates("id")
    end = pbcseq.groupby("id").tstop.max().reindex(first.id).to_numpy(float)
    late = np.minimum((first.id.to_numpy() % 5) * 50, end - 1)
    return end, first.status.to_numpy() == 2, late


def r_curve(numbers: dict[str, Any]) -> pd.DataFrame:
    columns = ["time", "n_risk", "n_event", "surv", "std_err", "lower", "upper"]
    columns += ["cumhaz", "std_chaz"]
    frame = pd.DataFrame({key: numbers[key] for key in columns}).astype(float)
    return frame[frame.n_event > 0]


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("lung", {}),
        ("lung_loglog", {"scale": "log-log"}),
        ("lung_plain", {"scale": "plain"}),
        ("weighted", {"weights": "w"}),
        ("clustered", {"weights": "w", "cluster": "inst"}),
    ],
)
def test_kaplan_meier_agrees_with_r(
    lung: pd.DataFrame, from_r: dict[str, Any], case: str, options: dict[str, Any]
) -> None:
    options = {key: lung.get(value, value) for key, value in options.items()}
    curve = kaplan_meier(lung.time, lung.dead, **options)[0]
    numbers = r_curve(from_r["curves"][case])
    assert np.array_equal(curve.time, numbers.time)
    assert close(curve.at_risk, numbers.n_risk, 1e-12)
    assert each_close(curve.estimate, numbers.surv)
    # R gives the error of the logarithm, and of survival itself where it is robust.
    scale = 1.0 if case == "clustered" else numbers.surv
    assert each_close(curve.std_err, numbers.std_err * scale)
    assert each_close(curve.lower, numbers.lower)
    assert each_close(curve.upper, numbers.upper)


def test_kaplan_meier_with_late_entry_agrees_with_r(
    pbcseq: pd.DataFrame, from_r: dict[str, Any]
) -> None:
    end, dead, late = late_entry(pbcseq)
    curve = kaplan_meier(end, dead, start=late)[0]
    numbers = r_curve(from_r["curves"]["late_entry"])
    assert np.array_equal(curve.at_risk, numbers.n_risk)
    assert each_close(curve.estimate, numbers.surv)
    assert each_close(curve.std_err, numbers.std_err * numbers.surv)


@pytest.mark.parametrize("case", ["lung", "late_entry"])
def test_nelson_aalen_agrees_with_r(
    lung: pd.DataFrame, pbcseq: pd.DataFrame, from_r: dict[str, Any], case: str
) -> None:
    if case == "lung":
        curve = nelson_aalen(lung.time, lung.dead)[0]
    else:
        end, dead, late = late_entry(pbcseq)
        curve = nelson_aalen(end, dead, start=late)[0]
    numbers = r_curve(from_r["curves"][case])
    assert each_close(curve.estimate, numbers.cumhaz)
    assert each_close(curve.std_err, numbers.std_chaz)


def test_naive_and_simon_makuch_curves_of_the_heart_data_agree_with_r(
    heart: pd.DataFrame, jasa: pd.DataFrame, given: dict[str, Any]
) -> None:
    naive = kaplan_meier(jasa.futime, jasa.fustat, group=jasa.ever)
    correct = kaplan_meier(heart.stop, heart.event, start=heart.start, group=heart.transplant)
    for curves, key in (
        (naive, "km_naive_by_ever_tx"),
        (correct, "km_counting_process_by_transplant_simon_makuch"),
    ):
        numbers = given["heart"][key]
        begin = 0
        for curve, size in zip(curves, numbers["strata"].values(), strict=True):
            part = slice(begin, begin + size)
            begin += size
            events = np.array(numbers["n.event"][part]) > 0
            assert np.array_equal(curve.time, np.array(numbers["time"][part])[events])
            surv = np.array(numbers["surv"][part])[events]
            assert each_close(curve.estimate, surv)
            assert each_close(curve.lower, np.array(numbers["lower"][part])[events])
            error = np.array(numbers["std.err_cumhaz_scale"][part])[events]
            assert each_close(curve.std_err, error * surv)


def test_saas_and_telco_curves_agree(
    saas: tuple[pd.DataFrame, pd.DataFrame], given: dict[str, Any]
) -> None:
    frame, _ = saas
    curve = kaplan_meier(frame.months_active, frame.churned)[0]
    numbers = given["saas_churn"]["km"]
    assert close(curve.at(numbers["month"]), numbers["surv"])


def test_median_of_telco_is_the_published_one(telco: pd.DataFrame, given: dict[str, Any]) -> None:
    kept = telco[(telco.Contract == "Month-to-month") & (telco.InternetService != "No")]
    median = kaplan_meier(kept.tenure, kept.Churn == "Yes")[0].quantile(0.5)
    assert median.estimate == given["telco"]["databricks_km_median_months"]


@pytest.mark.parametrize("case", ["lung", "lung_loglog", "lung_plain", "late_entry", "clustered"])
def test_quantiles_agree_with_r(
    lung: pd.DataFrame, pbcseq: pd.DataFrame, from_r: dict[str, Any], case: str
) -> None:
    if case == "late_entry":
        end, dead, late = late_entry(pbcseq)
        curve = kaplan_meier(end, dead, start=late)[0]
    elif case == "clustered":
        curve = kaplan_meier(lung.time, lung.dead, weights=lung.w, cluster=lung.inst)[0]
    else:
        scale = {"lung": "log", "lung_loglog": "log-log", "lung_plain": "plain"}[case]
        curve = kaplan_meier(lung.time, lung.dead, scale=scale)[0]
    numbers = from_r["curves"][case]["quantile"]
    for place, share in enumerate((0.25, 0.5, 0.75)):
        found = curve.quantile(share).to_dict()
        expected = [numbers[key][place] for key in ("quantile", "lower", "upper")]
        assert [found["estimate"], found["lower"], found["upper"]] == expected


def test_a_median_on_a_level_stretch_is_its_middle() -> None:
    curve = kaplan_meier([1, 2, 3, 4], [1, 1, 1, 1])[0]
    assert curve.quantile(0.5).estimate == 2.5
    assert curve.quantile(0.3).estimate == 2
    assert kaplan_meier([1, 2, 3, 4], [1, 0, 0, 0])[0].quantile().estimate == np.inf


def test_aalen_johansen_with_entry_and_variances_agrees_with_r(
    pbcseq: pd.DataFrame, from_r: dict[str, Any]
) -> None:
    numbers = from_r["aalen_johansen"]
    states, errors = np.array(numbers["pstate"], float), np.array(numbers["std_err"], float)
    for cluster in (None, pbcseq.id):
        curves = aalen_johansen(pbcseq.tstop, pbcseq.death, start=pbcseq.tstart, cluster=cluster)
        for state, curve in enumerate(curves):
            at = np.searchsorted(curve.time, numbers["time"], side="right")
            values = np.concatenate(([curve.first_value], curve.estimate))[at]
            assert close(values, states[:, state])
            assert close(np.concatenate(([0.0], curve.std_err))[at], errors[:, state])


def test_aalen_johansen_of_the_baseline_agrees_with_r(
    pbcseq: pd.DataFrame, given: dict[str, Any]
) -> None:
    numbers = given["pbcseq"]["aalen_johansen_baseline"]
    first = pbcseq.drop_duplicates("id")
    curves = aalen_johansen(first.time, first.status)
    for state, curve in enumerate(curves):
        assert close(curve.at(numbers["times"]), np.array(numbers["pstate"])[:, state])
        at = np.searchsorted(curve.time, numbers["times"], side="right") - 1
        assert close(curve.std_err[at], np.array(numbers["std.err"])[:, state])


def test_tied_causes_add_up_exactly() -> None:
    # Of 4: one end of each cause at 1; of the 2 left one of cause 2 at 2.
    curves = aalen_johansen([1, 1, 2, 3], [1, 2, 2, 0])
    assert curves.of("all", 1).estimate.tolist() == [0.25, 0.25]
    assert curves.of("all", 2).estimate.tolist() == [0.25, 0.5]
    assert curves.of("all", 0).estimate.tolist() == [0.5, 0.25]
    # Var F1(2) = F1 (1 − F1)/4: nobody was censored before, so it is a plain share.
    assert curves.of("all", 1).std_err[1] == pytest.approx(np.sqrt(0.25 * 0.75 / 4), rel=1e-14)


def test_competing_data_add_up_and_run() -> None:
    frame = table("mgus2_competing")
    curves = aalen_johansen(frame.etime, frame.ev, group=frame.sex)
    for sex in ("F", "M"):
        total = np.sum([curves.of(sex, cause).estimate for cause in (0, 1, 2)], axis=0)
        assert close(total, np.ones(len(total)), 1e-13)


def test_one_cause_is_kaplan_meier_turned_round(lung: pd.DataFrame) -> None:
    curves = aalen_johansen(lung.time, lung.dead.astype(int))
    survival = kaplan_meier(lung.time, lung.dead)[0]
    assert close(curves.of("all", 1).estimate, 1 - survival.estimate, 1e-12)
    assert close(curves.of("all", 1).std_err, survival.std_err, 1e-12)


def test_own_row_clusters_give_greenwood(lung: pd.DataFrame) -> None:
    own = kaplan_meier(lung.time, lung.dead, cluster=np.arange(len(lung)))[0]
    assert close(own.std_err, kaplan_meier(lung.time, lung.dead)[0].std_err, 1e-12)


def test_kaplan_meier_agrees_with_lifelines_with_entry_and_weights() -> None:
    from lifelines import KaplanMeierFitter

    rng = np.random.default_rng(2)
    start = np.concatenate((np.zeros(20), rng.integers(0, 10, 200))).astype(float)
    stop = start + rng.integers(1, 15, 220)
    event, weights = rng.random(220) < 0.6, rng.integers(1, 4, 220)
    theirs = KaplanMeierFitter().fit(stop, event, entry=start, weights=weights)
    ours = kaplan_meier(stop, event, start=start, weights=weights)[0]
    assert close(ours.estimate, theirs.predict(ours.time).to_numpy(), 1e-9)


def test_simon_makuch_begins_where_every_state_is_populated(heart: pd.DataFrame) -> None:
    whole = kaplan_meier(heart.stop, heart.event, start=heart.start, group=heart.transplant)
    curves = simon_makuch(heart.stop, heart.event, heart.transplant, start=heart.start)
    origin = curves[0].origin
    counts = [
        ((heart.start < origin + 0.5) & (heart.stop > origin) & (heart.transplant == state)).sum()
        for state in (0, 1)
    ]
    assert min(counts) >= 10
    early = curves[0].origin - 1
    assert ((heart.start <= early) & (heart.stop > early) & (heart.transplant == 1)).sum() < 10
    for before, after in zip(whole, curves, strict=True):
        at_origin = before.at(origin)
        later = before.time > origin
        assert close(after.estimate, before.estimate[later] / at_origin, 1e-12)


def test_curves_are_found_by_group_and_read_at_times(lung: pd.DataFrame) -> None:
    curves = kaplan_meier(lung.time, lung.dead, group=lung.sex)
    assert [curve.group for curve in curves] == [1, 2]
    men = curves.of(1)
    assert men.at(0) == 1
    assert men.at(men.time[3]) == men.estimate[3]
    assert np.isnan(curves.of(2).at(965 + 1))
    with pytest.raises(OptionError, match="no curve of group 3, cause None; groups: 1, 2"):
        curves.of(3)
    with pytest.raises(OptionError, match="share is 1"):
        men.quantile(1.5)
    assert repr(curves).startswith("survival of 1: 111 events")


def test_results_go_to_frames_and_json(lung: pd.DataFrame) -> None:
    curves = aalen_johansen(lung.time, lung.dead.astype(int), group=lung.sex)
    frame = curves.to_frame()
    assert set(frame.cause) == {0, 1}
    assert len(frame) == sum(len(curve.time) for curve in curves)
    assert len(json.loads(json.dumps(curves.to_dict(), allow_nan=True))["curves"]) == 4
    with pytest.raises(OptionError, match="quantiles are defined for survival"):
        curves.of(1, 1).quantile()
    hazards = nelson_aalen(lung.time, lung.dead)
    assert hazards[0].quantity == "cumulative hazard"


def test_edges_of_curves() -> None:
    nobody = kaplan_meier([1, 2, 3], [0, 0, 0])[0]
    assert len(nobody.time) == 0
    assert nobody.at([0, 2.5]).tolist() == [1, 1]
    assert nobody.quantile().estimate == np.inf
    one = kaplan_meier([2], [1])[0]
    assert one.estimate.tolist() == [0.0]
    assert one.at(100) == 0
    tied = kaplan_meier([5, 5, 5, 5], [1, 1, 0, 0])[0]
    assert tied.estimate.tolist() == [0.5]
    empty_group = kaplan_meier([1, 2, 3], [1, 0, 0], group=["a", "a", "b"])
    assert len(empty_group.of("b").time) == 0
    absent = kaplan_meier([1, 2, 3], [1, 1, 1], weights=[0, 1, 1])[0]
    assert absent.time.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kaplan_meier([1, np.nan], [1, 0]), "stop is NaN or infinite in 1 row"),
        (lambda: kaplan_meier([1, 2], [1, 0], start=[3, 0]), "start is not before stop"),
        (lambda: kaplan_meier([1, 2], [1, 2]), "event is neither 0 nor 1"),
        (lambda: kaplan_meier([1, 2], [1, 0], scale="logit"), "scale is 'logit'"),
        (lambda: kaplan_meier([1, 2], [1, 0], level=95), "level is 95"),
        (lambda: kaplan_meier([1, 2], [1, 0], group=["a"]), "group has shape"),
        (lambda: kaplan_meier([], []), "at least one row"),
        (lambda: aalen_johansen([1, 2], [1.5, 0]), "not a whole number of 0 or more"),
        (lambda: aalen_johansen([1, 2], [-1, 0]), "not a whole number of 0 or more"),
        (
            lambda: simon_makuch([1, 2], [1, 0], ["a", "b"], start=[0, 0]),
            "state 'a' never has 10 rows at risk",
        ),
    ],
)
def test_bad_arrays_are_refused(call: Callable[..., Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call()
