"""Concordance and incident AUC: against R, scikit-survival, and every pair counted."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadsignal.errors import ModelError, OptionError
from leadsignal.survival import fit_cox
from leadsignal.survival.ranking import concordance, incident_auc

from .by_counting import pairs
from .conftest import close

HEART = ["age", "year", "surgery", "transplant"]


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("clustered", {"cluster": "inst"}),
        ("weighted", {"weights": "w", "strata": "sex"}),
        ("uno", {"censoring": "inverse"}),
        ("horizon", {"horizon": 365}),
    ],
)
def test_concordance_and_its_variance_agree_with_r(
    lung: pd.DataFrame, from_r: dict[str, Any], case: str, options: dict[str, Any]
) -> None:
    options = {key: lung.get(value, value) for key, value in options.items()}
    found = concordance(lung.time, lung.dead, lung.age, **options)
    numbers = from_r["concordance"][case]
    assert close(found.estimate, numbers["c"])
    assert close(found.std_err**2, numbers["var"])
    count = np.array(numbers["count"]).reshape(-1, 5).sum(axis=0)
    assert close([found.concordant, found.discordant, found.tied], count[:3])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_concordance_of_start_stop_rows_agrees_with_r(
    heart: pd.DataFrame, from_r: dict[str, Any], given: dict[str, Any], ties: str
) -> None:
    fit = fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start, ties=ties)
    score = fit.linear_predictor(heart[HEART])
    found = concordance(heart.stop, heart.event, score, start=heart.start, cluster=heart.id)
    numbers = from_r[ties]["heart"]
    assert close(found.estimate, numbers["concordance"])
    assert close(found.std_err**2, numbers["concordance_var"])
    plain = given["heart"]["tv_main"][ties]
    rows = concordance(heart.stop, heart.event, score, start=heart.start)
    assert close(rows.estimate, plain["concordance"])
    # The given numbers are of a fit without clusters: each row by itself.
    assert close(rows.std_err, plain["concordance_se"])


def test_saas_concordance_agrees_with_r(
    saas: tuple[pd.DataFrame, pd.DataFrame], given: dict[str, Any]
) -> None:
    frame, X = saas
    fit = fit_cox(X, frame.months_active, frame.churned)
    found = concordance(frame.months_active, frame.churned, fit.linear_predictor(X))
    expected = given["saas_churn"]["cox_all_efron"]["concordance_in_sample"]
    assert found.estimate == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_pairs_are_those_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(5, 80))
    stop = rng.integers(1, 15, rows).astype(float)
    start = stop - rng.integers(1, 8, rows) if seed % 2 else None
    event, score = rng.random(rows) < 0.5, rng.integers(0, 8, rows).astype(float)
    weights = rng.integers(0, 4, rows).astype(float) if seed % 3 else None
    strata = rng.integers(0, 3, rows) if seed % 5 == 0 else None
    expected = pairs(stop, event, score, start, weights, strata)
    if expected.sum() == 0:
        with pytest.raises(ModelError, match="no pair"):
            concordance(stop, event, score, start=start, weights=weights, strata=strata)
        return
    found = concordance(stop, event, score, start=start, weights=weights, strata=strata)
    assert [found.concordant, found.discordant, found.tied] == expected.tolist()
    assert found.estimate == pytest.approx((expected[0] + expected[2] / 2) / expected.sum())


def test_errors_are_the_infinitesimal_jackknife() -> None:
    rng = np.random.default_rng(21)
    rows, clusters = 60, 9
    stop, event = rng.integers(1, 12, rows).astype(float), rng.random(rows) < 0.6
    start, score = stop - rng.integers(1, 6, rows), rng.integers(0, 9, rows).astype(float)
    cluster, weights = rng.integers(0, clusters, rows), rng.integers(1, 3, rows).astype(float)

    def moved(size: float, one: int) -> float:
        changed = weights * (1 + size * (cluster == one))
        return concordance(stop, event, score, start=start, weights=changed).estimate

    influence = np.array([(moved(1e-5, c) - moved(-1e-5, c)) / 2e-5 for c in range(clusters)])
    found = concordance(stop, event, score, start=start, weights=weights, cluster=cluster)
    assert found.std_err == pytest.approx(np.sqrt(influence @ influence), rel=1e-7)


def test_uno_agrees_with_scikit_survival() -> None:
    sksurv = pytest.importorskip("sksurv.metrics", reason="scikit-survival is not installed")

    rng = np.random.default_rng(22)
    life, followed = rng.exponential(size=300), rng.exponential(1.5, size=300)
    stop, event = np.minimum(life, followed), life <= followed
    score = rng.normal(size=300) - life
    y = np.array(list(zip(event, stop, strict=True)), dtype=[("e", bool), ("t", float)])
    tau = 1.2
    theirs = sksurv.concordance_index_ipcw(y, y, score, tau=tau)[0]
    ours = concordance(stop, event, score, horizon=tau, censoring="inverse")
    assert ours.estimate == pytest.approx(theirs, rel=1e-8)


def test_by_hand() -> None:
    # Event at 1 (0.9) beats all three; event at 2 (0.2) loses to 0.4 and beats 0.1.
    found = concordance([1, 2, 3, 4], [1, 1, 0, 1], [0.9, 0.2, 0.4, 0.1])
    assert (found.concordant, found.discordant, found.tied) == (4, 1, 0)
    tied = concordance([1, 1, 2], [1, 1, 0], [0.5, 0.1, 0.5])
    # Events at one time are not compared with each other.
    assert (tied.concordant, tied.discordant, tied.tied) == (0, 1, 1)


def test_incident_auc_is_concordance_within_the_interval() -> None:
    rng = np.random.default_rng(23)
    stop = rng.integers(1, 20, 150).astype(float)
    start = stop - rng.integers(1, 10, 150)
    event, score, cluster = rng.random(150) < 0.5, rng.normal(size=150), rng.integers(0, 30, 150)
    found = incident_auc(stop, event, score, [0, 5, 12, 30], start=start, cluster=cluster)
    for place, (begin, end) in enumerate(((0, 5), (5, 12), (12, 30))):
        mine = event & (stop > begin) & (stop <= end)
        expected = np.zeros(3)
        for i in np.flatnonzero(mine):
            others = (start < stop[i]) & ((stop > stop[i]) | ((stop == stop[i]) & ~event))
            expected += [
                (score[others] < score[i]).sum(),
                (score[others] > score[i]).sum(),
                (score[others] == score[i]).sum(),
            ]
        assert found.events[place] == mine.sum()
        assert found.auc[place] == pytest.approx((expected[0] + expected[2] / 2) / expected.sum())
    whole = incident_auc(stop, event, score, [-50, 50], start=start, cluster=cluster)
    total = concordance(stop, event, score, start=start, cluster=cluster)
    assert whole.auc[0] == pytest.approx(total.estimate)
    assert whole.std_err[0] == pytest.approx(total.std_err)


def test_an_interval_without_events_is_unknown() -> None:
    found = incident_auc([1, 2, 3, 4], [1, 1, 0, 1], [4, 3, 2, 1], [0, 2.5, 3.5])
    assert found.auc[0] == 1
    assert np.isnan(found.auc[1])
    assert json.loads(json.dumps(found.to_dict()))["events"] == [2, 0]
    assert list(found.to_frame().columns)[:3] == ["begin", "end", "auc"]
    assert repr(found).startswith("incident/dynamic AUC")


def test_refusals_and_printing() -> None:
    with pytest.raises(OptionError, match="is for rows without start"):
        concordance([1, 2], [1, 0], [1, 2], start=[0, 0], censoring="inverse")
    with pytest.raises(OptionError, match="censoring is 'ipcw'"):
        concordance([1, 2], [1, 0], [1, 2], censoring="ipcw")
    with pytest.raises(OptionError, match="score is NaN"):
        concordance([1, 2], [1, 0], [1, np.nan])
    with pytest.raises(ModelError, match="no pair can be compared"):
        concordance([1, 2], [0, 0], [1, 2])
    with pytest.raises(OptionError, match="two or more finite, rising numbers"):
        incident_auc([1, 2], [1, 0], [1, 2], [3, 1])
    found = concordance([1, 2, 3], [1, 1, 0], [3, 2, 1])
    assert repr(found) == "concordance 1.0000 (95 % 1.0000 to 1.0000), 3 pairs"
    assert json.loads(json.dumps(found.to_dict()))["estimate"] == 1
