"""The cross-check with lifelines, its Kaplan-Meier plots and its AFT models."""

import json
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from leadsignal.errors import OptionError
from leadsignal.survival import fit_cox, kaplan_meier
from leadsignal.survival.cox import cross_check, fit_aft, plot_kaplan_meier

from .conftest import close, each_close

HEART = ["age", "year", "surgery", "transplant"]


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[Any]:
    yield
    plt.close("all")


def test_fits_agree_with_lifelines_on_every_panel(
    heart: pd.DataFrame, pbcseq: pd.DataFrame, lung: pd.DataFrame, veteran: pd.DataFrame
) -> None:
    logs = np.log(pbcseq[["bili", "protime"]])
    fits = [
        fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start),
        fit_cox(logs, pbcseq.tstop, pbcseq.death == 2, start=pbcseq.tstart),
        fit_cox(
            lung[["age", "ph.ecog"]], lung.time, lung.dead, strata=lung.sex, weights=lung.w,
            ridge=[30.0, 2.0],
        ),
        fit_cox(veteran[["trt", "karno", "age"]], veteran.time, veteran.status),
    ]  # fmt: skip
    for fit in fits:
        assert fit.cross_check().largest_difference < 1e-8


def test_saas_churn_agrees_with_lifelines(saas: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    frame, X = saas
    check = cross_check(fit_cox(X, frame.months_active, frame.churned, names=list(X.columns)))
    assert check.largest_difference < 1e-8
    assert each_close(check.loglik, check.lifelines_loglik, 1e-10)


def test_telco_agrees_with_lifelines(telco: pd.DataFrame) -> None:
    kept = telco[(telco.Contract == "Month-to-month") & (telco.InternetService != "No")]
    X = np.column_stack((kept.Dependents == "Yes", kept.TechSupport == "Yes")).astype(float)
    assert fit_cox(X, kept.tenure, kept.Churn == "Yes").cross_check().agrees(1e-8)


def test_a_wrong_coefficient_would_be_seen(heart: pd.DataFrame) -> None:
    from dataclasses import replace

    fit = fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start)
    assert not cross_check(replace(fit, coef=fit.coef + 1e-6)).agrees(1e-7)


def test_a_cross_check_prints_and_goes_to_json(heart: pd.DataFrame) -> None:
    check = fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start).cross_check()
    assert repr(check).startswith("largest difference from lifelines: ")
    assert list(check.to_frame().columns) == ["coef", "lifelines_coef", "se", "lifelines_se"]
    assert json.loads(json.dumps(check.to_dict()))["warnings"] == []


def test_what_lifelines_lacks_is_refused(lung: pd.DataFrame) -> None:
    breslow = fit_cox(lung[["age"]], lung.time, lung.dead, ties="breslow")
    offset = fit_cox(lung[["age"]], lung.time, lung.dead, offset=lung.off)
    for fit in (breslow, offset):
        with pytest.raises(OptionError, match="neither Breslow ties nor offsets"):
            fit.cross_check()


def test_kaplan_meier_plot_draws_the_curve_and_counts_those_at_risk(lung: pd.DataFrame) -> None:
    axes = plot_kaplan_meier(lung.time, lung.dead, group=lung.sex)
    ours = kaplan_meier(lung.time, lung.dead, group=lung.sex)
    drawn = np.asarray(axes.get_lines()[0].get_xydata())
    assert close(ours[0].at(drawn[5:40, 0]), drawn[5:40, 1], 1e-9)
    below = [text.get_text() for text in axes.texts]
    counted = [
        [
            str(name),
            *(str((lung.time[lung.sex == name] > tick).sum()) for tick in axes.get_xticks()),
        ]
        for name in (1, 2)
    ]
    assert below == ["at risk", *counted[0], *counted[1]]
    given = plt.subplots()[1]
    assert plot_kaplan_meier(lung.time, lung.dead, at_risk=False, ax=given) is given


def test_aft_models_agree_with_r(lung: pd.DataFrame, given: dict[str, Any]) -> None:
    for numbers in given["lung"]["aft"]:
        model = {
            "weibull": "weibull",
            "lognormal": "log-normal",
            "loglogistic": "log-logistic",
        }.get(numbers["dist"])
        if model is None:
            continue
        columns = ["age", "sex", "ph.ecog"]
        fit = fit_aft(lung[columns], lung.time, lung.dead, model=model, names=columns)
        first = {"weibull": "lambda_", "log-normal": "mu_", "log-logistic": "alpha_"}[model]
        for name, value in numbers["coef"].items():
            ours = fit.params_[first, "Intercept" if name == "(Intercept)" else name]
            assert ours == pytest.approx(value, rel=1e-5)  # the optimiser's precision, not ours
        assert fit.log_likelihood_ == pytest.approx(numbers["loglik"][1], rel=1e-10)


def test_telco_aft_gives_the_published_coefficient(
    telco: pd.DataFrame, given: dict[str, Any]
) -> None:
    kept = telco[(telco.Contract == "Month-to-month") & (telco.InternetService != "No")]
    kept = kept[kept.tenure > 0]
    yes = {
        "partner": kept.Partner == "Yes", "ml": kept.MultipleLines == "Yes",
        "dsl": kept.InternetService == "DSL", "os": kept.OnlineSecurity == "Yes",
        "bak": kept.OnlineBackup == "Yes", "dp": kept.DeviceProtection == "Yes",
        "ts": kept.TechSupport == "Yes",
        "bank": kept.PaymentMethod == "Bank transfer (automatic)",
        "cc": kept.PaymentMethod == "Credit card (automatic)",
    }  # fmt: skip
    X = np.column_stack(list(yes.values())).astype(float)
    fit = fit_aft(X, kept.tenure, kept.Churn == "Yes", model="log-logistic", names=list(yes))
    numbers = given["telco"]["loglogistic_aft_9cov_R"]["coef"]
    for name in yes:
        assert fit.params_["alpha_", name] == pytest.approx(numbers[name], rel=1e-5)


def test_aft_takes_entry_and_weights() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    life, start = np.exp(0.8 * x) * rng.weibull(1.5, 400) * 10, rng.random(400)
    kept = life > start
    fit = fit_aft(
        x[kept, None], life[kept], np.ones(kept.sum()), start=start[kept],
        weights=np.full(kept.sum(), 2), names=["x"],
    )  # fmt: skip
    assert fit.params_["lambda_", "x"] == pytest.approx(0.8, abs=0.1)


def test_bad_arrays_are_refused() -> None:
    with pytest.raises(OptionError, match="stop must be above 0") as caught:
        fit_aft([[1.0], [2.0]], [0, 1], [1, 1], model="gamma", names=["a", "b"])
    assert "names has 2 different names; X has 1 columns" in str(caught.value)
    assert "model is 'gamma'" in str(caught.value)
    with pytest.raises(OptionError, match=r"must be \(2, columns\)"):
        fit_aft([[1.0]], [1, 2], [1, 1])
