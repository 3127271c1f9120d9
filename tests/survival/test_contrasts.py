"""Restricted means and probabilities at a time, their variances and contrasts."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadsignal.errors import OptionError
from leadsignal.survival import (
    Curves,
    aalen_johansen,
    kaplan_meier,
    probability_at,
    restricted_mean,
)

from .conftest import close, table


@pytest.mark.parametrize(
    ("case", "options"),
    [("lung", {}), ("weighted", {"weights": "w"})],
)
def test_restricted_means_agree_with_r(
    lung: pd.DataFrame, from_r: dict[str, Any], case: str, options: dict[str, Any]
) -> None:
    options = {key: lung[value] for key, value in options.items()}
    found = restricted_mean(kaplan_meier(lung.time, lung.dead, **options), 500)
    assert close(found.estimate, from_r["curves"][case]["rmean"])
    assert close(found.std_err, from_r["curves"][case]["se_rmean"])


def test_restricted_means_of_groups_agree_with_r(given: dict[str, Any]) -> None:
    # The given table is of all 228 rows, to the last time of each group.
    lung = table("lung")
    for sex, numbers in zip((1, 2), given["lung"]["km_by_sex_median"], strict=True):
        mine = lung.sex == sex
        curves = kaplan_meier(lung.time[mine], lung.status[mine] == 2)
        assert curves[0].quantile().estimate == numbers["median"]
        # R integrates to the common last time of both curves, level after the last step.
        last = min(1022, lung.time[mine].max())
        found = restricted_mean(curves, float(last))
        extra = (1022 - last) * curves[0].estimate[-1]
        assert found.estimate[0] + extra == pytest.approx(numbers["rmean"], rel=1e-8)
        if extra == 0:
            assert found.std_err[0] == pytest.approx(numbers["se(rmean)"], rel=1e-8)


def weighted_value(
    function: Callable[..., Any],
    stop: np.ndarray,
    event: np.ndarray,
    weights: np.ndarray,
    **options: Any,
) -> np.ndarray:
    return np.asarray(function(kaplan_meier(stop, event, weights=weights, **options)).estimate)


@pytest.mark.parametrize(
    "function",
    [lambda curves: restricted_mean(curves, 9.0), lambda curves: probability_at(curves, 6.0)],
)
def test_clustered_variance_is_the_infinitesimal_jackknife(function: Callable[..., Any]) -> None:
    # Move every cluster's weight a little, both ways: the derivative is its influence.
    rng = np.random.default_rng(7)
    cluster = rng.integers(0, 12, 60)
    start = np.where(rng.random(60) < 0.5, 0.0, rng.integers(0, 3, 60))
    stop = start + rng.integers(1, 12, 60)
    event, group = rng.random(60) < 0.5, rng.integers(0, 2, 60)
    weights = rng.integers(1, 4, 60).astype(float)
    options: dict[str, Any] = {"start": start, "group": group}
    found = function(kaplan_meier(stop, event, weights=weights, cluster=cluster, **options))
    influence = []
    for one in range(12):
        step = 1e-5 * (cluster == one)
        up = weighted_value(function, stop, event, weights * (1 + step), **options)
        down = weighted_value(function, stop, event, weights * (1 - step), **options)
        influence.append((up - down) / 2e-5)
    assert close(found.cov, np.transpose(influence) @ np.array(influence), 1e-6)
    assert abs(found.cov[0, 1]) > 1e-6


def test_clustered_errors_of_competing_ends_are_the_infinitesimal_jackknife() -> None:
    rng = np.random.default_rng(8)
    cluster, stop = rng.integers(0, 10, 50), rng.integers(1, 12, 50)
    cause, weights = rng.integers(0, 3, 50), rng.integers(1, 3, 50).astype(float)
    curves = aalen_johansen(stop, cause, weights=weights, cluster=cluster)

    def moved(size: float, one: int) -> Curves:
        changed = weights * (1 + size * (cluster == one))
        return aalen_johansen(stop, cause, weights=changed)

    for k in (0, 1, 2):
        influence = np.array(
            [
                (moved(1e-5, one).of("all", k).estimate - moved(-1e-5, one).of("all", k).estimate)
                / 2e-5
                for one in range(10)
            ]
        )
        assert close(curves.of("all", k).std_err, np.sqrt((influence**2).sum(axis=0)), 1e-6)
        lost = restricted_mean(curves, 10.0, cause=k)
        by_weight = np.array(
            [
                (
                    restricted_mean(moved(1e-5, one), 10.0, cause=k).estimate[0]
                    - restricted_mean(moved(-1e-5, one), 10.0, cause=k).estimate[0]
                )
                / 2e-5
                for one in range(10)
            ]
        )
        assert lost.std_err[0] == pytest.approx(np.sqrt((by_weight**2).sum()), rel=1e-6)


def test_unclustered_errors_equal_those_of_own_row_clusters() -> None:
    rng = np.random.default_rng(9)
    stop, cause = rng.integers(1, 30, 200), rng.integers(0, 4, 200)
    plain = aalen_johansen(stop, cause)
    own = aalen_johansen(stop, cause, cluster=np.arange(200))
    for k in (0, 1, 2, 3):
        assert close(plain.of("all", k).std_err, own.of("all", k).std_err, 1e-10)
        for tau in (10.0, 25.5):
            assert close(
                restricted_mean(plain, tau, cause=k).cov,
                restricted_mean(own, tau, cause=k).cov,
                1e-10,
            )
            assert close(
                probability_at(plain, tau, cause=k).cov,
                probability_at(own, tau, cause=k).cov,
                1e-10,
            )


def test_time_still_here_and_time_lost_add_up_to_tau() -> None:
    frame = table("mgus2_competing")
    curves = aalen_johansen(frame.etime, frame.ev)
    parts = [restricted_mean(curves, 240, cause=cause).estimate[0] for cause in (0, 1, 2)]
    assert sum(parts) == pytest.approx(240, rel=1e-13)


def test_restricted_mean_by_hand() -> None:
    # Survival 1 on [0, 1), 3/4 on [1, 2), 1/2 on [2, 3): areas 1, 0.75, 0.5.
    found = restricted_mean(kaplan_meier([1, 2, 2, 3], [1, 1, 0, 1]), 3)
    assert found.estimate[0] == 2.25
    # R(1) = 1.25, R(2) = 0.5; Σ R² N/(Y (Y − N)) = 1.5625/(4·3) + 0.25/(3·2).
    assert found.std_err[0] ** 2 == pytest.approx(1.5625 / 12 + 0.25 / 6, rel=1e-14)


def test_the_interval_covers_as_often_as_it_says() -> None:
    # Exponential with mean 1 until tau = 1.5, a third censored: the truth is 1 − exp(−1.5).
    rng = np.random.default_rng(10)
    truth, covered = 1 - np.exp(-1.5), 0
    for _ in range(400):
        life, followed = rng.exponential(size=120), 1.5 + rng.exponential(2.0, size=120)
        late = np.where(rng.random(120) < 0.35, rng.random(120) * 1.5, followed)
        stop = np.minimum(life, late)
        found = restricted_mean(kaplan_meier(stop, life <= late), 1.5)
        covered += found.lower[0] <= truth <= found.upper[0]
    # Binomial(400, 0.95): 362 and 395 are beyond three deviations.
    assert 366 <= covered <= 394


def test_contrasts_use_the_joint_covariance() -> None:
    rng = np.random.default_rng(12)
    # The same accounts in both groups, twice over: a paired comparison.
    life = rng.exponential(size=300)
    stop = np.concatenate((life, life + 0.05 * rng.random(300)))
    group, account = np.repeat(["a", "b"], 300), np.tile(np.arange(300), 2)
    event = np.ones(600)
    paired = restricted_mean(kaplan_meier(stop, event, group=group, cluster=account), 1.0)
    apart = restricted_mean(kaplan_meier(stop, event, group=group), 1.0)
    assert paired.difference("b", "a").std_err < 0.2 * apart.difference("b", "a").std_err
    difference = paired.difference("b", "a")
    assert difference.estimate == pytest.approx(paired.estimate[1] - paired.estimate[0])
    variance = paired.cov[0, 0] + paired.cov[1, 1] - 2 * paired.cov[0, 1]
    assert difference.std_err == pytest.approx(np.sqrt(variance))
    ratio = paired.ratio("b", "a")
    gradient = np.array([-1 / paired.estimate[0], 1 / paired.estimate[1]])
    assert ratio.std_err == pytest.approx(np.sqrt(gradient @ paired.cov @ gradient))
    assert ratio.low * ratio.high == pytest.approx(ratio.estimate**2)
    assert paired.difference("a", "b").estimate == -difference.estimate


def test_results_and_refusals(lung: pd.DataFrame) -> None:
    curves = kaplan_meier(lung.time, lung.dead, group=lung.sex)
    found = restricted_mean(curves, 500)
    assert list(found.to_frame().columns) == ["group", "estimate", "std_err", "lower", "upper"]
    assert json.loads(json.dumps(found.to_dict()))["groups"] == [1, 2]
    assert json.loads(json.dumps(found.ratio(1, 2).to_dict()))["group"] == 1
    assert repr(found).startswith("mean time until 500 (95 % intervals)")
    with pytest.raises(OptionError, match=r"is after the last observed time \(2 until 965\)"):
        restricted_mean(curves, 1000)
    with pytest.raises(OptionError, match="tau is 0; it must be later than the origin"):
        restricted_mean(curves, 0)
    with pytest.raises(OptionError, match="no group 'x'; the groups are 1, 2"):
        found.difference("x", 1)
    with pytest.raises(OptionError, match="cause is 2; the curves have causes 1"):
        probability_at(curves, 100, cause=2)
    with pytest.raises(OptionError, match="takes the curves"):
        restricted_mean(curves[0], 100)
    gone = probability_at(kaplan_meier([1, 2, 1, 3], [1, 1, 1, 0], group=["a", "a", "b", "b"]), 2.5)
    with pytest.raises(OptionError, match="a ratio needs both above zero"):
        gone.ratio("a", "b")


def test_a_group_that_has_died_out_can_be_integrated_further() -> None:
    found = restricted_mean(kaplan_meier([1, 2], [1, 1]), 10)
    assert found.estimate[0] == 1.5
