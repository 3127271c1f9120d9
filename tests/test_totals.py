"""One row per customer: reading, the warning, known hazards, curves that never rise."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import leadsignal as ls
from leadsignal.datasets.simulation import simulated, true_survival
from leadsignal.model.features import customer_steps
from leadsignal.model.learners import CUSTOMER_LEARNERS
from leadsignal.model.stacked_model import Estimator
from leadsignal.survival import brier, concordance, fit_aft, fit_cox, kaplan_meier

SAAS = Path(__file__).parent / "reference" / "saas_churn.csv"
TELCO = Path(__file__).parents[2] / "shared" / "reference" / "telco.csv"
ESTIMATORS: list[Estimator] = [name for name in get_args(Estimator) if name in CUSTOMER_LEARNERS]


@pytest.fixture(scope="module")
def known() -> ls.model.CustomerTotals:
    return simulated(1500, seed=1)


@pytest.fixture(scope="module")
def models(known: ls.model.CustomerTotals) -> dict[str, ls.model.LifetimeModel]:
    return {name: ls.model.LifetimeModel(estimator=name).fit(known) for name in ESTIMATORS}


@pytest.fixture(scope="module")
def saas() -> ls.model.CustomerTotals:
    return ls.model.read_totals(SAAS, tenure="months_active")


@pytest.fixture(scope="module")
def telco() -> ls.model.CustomerTotals:
    if not TELCO.exists():
        pytest.skip("telco.csv (970 kB) is not in the repository; it lies in ../shared/reference")
    return ls.model.read_totals(TELCO, churned="Churn", id="customerID")


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"tenure": [1, 2, 3], "churned": [1, 0, 1], **columns})


def faults_of(frame: object, **options: str) -> list[str]:
    with pytest.raises(ls.TablesError) as caught:
        ls.model.read_totals(frame, **options)  # type: ignore[arg-type]
    return [str(fault) for fault in caught.value.faults]


# Reading.


def test_every_fault_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    rows = [f"{n},no,{n},a{n}" for n in range(20)]
    bad = ["-1,no,1,b", ",maybe,2,c", "x,,3,d", "inf,yes,1e3,a1", "5,no,12;5,e", "6,no"]
    path.write_text("\n".join(["tenure,churned,seats,name", *rows, *bad]), encoding="utf-8")
    faults = faults_of(path, id="name")
    assert len(faults) == 9
    for expected in (
        "customers.csv:27: the row does not have 4 cells (given: '2 cells')",
        "customers.csv:22: tenure: tenure is negative (given: '-1')",
        "customers.csv:23: tenure: tenure is missing",
        "customers.csv:24: tenure: not a number (given: 'x')",
        "customers.csv:25: tenure: not a number (given: 'inf')",
        "customers.csv:23: churned: neither yes nor no (given: 'maybe')",
        "customers.csv:24: churned: churned is missing",
        "customers.csv:25: name: this customer has a row already (given: 'a1')",
        "customers.csv:26: seats: not a number in a column of numbers (given: '12;5')",
    ):
        assert any(fault.startswith(expected) for fault in faults), (expected, faults)


def test_ragged_rows_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('tenure,churned,note\n1,no,"two\nlines"\n2,no\n3,yes,x\n', encoding="utf-8")
    (fault,) = faults_of(path)
    assert fault.startswith("c.csv:4: the row does not have 3 cells")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "is empty"), ("tenure,churned\n", "there are no rows")],
)
def test_empty_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(text, encoding="utf-8")
    assert expected in faults_of(path)[0]
    assert "cannot be read" in faults_of(tmp_path / "none.csv")[0]


def test_what_is_no_table_or_lacks_columns_is_refused() -> None:
    assert faults_of([1, 2])[0].startswith("totals: a list is not a frame")
    lacking = faults_of(pd.DataFrame({"months": [1]}), id="who")
    assert [fault.split(":")[1].strip() for fault in lacking] == ["tenure", "churned", "who"]
    assert "Its columns are months" in lacking[0]
    twice = pd.DataFrame([[1, 1, 1]], columns=["tenure", "tenure", "churned"])
    assert "has this column twice" in faults_of(twice)[0]
    assert "there is no such column" in faults_of(pd.DataFrame())[0]


def test_dates_and_names_are_refused() -> None:
    dated = table(started=pd.to_datetime(["2024-01-01"] * 3), ended=["2024-02-01", None, ""])
    assert [f.split(":")[1].strip() for f in faults_of(dated)] == ["started", "ended"]
    many = pd.DataFrame({"tenure": range(300), "churned": 0, "name": [f"n{i}" for i in range(300)]})
    assert "300 different values is not useful" in faults_of(many)[0]


@pytest.mark.parametrize(
    "flags",
    [["Yes", "no", "YES"], [1, 0, 1], [1.0, 0.0, 1.0], [True, False, True], ["t", "F", "1"]],
)
def test_churned_is_read_however_it_is_written(flags: list[Any]) -> None:
    totals = ls.model.read_totals(table().assign(churned=flags))
    assert totals.churned.tolist() == [True, False, True]


def test_text_numbers_are_numbers_and_missing_cells_are_missing() -> None:
    totals = ls.model.read_totals(
        table(seats=["5", " ", "7.5 "], plan=["a", "N/A", None], blank=[None] * 3, on=[True] * 3)
    )
    assert totals.columns["seats"].tolist()[::2] == [5.0, 7.5]
    assert totals.columns["plan"].tolist() == ["a", None, None]
    assert totals.columns.isna().sum().tolist() == [1, 2, 3, 0]
    assert list(totals.customer_id) == [1, 2, 3]


def test_files_and_frames_are_read_alike(saas: ls.model.CustomerTotals, tmp_path: Path) -> None:
    frame = ls.model.read_totals(pd.read_csv(SAAS), tenure="months_active")
    pd.testing.assert_frame_equal(saas.to_frame(), frame.to_frame())
    path = tmp_path / "semicolons.csv"
    pd.read_csv(SAAS).to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    again = ls.model.read_totals(path, tenure="months_active")
    pd.testing.assert_frame_equal(saas.to_frame(), again.to_frame())


def test_customers_can_be_chosen(known: ls.model.CustomerTotals) -> None:
    assert len(known.current()) == int((~known.churned).sum())
    assert known.where([2, 0]).customer_id.tolist() == [3, 1]


# The warning.


def without(known: ls.model.CustomerTotals, *names: str) -> ls.model.CustomerTotals:
    return replace(known, columns=known.columns.drop(columns=list(names)))


def with_columns(known: ls.model.CustomerTotals, **columns: Any) -> ls.model.CustomerTotals:
    frame = known.columns.assign(**columns)
    return ls.model.CustomerTotals(known.customer_id, known.tenure, known.churned, frame)


def test_totals_over_tenure_are_named(known: ls.model.CustomerTotals) -> None:
    rng = np.random.default_rng(0)
    price = rng.uniform(1, 100, len(known))
    logins = rng.poisson(5 * known.tenure).astype(float)
    warning = with_columns(
        known, price=price, paid=price * known.tenure, logins=logins, days=30.4 * known.tenure
    ).warning
    assert warning.columns == ("paid", "logins", "days")
    assert warning["equals"].tolist()[::2] == ["price × tenure", "30.4 × tenure"]
    assert "paid: rank correlation with tenure" in str(warning)
    assert "or remove them" in str(warning)
    assert list(warning.to_frame()["column"]) == list(warning.columns)
    assert json.loads(json.dumps(warning.to_dict()))["suspects"][0]["column"] == "paid"


def test_rates_are_not_named_and_the_general_warning_stands(known: ls.model.CustomerTotals) -> None:
    assert known.warning.columns == ()
    assert known.warning.undecided == ()
    assert "no evidence that churn can be foreseen" in str(known.warning)
    assert "no evidence that churn can be foreseen" in repr(known)


def test_only_customers_still_there_are_looked_at(known: ls.model.CustomerTotals) -> None:
    # Grows with tenure among those who left, where tenure is the outcome; not among the others.
    rng = np.random.default_rng(0)
    of_leavers = np.where(known.churned, known.tenure, rng.normal(size=len(known)))
    assert with_columns(known, of_leavers=of_leavers).warning.columns == ()


def test_too_few_customers_leave_it_undecided(known: ls.model.CustomerTotals) -> None:
    few = known.where(np.flatnonzero(~known.churned)[:29])
    assert few.warning.undecided == ("x", "noise")
    assert "Could not tell" in str(few.warning)


def test_telco_names_its_total(
    telco: ls.model.CustomerTotals, saas: ls.model.CustomerTotals
) -> None:
    (suspect,) = cast("list[dict[str, object]]", telco.warning.to_dict()["suspects"])
    assert suspect["column"] == "TotalCharges"
    assert suspect["equals"] == "MonthlyCharges × tenure"
    assert saas.warning.columns == ()


def test_a_total_is_left_out_of_the_model_unless_it_is_asked_for(
    known: ls.model.CustomerTotals,
) -> None:
    price = np.random.default_rng(0).uniform(1, 100, len(known))
    paid = with_columns(known, price=price, paid=price * known.tenure)
    plain = ls.model.LifetimeModel(estimator="logistic").fit(paid)
    reads = ls.model.LifetimeModel(estimator="logistic", totals="read").fit(paid)
    assert plain.left_out_ == ("paid",)
    assert plain.features_.names == ("x", "plan", "noise", "price")
    assert reads.left_out_ == ()
    truth = 1 - true_survival(paid.current(), 12)[:, -1]  # the hazard is the same in all months
    off = [abs(model.predict(paid.current()).risk - truth).mean() for model in (plain, reads)]
    assert off[0] < 0.06
    assert off[1] > 0.2


# Known hazards.


def test_months_at_risk_are_counted_as_in_kaplan_meier(known: ls.model.CustomerTotals) -> None:
    rows = customer_steps(known.tenure, known.churned)
    hazard = np.bincount(rows.step, rows.churned) / np.bincount(rows.step, rows.weight)
    curve = kaplan_meier(known.tenure, known.churned)[0]
    months = np.arange(1, len(hazard) + 1)
    assert np.cumprod(1 - hazard) == pytest.approx(curve.at(months), abs=1e-12)


def test_an_end_at_tenure_zero_belongs_to_the_first_month() -> None:
    rows = customer_steps(np.array([0.0, 0.0, 2.5]), np.array([True, False, True]))
    assert rows.row.tolist() == [0, 2, 2, 2]
    assert rows.churned.tolist() == [True, False, False, True]
    assert rows.weight.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("name", "off"), [("cox", 0.02), ("logistic", 0.03), ("ensemble", 0.03), ("boosting", 0.07)]
)
def test_known_hazards_are_found_again(
    models: dict[str, ls.model.LifetimeModel], name: str, off: float
) -> None:
    new = simulated(400, seed=2)
    curves = models[name].from_start(new)
    error = np.abs(curves.active - true_survival(new, 24))
    assert error.mean() < off
    assert abs((curves.active - true_survival(new, 24)).mean()) < 0.03


def test_a_cox_model_of_the_columns_finds_the_coefficients(known: ls.model.CustomerTotals) -> None:
    X = pd.get_dummies(known.columns, columns=["plan"], drop_first=True)
    fit = fit_cox(X.astype(float), known.tenure, known.churned)
    assert dict(zip(X.columns, fit.coef, strict=True)) == pytest.approx(
        {"x": 0.8, "noise": 0.0, "plan_trial": 0.7}, abs=0.2
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_forecasts_are_conditional_on_tenure(
    models: dict[str, ls.model.LifetimeModel], known: ls.model.CustomerTotals, name: str
) -> None:
    here = known.where(known.tenure == 6)
    forecast, curves = models[name].predict(here), models[name].from_start(here)
    expected = 1 - curves.active[:, 17] / curves.active[:, 5]
    assert forecast.risk == pytest.approx(expected, abs=1e-9)
    assert not forecast.beyond.any()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_curves_never_rise(models: dict[str, ls.model.LifetimeModel], name: str) -> None:
    totals = simulated(100, seed=3)
    wild = totals.columns.assign(x=totals.columns["x"] * 1e6)
    for columns in (totals.columns, wild):
        given = ls.model.CustomerTotals(totals.customer_id, totals.tenure, totals.churned, columns)
        for forecast in (models[name].predict(given), models[name].from_start(given)):
            assert np.isfinite(forecast.active).all()
            assert ((forecast.active >= 0) & (forecast.active <= 1)).all()
            assert (np.diff(forecast.active, axis=1) <= 0).all()
            assert (forecast.expected <= forecast.ahead[-1] + 1e-9).all()


def test_past_the_longest_tenure_the_last_hazards_are_carried_on(
    models: dict[str, ls.model.LifetimeModel], known: ls.model.CustomerTotals
) -> None:
    old = known.where(known.tenure >= 23)
    forecast = models["cox"].predict(old)
    assert forecast.beyond.all()
    steps = -np.diff(np.log(forecast.active), axis=1)
    assert steps[:, 3:] == pytest.approx(np.repeat(steps[:, 3:4], len(steps[0]) - 3, axis=1))
    assert "extend past the longest tenure" in repr(forecast)


def test_the_unit_and_step_of_time_do_not_matter(known: ls.model.CustomerTotals) -> None:
    in_days = ls.model.CustomerTotals(
        known.customer_id, known.tenure * 30, known.churned, known.columns, "days"
    )
    months = ls.model.LifetimeModel(horizon=6, estimator="logistic").fit(known)
    days = ls.model.LifetimeModel(horizon=180, step=30, estimator="logistic").fit(in_days)
    assert days.predict(in_days).risk == pytest.approx(months.predict(known).risk, abs=1e-9)
    assert days.predict(in_days).ahead.tolist() == [30, 60, 90, 120, 150, 180]
    with pytest.raises(ls.ModelError, match="tenures are in days"):
        months.predict(in_days)
    with pytest.raises(ls.ModelError, match="720 steps"):
        ls.model.LifetimeModel().fit(in_days)


def test_parts_of_months_count_for_what_was_seen_of_them() -> None:
    # Constant hazard 0.1 a month, followed for any time: 1 − exp(−0.1) a month, whatever the cut.
    rng = np.random.default_rng(0)
    life, followed = rng.exponential(10, 20_000), rng.uniform(0, 6, 20_000)
    rows = customer_steps(np.minimum(life, followed), life <= followed)
    assert rows.churned.sum() / rows.weight.sum() == pytest.approx(-np.expm1(-0.1), rel=0.05)


# States, categories, parameters.


def test_missing_values_are_states() -> None:
    totals = simulated(1000, seed=4)
    hidden = totals.columns["x"] > 0.5  # those who leave soonest are not measured
    columns = totals.columns.assign(
        x=totals.columns["x"].where(~hidden),
        plan=totals.columns["plan"].mask(np.arange(1000) % 9 == 0, None),
    )
    gaps = ls.model.CustomerTotals(totals.customer_id, totals.tenure, totals.churned, columns)
    for name in ESTIMATORS:
        model = ls.model.LifetimeModel(estimator=name).fit(gaps)
        risk = model.from_start(gaps).churned[:, 5]
        assert risk[hidden].mean() > risk[~hidden].mean() + 0.1


def test_values_unseen_in_training_are_counted_and_taken_as_missing(
    models: dict[str, ls.model.LifetimeModel], known: ls.model.CustomerTotals
) -> None:
    some = known.where(range(10))
    missing = with_columns(some, plan=np.full(10, None, dtype=object))
    unseen = with_columns(some, plan=np.full(10, "gift", dtype=object))
    forecast = models["cox"].predict(unseen)
    assert forecast.unseen == {"plan": 10}
    assert "plan (10)" in repr(forecast)
    assert forecast.risk == pytest.approx(models["cox"].predict(missing).risk)


def test_other_columns_than_in_training_are_refused(
    models: dict[str, ls.model.LifetimeModel], known: ls.model.CustomerTotals
) -> None:
    with pytest.raises(ls.ModelError, match="plan is missing"):
        models["cox"].predict(without(known, "plan"))
    texts = np.full(len(known), "a", dtype=object)
    swapped = with_columns(known, plan=known.tenure, x=texts)
    with pytest.raises(ls.ModelError, match="x is not a number here; plan is a number here"):
        models["cox"].predict(swapped)


def test_columns_of_one_value_are_not_read(known: ls.model.CustomerTotals) -> None:
    more = with_columns(known, one=1.0, none=np.nan, same="a")
    model = ls.model.LifetimeModel(estimator="logistic").fit(more)
    assert model.features_.names == ("x", "plan", "noise")


def test_parameters_are_checked_at_once(known: ls.model.CustomerTotals) -> None:
    model = ls.model.LifetimeModel(horizon="180d", step=0, estimator="forest", totals="x")  # type: ignore[arg-type]
    with pytest.raises(ls.OptionError) as caught:
        model.fit(known)
    for part in (
        "horizon is '180d'",
        "step is 0",
        "estimator is 'forest'",
        "totals is 'x'",
    ):
        assert part in str(caught.value)


def test_what_cannot_carry_a_model_is_refused(known: ls.model.CustomerTotals) -> None:
    with pytest.raises(ls.ModelError, match="holds 0 customers that churned"):
        ls.model.LifetimeModel().fit(known.current())
    with pytest.raises(ls.ModelError, match="no column that varies"):
        ls.model.LifetimeModel().fit(without(known, "x", "plan", "noise"))


def test_models_clone_keep_and_repeat(
    models: dict[str, ls.model.LifetimeModel], known: ls.model.CustomerTotals
) -> None:
    some = known.where(range(20))
    for model in models.values():
        kept = pickle.loads(pickle.dumps(model))
        again = clone(model)
        assert again.get_params() == model.get_params()
        assert not hasattr(again, "hazards_")
        expected = model.predict(some).active
        assert np.array_equal(kept.predict(some).active, expected)
        assert np.array_equal(again.fit(known).predict(some).active, expected)


def test_forecasts_are_the_same_for_each_customer_alone(
    models: dict[str, ls.model.LifetimeModel], known: ls.model.CustomerTotals
) -> None:
    for model in models.values():
        together = model.predict(known.where([5, 3, 9])).active
        alone = [model.predict(known.where([row])).active[0] for row in (5, 3, 9)]
        assert together == pytest.approx(np.array(alone), abs=1e-12)
        assert model.predict(known.where([])).active.shape == (0, 12)


def test_a_forecast_prints_and_goes_to_frame_and_json(
    models: dict[str, ls.model.LifetimeModel], known: ls.model.CustomerTotals
) -> None:
    forecast = models["cox"].predict(known.current())
    frame = forecast.to_frame()
    assert list(frame.columns[:5]) == [
        "customer_id", "tenure", "risk", "beyond", "still_active_1_months",
    ]  # fmt: skip
    assert frame["still_active_12_months"].to_numpy() == pytest.approx(1 - forecast.risk)
    assert json.loads(json.dumps(forecast.to_dict()))["unit"] == "months"
    assert "no evidence that churn can be foreseen" in repr(forecast)
    chances = models["cox"].predict_proba(known.current())
    assert chances.sum(axis=1) == pytest.approx(1)


# Public tables.


def test_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[1]
    monkeypatch.chdir(root)
    page = (root / "docs" / "one-row-a-customer.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert len(names["forecast"].to_frame()) == 1068  # type: ignore[attr-defined]


def test_saas_churn_is_forecast_better_than_by_a_plain_cox(saas: ls.model.CustomerTotals) -> None:
    """One split; all 5 × 5 are in benchmarks/totals.py."""
    test = np.random.default_rng(0).random(len(saas)) < 0.2
    left_out, months = saas.where(test), np.arange(1.0, 12.0)
    found = {}
    for name in ("ensemble", "boosting", "cox"):
        curves = ls.model.LifetimeModel(estimator=name).fit(saas.where(~test))
        forecast = curves.from_start(left_out)
        c = concordance(left_out.tenure, left_out.churned, -forecast.expected).estimate
        risk = forecast.churned[:, :11]
        found[name] = c, brier(left_out.tenure, left_out.churned, risk, months).integrated
    for name in ("ensemble", "boosting"):
        assert found[name][0] > 0.86
        assert found[name][1] < 0.065
        assert found["cox"][1] > found[name][1] + 0.02


def test_telco_gives_the_published_numbers(telco: ls.model.CustomerTotals) -> None:
    columns = telco.columns
    kept = (columns["Contract"] == "Month-to-month") & (columns["InternetService"] != "No")
    some = telco.where(kept.to_numpy())
    assert len(some) == 3351
    assert kaplan_meier(some.tenure, some.churned)[0].quantile(0.5).estimate == 34
    dsl = {"Dependents": "Yes", "OnlineBackup": "Yes", "TechSupport": "Yes"}
    X = yes(some, {**dsl, "InternetService": "DSL"})
    assert fit_cox(X, some.tenure, some.churned).coef[3] == pytest.approx(-0.22, abs=0.005)
    begun = some.where(some.tenure > 0)
    named = ("Partner", "MultipleLines", "OnlineSecurity", "OnlineBackup", "DeviceProtection")
    X = yes(begun, {**dict.fromkeys((*named, "TechSupport"), "Yes"), "InternetService": "DSL"})
    for how in ("Bank transfer (automatic)", "Credit card (automatic)"):
        X = np.column_stack([X, begun.columns["PaymentMethod"] == how])
    names = [*named, "TechSupport", "dsl", "bank", "card"]
    aft = fit_aft(X, begun.tenure, begun.churned, model="log-logistic", names=names)
    assert aft.params_["alpha_", "dsl"] == pytest.approx(0.38, abs=0.005)


def yes(totals: ls.model.CustomerTotals, values: dict[str, str]) -> np.ndarray:
    return np.column_stack([totals.columns[k] == v for k, v in values.items()]).astype(float)
