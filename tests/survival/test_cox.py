"""Cox fits against R, against hand-worked cases, and at the edges."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadsignal.errors import ModelError, OptionError
from leadsignal.survival import CoxFit, fit_cox
from leadsignal.survival.partial_likelihood import PartialLikelihood

from .conftest import close, each_close, table

HEART = ["age", "year", "surgery", "transplant"]


def heart_columns(heart: pd.DataFrame, formula: str) -> np.ndarray:
    age, surgery, transplant, year = heart.age, heart.surgery, heart.transplant, heart.year
    columns = {
        "tv_transplant_only": [transplant],
        "tv_main": [age, year, surgery, transplant],
        "tv_age_surgery_year_transplant": [
            age, surgery, transplant, year, age * transplant, surgery * transplant,
        ],
        "KP_model1": [age, transplant, age * transplant],
        "KP_model_year_surgery": [
            year, transplant, surgery, year * transplant, transplant * surgery,
        ],
    }  # fmt: skip
    return np.column_stack(columns[formula])


def agrees_with_r(fit: CoxFit, numbers: dict[str, Any]) -> None:
    assert fit.n_events == numbers["nevent"]
    assert close(fit.coef, list(numbers["coef"].values()))
    assert close(fit.se, list(numbers["se"].values()))
    assert each_close(fit.loglik, numbers["loglik"], 1e-10)
    assert each_close(fit.loglik_null, numbers["loglik_null"], 1e-10)
    if "vcov" in numbers:
        assert close(fit.cov, numbers["vcov"])
        assert close(fit.score_test.statistic, numbers["score"])
        assert close(fit.wald_test.statistic, numbers["wald"])
        time, hazard = fit.baseline().cumulative()
        base = numbers["basehaz_uncentered"]
        at = np.searchsorted(time, base["time"], side="right") - 1
        assert close(np.where(at < 0, 0.0, hazard[at]), base["hazard"])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize(
    "model",
    [
        "tv_transplant_only",
        "tv_main",
        "tv_age_surgery_year_transplant",
        "KP_model1",
        "KP_model_year_surgery",
    ],
)
def test_heart_transplants_agree_with_r(
    heart: pd.DataFrame, given: dict[str, Any], model: str, ties: str
) -> None:
    X = heart_columns(heart, model)
    fit = fit_cox(X, heart.stop, heart.event, start=heart.start, ties=ties)
    agrees_with_r(fit, given["heart"][model][ties])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_immortal_time_case_agrees_with_r(
    jasa: pd.DataFrame, given: dict[str, Any], ties: str
) -> None:
    fit = fit_cox(jasa[["ever"]], jasa.futime, jasa.fustat, ties=ties)
    agrees_with_r(fit, given["heart"]["NAIVE_immortal_time_ever_transplant"][ties])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("day", [7, 14, 30, 60, 90])
def test_landmark_fits_agree_with_r(
    jasa: pd.DataFrame, given: dict[str, Any], ties: str, day: int
) -> None:
    there = jasa[jasa.futime > day]
    treated = there["wait.time"].le(day).to_numpy(float)
    numbers = given["heart"]["landmark"][f"day{day}"]
    assert (len(there), treated.sum()) == (numbers["n_at_risk"], numbers["n_treated"])
    fit = fit_cox(treated[:, None], there.futime - day, there.fustat, ties=ties)
    agrees_with_r(fit, numbers[ties])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize(
    ("model", "cause"), [("timedep", 2), ("timedep5", 2), ("transplant_as_competing_timedep", 1)]
)
def test_pbcseq_agrees_with_r(
    pbcseq: pd.DataFrame, given: dict[str, Any], model: str, cause: int, ties: str
) -> None:
    X = np.column_stack((np.log(pbcseq.bili), np.log(pbcseq.protime)))
    if model == "timedep5":
        logs = np.log(pbcseq[["bili", "albumin", "protime"]])
        X = np.column_stack((pbcseq.age, logs))
    fit = fit_cox(X, pbcseq.tstop, pbcseq.death == cause, start=pbcseq.tstart, ties=ties)
    agrees_with_r(fit, given["pbcseq"][model][ties])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_lung_and_veteran_agree_with_r(
    lung: pd.DataFrame, veteran: pd.DataFrame, given: dict[str, Any], ties: str
) -> None:
    fit = fit_cox(lung[["age", "sex", "ph.ecog"]], lung.time, lung.dead, ties=ties)
    agrees_with_r(fit, given["lung"]["fit"][ties])
    kinds = [veteran.celltype == kind for kind in ("smallcell", "adeno", "large")]
    rest = [veteran[name] for name in ("karno", "diagtime", "age", "prior")]
    X = np.column_stack([veteran.trt, *kinds, *rest]).astype(float)
    fit = fit_cox(X, veteran.time, veteran.status, ties=ties)
    agrees_with_r(fit, given["veteran"]["fit"][ties])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_saas_churn_agrees_with_r(
    saas: tuple[pd.DataFrame, pd.DataFrame], given: dict[str, Any], ties: str
) -> None:
    frame, X = saas
    fit = fit_cox(X, frame.months_active, frame.churned, ties=ties)
    agrees_with_r(fit, given["saas_churn"][f"cox_all_{ties}"])


def test_telco_agrees_with_r(telco: pd.DataFrame, given: dict[str, Any]) -> None:
    kept = telco[(telco.Contract == "Month-to-month") & (telco.InternetService != "No")]
    X = np.column_stack(
        [
            kept.Dependents == "Yes",
            kept.InternetService == "DSL",
            kept.OnlineBackup == "Yes",
            kept.TechSupport == "Yes",
        ]
    ).astype(float)
    fit = fit_cox(X, kept.tenure, kept.Churn == "Yes")
    agrees_with_r(fit, given["telco"]["databricks_cox_replica_efron"])


def test_all_of_telco_agrees_with_r_which_drops_the_same_columns(
    telco: pd.DataFrame, given: dict[str, Any]
) -> None:
    numbers = given["telco"]["cox_full_efron"]
    columns = telco.drop(columns=["customerID", "tenure", "TotalCharges", "Churn"])
    coded = pd.get_dummies(columns, prefix_sep="")[list(numbers["coef"])].astype(float)
    left_out = [name for name, value in numbers["coef"].items() if value == "NA"]
    assert len(left_out) == 3
    with pytest.raises(ModelError) as caught:
        fit_cox(coded, telco.tenure, telco.Churn == "Yes", names=list(coded.columns))
    for name in left_out:
        assert f"'{name}' repeats 'InternetServiceNo'" in str(caught.value)
    kept = {key: value for key, value in numbers["coef"].items() if key not in left_out}
    errors = {key: value for key, value in numbers["se"].items() if key not in left_out}
    fit = fit_cox(coded[list(kept)], telco.tenure, telco.Churn == "Yes")
    agrees_with_r(fit, {**numbers, "coef": kept, "se": errors})


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_robust_errors_strata_weights_and_offset_agree_with_r(
    heart: pd.DataFrame, pbcseq: pd.DataFrame, lung: pd.DataFrame, from_r: dict[str, Any], ties: str
) -> None:
    numbers = from_r[ties]
    clustered = fit_cox(
        heart[HEART], heart.stop, heart.event, start=heart.start, cluster=heart.id, ties=ties
    )
    assert close(clustered.robust_cov, numbers["heart"]["var"])
    assert close(clustered.cov, numbers["heart"]["naive_var"])
    assert clustered.influence is not None
    assert close(clustered.influence.T @ clustered.influence, clustered.robust_cov, 1e-12)
    assert clustered.influence.shape == (heart.id.nunique(), 4)
    X = np.log(pbcseq[["bili", "protime"]])
    panel = fit_cox(
        X, pbcseq.tstop, pbcseq.death == 2, start=pbcseq.tstart, cluster=pbcseq.id, ties=ties
    )
    assert close(panel.coef, numbers["pbcseq"]["coef"], 1e-12)
    assert close(panel.robust_cov, numbers["pbcseq"]["var"])
    strata = fit_cox(
        lung[["age", "ph.ecog"]], lung.time, lung.dead, strata=lung.sex, weights=lung.w,
        offset=lung.off, ties=ties,
    )  # fmt: skip
    assert close(strata.coef, numbers["lung_strata"]["coef"], 1e-12)
    assert close(strata.cov, numbers["lung_strata"]["var"])
    assert close([strata.loglik_null, strata.loglik], numbers["lung_strata"]["loglik"], 1e-12)
    weighted = fit_cox(
        lung[["age", "sex", "ph.ecog"]], lung.time, lung.dead, weights=lung.w, cluster=lung.inst,
        ties=ties,
    )  # fmt: skip
    assert close(weighted.coef, numbers["lung_weighted"]["coef"], 1e-12)
    assert close(weighted.robust_cov, numbers["lung_weighted"]["var"])
    assert close(weighted.wald_test.statistic, numbers["lung_weighted"]["wald"])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_ridge_agrees_with_r(lung: pd.DataFrame, from_r: dict[str, Any], ties: str) -> None:
    fit = fit_cox(lung[["age", "ph.ecog"]], lung.time, lung.dead, ridge=5, ties=ties)
    assert close(fit.coef, from_r[ties]["ridge"]["coef"])
    assert close(fit.cov, from_r[ties]["ridge"]["var"])


def test_ridge_by_column_is_the_ridge_of_a_scaled_column(lung: pd.DataFrame) -> None:
    X = lung[["age", "ph.ecog"]].to_numpy(float)
    by_column = fit_cox(X, lung.time, lung.dead, ridge=[50.0, 2.0])
    scaled = fit_cox(X * [0.2, 1.0], lung.time, lung.dead, ridge=2.0)
    assert close(by_column.coef, scaled.coef * [0.2, 1.0], 1e-12)


def test_a_large_ridge_takes_the_coefficient_to_zero(lung: pd.DataFrame) -> None:
    fit = fit_cox(lung[["age", "ph.ecog"]], lung.time, lung.dead, ridge=[0.0, 1e9])
    alone = fit_cox(lung[["age"]], lung.time, lung.dead)
    assert abs(fit.coef[1]) < 1e-6
    assert close(fit.coef[0], alone.coef[0], 1e-6)


def test_four_rows_by_hand() -> None:
    # x = 0, 1, 0, 1 with events at 1, 2, 3; with u = exp(coef) the likelihood is
    # 1/(2 + 2u) · u/(1 + 2u) · 1/(1 + u), largest where 2u/(1 + u) + 2u/(1 + 2u) = 1.
    fit = fit_cox([[0], [1], [0], [1]], [1, 2, 3, 4], [1, 1, 1, 0])
    u = np.exp(fit.coef[0])
    assert abs(2 * u / (1 + u) + 2 * u / (1 + 2 * u) - 1) < 1e-14
    assert fit.loglik == pytest.approx(np.log(u / ((2 + 2 * u) * (1 + 2 * u) * (1 + u))), rel=1e-14)
    assert fit.loglik_null == pytest.approx(-np.log(4 * 3 * 2), rel=1e-14)


def test_two_tied_events_by_hand() -> None:
    # Events tied at 1 among x = 1, 0, 0, then one at 2: Efron divides the second tie by S0 − D0/2.
    X, stop, event = [[1], [0], [0], [1]], [1, 1, 2, 2], [1, 1, 1, 0]
    u = np.exp(0.3)
    offset_fit = {
        ties: fit_cox(X, stop, event, ties=ties, ridge=1e12, offset=0.3 * np.array([1, 0, 0, 1]))
        for ties in ("efron", "breslow")
    }
    first = 2 + 2 * u
    breslow = np.log(u / (first * first * (1 + u)))
    efron = np.log(u / (first * (first - (1 + u) / 2) * (1 + u)))
    assert offset_fit["breslow"].loglik == pytest.approx(breslow, rel=1e-10)
    assert offset_fit["efron"].loglik == pytest.approx(efron, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("cgd", ["treat", "age", "steroids"]),
        ("bladder2", ["rx", "number", "size"]),
        ("mgus2", ["age", "sex", "hgb"]),
    ],
)
def test_recurrent_and_competing_data_run_and_agree_with_lifelines(
    name: str, columns: list[str]
) -> None:
    frame = table(name).dropna(subset=columns)
    X = frame[columns].apply(
        lambda column: column if column.dtype.kind in "if" else column.factorize()[0]
    )
    if name == "mgus2":
        fit = fit_cox(X, frame.futime, frame.death, cluster=frame.id)
    else:
        begin, end = ("tstart", "tstop") if name == "cgd" else ("start", "stop")
        event = frame["status" if name == "cgd" else "event"]
        kept = frame[end] > frame[begin]
        fit = fit_cox(
            X[kept], frame[end][kept], event[kept], start=frame[begin][kept], cluster=frame.id[kept]
        )
    assert fit.cross_check().agrees(1e-8)
    assert fit.robust_se is not None
    assert (fit.robust_se > 0).all()


def test_summary_has_the_columns_of_lifelines(heart: pd.DataFrame) -> None:
    from lifelines import CoxTimeVaryingFitter

    frame = heart[["start", "stop", "event", *HEART]]
    theirs = CoxTimeVaryingFitter().fit(frame, "event", start_col="start", stop_col="stop").summary
    ours = fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start, names=HEART).summary
    assert list(ours.columns) == list(theirs.columns)
    assert ours.index.name == theirs.index.name
    assert np.allclose(ours.to_numpy(), theirs.to_numpy(), rtol=1e-5)


def test_summary_uses_robust_errors_where_there_are_clusters(heart: pd.DataFrame) -> None:
    fit = fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start, cluster=heart.id)
    assert fit.robust_se is not None
    assert np.array_equal(fit.summary["se(coef)"], fit.robust_se)
    assert not np.allclose(fit.robust_se, fit.se)


def test_results_print_and_go_to_json(heart: pd.DataFrame) -> None:
    fit = fit_cox(
        heart[HEART], heart.stop, heart.event, start=heart.start, names=HEART, cluster=heart.id
    )
    assert repr(fit).startswith(
        "Cox model: 172 rows, 75 events, efron ties, errors by 103 clusters"
    )
    assert "transplant" in fit._repr_html_()
    assert fit._repr_html_() == fit._repr_html_()
    kept = json.loads(json.dumps(fit.to_dict()))
    assert kept["coef"] == fit.coef.tolist()
    assert list(fit.to_frame().index) == HEART


@pytest.mark.parametrize(
    "as_given",
    [
        lambda X: np.asfortranarray(X),
        lambda X: X.astype(np.float32),
        lambda X: X.tolist(),
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    ],
)
def test_any_layout_of_the_matrix_gives_the_same_fit(
    veteran: pd.DataFrame, as_given: Callable[..., Any]
) -> None:
    X = veteran[["trt", "karno", "age"]].to_numpy(float)
    plain = fit_cox(X, veteran.time, veteran.status)
    assert close(fit_cox(as_given(X), veteran.time, veteran.status).coef, plain.coef, 1e-13)


def test_whole_numbers_and_truth_values_are_read_as_numbers(veteran: pd.DataFrame) -> None:
    X = np.column_stack((veteran.trt == 2, veteran.karno > 50))
    assert X.dtype == bool
    fit = fit_cox(X, veteran.time, veteran.status)
    assert close(fit.coef, fit_cox(X.astype(float), veteran.time, veteran.status).coef, 1e-14)


def test_columns_far_from_zero_lose_no_digits(veteran: pd.DataFrame) -> None:
    X = veteran[["karno", "age"]].to_numpy(float)
    far = X + np.array([1.7e9, -3e7])
    assert close(
        fit_cox(far, veteran.time, veteran.status).coef,
        fit_cox(X, veteran.time, veteran.status).coef,
        1e-11,
    )


def test_many_blocks_and_a_start_from_a_sample_reach_the_same_maximum() -> None:
    rng = np.random.default_rng(3)
    rows = 48_000
    X = rng.normal(size=(rows, 2))
    stop = np.ceil(rng.exponential(np.exp(-X @ [0.5, -0.3])) * 100)
    start = np.floor(stop * rng.random(rows))
    event = rng.random(rows) < 0.5
    fit = fit_cox(X, stop, event, start=start)
    once = fit_cox(X, stop, event, start=start, ties="breslow")
    pick = rng.permutation(rows)
    again = fit_cox(X[pick], stop[pick], event[pick], start=start[pick], ties="breslow")
    assert close(once.coef, again.coef, 1e-12)
    assert close(once.cov, again.cov, 1e-11)
    likelihood = fit.rows.likelihood
    at_maximum = likelihood.evaluate(fit.coef)
    assert np.abs(at_maximum.score / np.sqrt(np.diag(at_maximum.information))).max() < 1e-9


def test_a_row_of_weight_zero_counts_as_absent(lung: pd.DataFrame) -> None:
    X, half = lung[["age", "ph.ecog"]].to_numpy(float), np.arange(len(lung)) % 2
    weighted = fit_cox(X, lung.time, lung.dead, weights=half)
    kept = half == 1
    alone = fit_cox(X[kept], lung.time[kept], lung.dead[kept])
    assert close(weighted.coef, alone.coef, 1e-12)
    assert weighted.n_events == alone.n_events
    residuals = weighted.residuals()
    assert np.isfinite(residuals.martingale).all()


def test_all_faults_of_the_arrays_are_listed_at_once() -> None:
    X = np.ones((4, 2))
    X[1, 1] = np.nan
    with pytest.raises(OptionError) as caught:
        fit_cox(
            X, [1, 2, np.nan, 4], [1, 0, 2, 1], start=[0, 2, 0, 5], weights=[1, -1, 1, 1],
            ties="exact", ridge=-1, names=["used"],
        )  # fmt: skip
    text = str(caught.value)
    for part in (
        "8 faults",
        "stop is NaN or infinite in 1 row (first: row 2, counted from 0)",
        "event is neither 0 nor 1",
        "start is not before stop (a row must last) in 2 rows",
        "weights is negative",
        "ties is 'exact'; it must be one of 'efron', 'breslow'",
        "ridge is negative",
        "X column 'x1' is NaN or infinite in 1 row",
        "names has 1 different names; X has 2 columns",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.full((3, 1), np.inf)}, "X column 'x0' is NaN or infinite in 3 rows"),
        ({"X": [["a"], ["b"], ["c"]]}, "X does not hold numbers"),
        ({"X": np.ones((2, 1))}, r"X has shape \(2, 1\); it must be \(3, columns\)"),
        ({"X": np.ones(3)}, r"X has shape \(3,\)"),
        ({"stop": []}, "at least one row"),
        ({"stop": [1, np.inf, 3]}, "stop is NaN or infinite"),
        ({"cluster": [1.0, np.nan, 2.0]}, "cluster is NaN"),
        ({"strata": [1, 2]}, "strata has shape"),
        ({"strata": np.array(["a", 1, "b"], dtype=object)}, "mixes labels"),
        ({"offset": [0, np.nan, 0]}, "offset is NaN"),
        ({"ridge": [1.0, 2.0]}, "ridge has shape"),
        ({"start": [2, 0, 0]}, "start is not before stop"),
    ],
)
def test_bad_arrays_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    arguments = {"X": [[0.0], [1.0], [0.5]], "stop": [1, 2, 3], "event": [1, 1, 0]}
    with pytest.raises(OptionError, match=message):
        fit_cox(**{**arguments, **change})


def test_no_event_is_said() -> None:
    with pytest.raises(ModelError, match="no row has an event"):
        fit_cox([[0.0], [1.0]], [1, 2], [0, 0])


def test_one_event_is_separated_unless_its_row_lies_between_others() -> None:
    with pytest.raises(ModelError, match=r"'x0' \(rising\) ranks every event first"):
        fit_cox([[3.0], [1.0], [2.0]], [1, 2, 3], [1, 0, 0])
    fit = fit_cox([[2.0], [1.0], [4.0]], [1, 2, 3], [1, 0, 0])
    # The score is zero where the risk-set mean of x, weighted with u^x, is the event's own 2.
    u = np.exp(fit.coef[0])
    assert (2 * u**2 + u + 4 * u**4) / (u**2 + u + u**4) == pytest.approx(2, abs=1e-12)


def test_everything_tied_at_one_time() -> None:
    X = np.array([[0.0], [1.0], [2.0], [3.0], [0.5]])
    fit = fit_cox(X, [5] * 5, [1, 1, 0, 1, 1], ties="breslow")
    risks = np.exp(X[:, 0] * fit.coef[0])
    assert (X[:, 0] @ risks) / risks.sum() == pytest.approx(X[[0, 1, 3, 4], 0].mean(), abs=1e-10)
    with pytest.raises(ModelError, match="constant among those at risk"):
        fit_cox(np.ones((5, 1)), [5] * 5, [1] * 5)


def test_constant_and_collinear_columns_are_named(veteran: pd.DataFrame) -> None:
    karno, age = veteran.karno.to_numpy(float), veteran.age.to_numpy(float)
    X = np.column_stack((karno, np.full(len(karno), 7.0), age, karno + 2 * age, karno))
    with pytest.raises(ModelError) as caught:
        fit_cox(X, veteran.time, veteran.status, names=["karno", "seven", "age", "sum", "again"])
    text = str(caught.value)
    assert "'seven' is constant" in text
    assert "'sum' is a combination of 'karno', 'age'" in text
    assert "'again' repeats 'karno'" in text
    assert "ridge=" in text


def test_a_column_constant_in_every_stratum_is_named(veteran: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match="'trt' is constant among those at risk"):
        fit_cox(
            veteran[["trt", "karno"]], veteran.time, veteran.status, strata=veteran.trt,
            names=["trt", "karno"],
        )  # fmt: skip


def test_ten_identical_columns_are_named_or_share_a_ridge(veteran: pd.DataFrame) -> None:
    X = np.repeat(veteran[["karno"]].to_numpy(float), 10, axis=1)
    with pytest.raises(ModelError) as caught:
        fit_cox(X, veteran.time, veteran.status)
    assert str(caught.value).count("repeats 'x0'") == 9
    shared = fit_cox(X, veteran.time, veteran.status, ridge=10.0)
    one = fit_cox(X[:, :1], veteran.time, veteran.status, ridge=1.0)
    # Ten equal shares b/10, each with penalty 10: together ½ b², one column's with penalty 1.
    assert close(shared.coef * 10, np.repeat(one.coef, 10), 1e-9)


@pytest.mark.parametrize("rows", [200, 100_000])
def test_separation_is_noticed_and_named(rows: int) -> None:
    rng = np.random.default_rng(5)
    other = rng.normal(size=rows)
    stop = rng.exponential(size=rows)
    event = rng.random(rows) < 0.1
    marked = np.where(event, 0.0, rng.random(rows) < 0.3)
    with pytest.raises(ModelError, match=r"separated: 'marked' \(falling\) ranks") as caught:
        fit_cox(np.column_stack((other, marked)), stop, event, names=["other", "marked"])
    assert "'other'" not in str(caught.value)
    fit = fit_cox(np.column_stack((other, marked)), stop, event, ridge=[0.0, 0.1])
    assert fit.coef[1] < -1


def test_separation_by_two_columns_together_is_named() -> None:
    rng = np.random.default_rng(6)
    X = rng.normal(size=(300, 3))
    event = X[:, 0] + X[:, 1] > 1.5
    stop = np.where(event, rng.random(300), 1 + rng.random(300))
    # Events come in the order of x0 + x1, so that each ranks first among those at risk.
    stop[event] = -(X[event, 0] + X[event, 1])
    with pytest.raises(ModelError, match=r"'x0' \(rising\), 'x1' \(rising\) together"):
        fit_cox(X, stop, event)


def test_extreme_values_do_not_lead_the_fit_astray(veteran: pd.DataFrame) -> None:
    X = veteran[["karno", "age"]].to_numpy(float)
    X[5, 1] = 1e6
    fit = fit_cox(X, veteran.time, veteran.status)
    assert np.isfinite(fit.coef).all()
    assert fit.loglik >= fit.loglik_null


def test_rows_at_risk_at_no_event_change_nothing_whatever_they_hold(veteran: pd.DataFrame) -> None:
    X, stop = veteran[["karno", "age"]].to_numpy(float), veteran.time.to_numpy(float)
    event = veteran.status.to_numpy() == 1
    plain = fit_cox(X, stop, event, start=np.zeros(len(stop)))
    late = stop.max() + 1
    more = fit_cox(
        np.vstack((X, [[1e9, -1e9]])), np.append(stop, late + 1), np.append(event, False),
        start=np.append(np.zeros(len(stop)), late),
    )  # fmt: skip
    assert close(more.coef, plain.coef, 1e-9)
    assert close(more.cov, plain.cov, 1e-9)
    assert np.isfinite(more.residuals().score).all()


def test_new_rows_must_have_the_columns_of_the_fit(veteran: pd.DataFrame) -> None:
    fit = fit_cox(veteran[["karno", "age"]], veteran.time, veteran.status, names=["karno", "age"])
    assert fit.linear_predictor([[50, 60]])[0] == pytest.approx(fit.coef @ [50, 60])
    with pytest.raises(OptionError, match=r"must be \(rows, 2\), the columns karno, age"):
        fit.linear_predictor([[50.0]])


def test_a_fit_settles_though_heights_are_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of many terms are off by more than one rounding; the slope still finds the maximum."""
    draw = np.random.default_rng(4)
    X = draw.normal(size=(400, 3))
    stop = draw.exponential(np.exp(-X[:, 0]))
    event = draw.random(400) < 0.7
    exact = fit_cox(X, stop, event)
    evaluate, noise = PartialLikelihood.evaluate, np.random.default_rng(0)

    def rough(likelihood: PartialLikelihood, coef: np.ndarray) -> Any:
        found = evaluate(likelihood, coef)
        return replace(found, loglik=found.loglik + 1e-9 * noise.normal())

    monkeypatch.setattr(PartialLikelihood, "evaluate", rough)
    for _ in range(50):
        np.testing.assert_allclose(fit_cox(X, stop, event).coef, exact.coef, rtol=1e-9)
