"""Cox where the linear predictor spans any range: against a slow climb, set by set."""

import numpy as np
import pytest

from leadsignal.errors import ModelError
from leadsignal.survival import CoxFit, concordance, fit_cox
from leadsignal.survival.by_risk_set import RiskSetTerms
from leadsignal.survival.partial_likelihood import GroupTerms, PartialLikelihood
from leadsignal.survival.risk_sets import RiskSets

from .conftest import close
from .cox_designs import KINDS, check
from .random_panels import Panel, random_panel
from .slow_cox import RiskSet, evaluate, risk_sets, slow_cox


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=[kind.__name__ for kind in KINDS])
def test_random_designs_agree_with_the_slow_climb(kind: int) -> None:
    """Eight of each kind; benchmarks/cox_designs.py runs 5,000."""
    for case in range(kind, 8 * len(KINDS), len(KINDS)):
        check(case)


def likelihoods(seed: int) -> tuple[Panel, np.ndarray, CoxFit, list[RiskSet]]:
    """A random panel's likelihood, coefficients, and its risk sets for the slow evaluation."""
    panel = random_panel(seed)
    rng = np.random.default_rng(seed)
    offset = rng.normal(size=len(panel.stop))
    _, strata = np.unique(panel.strata, return_inverse=True)
    fit = fit_cox(
        panel.X, panel.stop, panel.event, start=panel.start, strata=strata, weights=panel.weights,
        offset=offset, ties=panel.ties, ridge=1e-3, cluster=panel.cluster,
    )  # fmt: skip
    return panel, offset, fit, risk_sets(panel.stop, panel.event, panel.start, strata)


@pytest.mark.parametrize("seed", range(12))
def test_both_ways_of_summing_give_the_same_numbers(seed: int) -> None:
    panel, offset, fit, sets = likelihoods(seed)
    likelihood, coef = fit.rows.likelihood, fit.coef
    quick, exact = likelihood.terms(coef), likelihood.terms_by_risk_set(coef)
    assert isinstance(quick, GroupTerms)
    here = likelihood.evaluate(coef)
    slow = evaluate(coef, panel.X, sets, panel.weights, offset, panel.ties == "efron")
    for loglik, score, information in (
        (here.loglik, here.score, here.information),
        (exact.loglik, exact.score, exact.information()),
    ):
        assert loglik == pytest.approx(slow[0], rel=1e-12)
        assert np.abs(score - slow[1]).max() < 1e-10 * np.sqrt(np.diag(slow[2])).min()
        assert close(information, slow[2], 1e-11)
    for name in ("log_step", "log_square", "step_mean", "mean_covariate"):
        assert close(getattr(exact, name), getattr(quick, name), 1e-10), name
    assert close(exact.hazards(), likelihood.hazards(quick), 1e-10)
    rows = np.vstack([part for _, part in likelihood.score_residuals(quick)])
    assert close(exact.score_residuals(), rows, 1e-10)
    g = np.random.default_rng(seed).normal(size=len(likelihood.sets))
    weighted = likelihood.weighted_information(quick, g)
    assert close(exact.weighted_information(g), weighted, 1e-9)


def last_login(
    seed: int = 0, rows: int = 200, spread: float = 5.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Case 01: minus the day of the last login, which spans 800 on the linear predictor."""
    rng = np.random.default_rng(seed)
    stop = rng.integers(1, 2000, rows).astype(float)
    event = rng.random(rows) < 0.7
    return -(stop - np.abs(rng.normal(0, spread, rows)))[:, None], stop, event


@pytest.fixture(scope="module")
def wide() -> tuple[CoxFit, np.ndarray, np.ndarray, np.ndarray]:
    X, stop, event = last_login()
    fit = fit_cox(X, stop, event, cluster=np.arange(len(stop)) // 2)
    assert np.ptp(fit.linear_predictor(X)) > 700
    return fit, X, stop, event


def expected_events(
    fit: CoxFit, X: np.ndarray, stop: np.ndarray, event: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row's expected events, its part of the score and each event time's log step, slowly."""
    eta, residuals = X @ fit.coef, np.zeros(X.shape)
    expected, steps = np.zeros(len(X)), []
    for s in risk_sets(stop, event):
        e, top, deaths = eta[s.rows], eta[s.rows].max(), s.is_event.sum()
        total = 0.0
        middle = np.zeros(X.shape[1])
        for k in range(deaths):
            risk = np.exp(e - top) * np.where(s.is_event, 1 - k / deaths, 1.0)
            share = risk / risk.sum()
            mean = share @ X[s.rows]
            expected[s.rows] += share
            residuals[s.rows] -= share[:, None] * (X[s.rows] - mean)
            total += 1 / risk.sum()
            middle += mean / deaths
        residuals[s.rows[s.is_event]] += X[s.rows[s.is_event]] - middle
        steps.append(np.log(total) - top)
    return expected, residuals, np.array(steps)


def test_residuals_and_baseline_are_right_where_risks_leave_the_range_of_numbers(
    wide: tuple[CoxFit, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    fit, X, stop, event = wide
    assert isinstance(fit.terms, RiskSetTerms)
    expected, score, steps = expected_events(fit, X, stop, event)
    residuals = fit.residuals()
    assert close(residuals.martingale, event - expected, 1e-9)
    assert close(residuals.score, score, 1e-8)
    by_cluster = np.add.reduceat(score, np.arange(0, len(X), 2)) @ fit.cov
    assert close(fit.robust_cov, by_cluster.T @ by_cluster, 1e-7)
    baseline = fit.baseline()
    at_zero = baseline.log_hazard - baseline.reference @ fit.coef
    assert np.abs(at_zero - steps).max() < 1e-9


def test_survival_along_a_path_needs_no_hazard_at_fixed_covariates(
    wide: tuple[CoxFit, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    fit, X, stop, event = wide
    baseline = fit.baseline()
    time = np.sort(stop)[[20, 60, 100, 140]]
    starts, path = np.append(0.0, time[:-1]), -(time - 4.0)[:, None]
    steps = expected_events(fit, X, stop, event)[2]
    at = np.unique(stop[event])
    each = [
        np.exp(steps[(at > a) & (at <= b)] + x @ fit.coef).sum()
        for a, b, x in zip(starts, time, path, strict=True)
    ]
    found = baseline.along(path, starts, time)
    assert close(found.cumulative_hazard, np.cumsum(each), 1e-9)
    assert np.isfinite(found.to_frame().to_numpy()).all()
    # Somebody who has not logged in for a thousand days more than all others is certain to go.
    silent = baseline.along(path + 1500.0, starts, time)
    busy = baseline.along(path - 1500.0, starts, time)
    assert (silent.survival == 0).all()
    assert (busy.survival == 1).all()
    for prediction in (silent, busy):
        assert np.isfinite(prediction.to_frame().to_numpy()).all()


def test_what_follows_a_wide_fit_is_finite(
    wide: tuple[CoxFit, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    fit, X, stop, event = wide
    assert np.isfinite(fit.summary.to_numpy()).all()
    for transform in ("km", "rank", "identity", "log"):
        frame = fit.test_proportionality(transform).to_frame()
        assert np.isfinite(frame.to_numpy()).all()
    score = fit.linear_predictor(X)
    assert 0.5 < concordance(stop, event, score).estimate <= 1


def test_the_units_of_a_column_change_nothing_else() -> None:
    X, stop, event = last_login(3)
    whole = fit_cox(X, stop, event)
    for unit in (1e-6, 1e-3, 1e6):
        fit = fit_cox(X * unit, stop, event)
        assert close(fit.coef * unit, whole.coef, 1e-9)
        assert close(fit.se * unit, whole.se, 1e-9)
        assert fit.loglik == pytest.approx(whole.loglik, rel=1e-11)
        assert np.isfinite(fit.summary.z).all()  # exp(coef) of a tiny unit is infinite


def test_a_start_far_out_finds_its_way_back() -> None:
    X, stop, event = last_login()
    fit = fit_cox(X, stop, event)
    # The same rows with an offset that puts zero 40 errors beyond the maximum.
    far = fit_cox(X, stop, event, offset=40 * X[:, 0] * fit.coef[0])
    assert close(far.coef, -39 * fit.coef, 1e-8)
    assert far.loglik == pytest.approx(fit.loglik, rel=1e-10)


@pytest.mark.parametrize("rows", [10, 20, 30, 60, 100, 300, 1000, 3000, 10_000])
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_a_perfect_order_is_separated_at_every_size(rows: int, ties: str) -> None:
    stop = np.arange(1.0, rows + 1)
    with pytest.raises(ModelError, match=r"separated: 'x0' \(falling\) ranks"):
        fit_cox(stop[:, None], stop, np.ones(rows), ties=ties)
    if rows <= 300:
        fit = fit_cox(stop[:, None], stop, np.ones(rows), ties=ties, ridge=1e-3)
        sets = risk_sets(stop, np.ones(rows))
        score = evaluate(fit.coef, stop[:, None], sets, np.ones(rows), np.zeros(rows), True)[1]
        assert abs(score - 1e-3 * fit.coef)[0] * fit.se[0] < 1e-7


@pytest.mark.parametrize("rows", [10, 100, 1000, 10_000])
def test_one_pair_out_of_order_gives_a_maximum(rows: int) -> None:
    stop = np.arange(1.0, rows + 1)
    x = -stop
    x[[4, 5]] = x[[5, 4]]
    fit = fit_cox(x[:, None], stop, np.ones(rows))
    # Only two risk sets count far out: −log(1 + e^b + e^−b…) and its neighbour.
    assert 0 < fit.coef[0] < 20
    score = fit.rows.likelihood.evaluate(fit.coef).score
    assert abs(score[0]) * fit.se[0] < 1e-7


def test_separation_within_strata_and_with_entry() -> None:
    rng = np.random.default_rng(0)
    strata, other = np.repeat([0, 1, 2], 20), rng.normal(size=60)
    stop = np.concatenate([np.arange(5.0, 25), np.arange(9.0, 29), np.arange(2.0, 22)])
    start = np.maximum(stop - rng.integers(1, 12, 60), 0)
    shift = strata * 100.0  # between strata the column orders nothing
    X = np.column_stack((other, shift - stop))
    with pytest.raises(ModelError, match=r"separated: 'x1' \(rising\) ranks"):
        fit_cox(X, stop, np.ones(60), start=start, strata=strata)
    late = np.argmax(stop)
    X[late - 3, 1] += 50.0
    assert np.isfinite(fit_cox(X, stop, np.ones(60), start=start, strata=strata).se).all()


def test_a_combination_that_separates_is_found_among_columns_of_all_units() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(80, 4))
    stop = np.argsort(np.argsort(X[:, 0] - 2 * X[:, 2])) + 1.0
    units = np.array([1e-6, 1.0, 1e6, 1e3])
    with pytest.raises(ModelError, match=r"'x0' \(falling\), 'x2' \(rising\) together"):
        fit_cox(X * units, stop, np.ones(80))
    swapped = stop.copy()
    swapped[[3, 40]] = swapped[[40, 3]]
    fit = fit_cox(X * units, swapped, np.ones(80))
    assert np.isfinite(fit.se).all()


def test_a_column_that_rises_with_tenure_is_told_from_a_constant_one() -> None:
    rng = np.random.default_rng(4)
    stop = np.arange(1.0, 301)
    start = stop - rng.integers(1, 40, 300)
    tenure, ours = 1e4 * (stop - 5), rng.normal(size=300)
    # One column is the same for all at risk together, up to what differs by 1e-4 of its range.
    X = np.column_stack((ours, 1e4 + 1e-3 * rng.normal(size=300)))
    fit = fit_cox(X, stop, rng.random(300) < 0.8, start=start)
    plain = fit_cox(
        np.column_stack((ours, (X[:, 1] - 1e4) * 1e3)), stop, fit.rows.event, start=start
    )
    assert close(fit.coef * [1, 1e-3], plain.coef, 1e-6)
    with pytest.raises(ModelError, match="'x1' is constant among those at risk"):
        fit_cox(np.column_stack((ours, tenure)), np.ceil(stop / 300), np.ones(300), strata=tenure)


def test_sums_say_when_they_lose_digits() -> None:
    X, stop, event = last_login()
    sets = RiskSets.of(stop, event)
    likelihood = PartialLikelihood(X, sets, np.ones(len(X)), None, True)
    assert isinstance(likelihood.terms(np.array([1e-3])), GroupTerms)
    assert isinstance(likelihood.terms(np.array([0.5])), RiskSetTerms)
    # With entry a small risk set stands beside a large one long before numbers run out.
    late = PartialLikelihood(X, RiskSets.of(stop, event, stop - 500), np.ones(len(X)), None, True)
    assert isinstance(late.terms(np.array([-0.05])), RiskSetTerms)


def test_an_offset_that_leaves_one_row_to_a_risk_set_does_not_make_columns_constant() -> None:
    rng = np.random.default_rng(0)
    stop = rng.permutation(np.arange(1.0, 41))
    X = rng.normal(size=(40, 2))
    # Each event has e^300 times the risk of all later ones, until coefficients outweigh that.
    fit, sets = fit_cox(X, stop, np.ones(40), offset=-300 * stop), risk_sets(stop, np.ones(40))
    assert close(fit.coef, slow_cox(X, sets, offset=-300 * stop).coef, 1e-7)
    with pytest.raises(ModelError, match="'x1' repeats 'x0'"):
        fit_cox(X[:, [0, 0]], stop, np.ones(40), offset=-300 * stop)
    near = fit_cox(X, stop, np.ones(40), offset=-0.5 * stop)
    far = fit_cox(X, stop, np.ones(40), offset=-0.5 * stop + 1e4)
    assert close(far.coef, near.coef, 1e-7)
