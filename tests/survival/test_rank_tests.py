"""Log-rank tests against R, against lifelines' weights, and by hand."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadsignal.errors import ModelError, OptionError
from leadsignal.survival import fit_cox, logrank

from .conftest import close, table


def test_the_family_agrees_with_r(
    lung: pd.DataFrame, from_r: dict[str, Any], given: dict[str, Any]
) -> None:
    numbers = from_r["logrank"]
    plain = logrank(lung.time, lung.dead, lung.sex)
    assert close(plain.statistic, numbers["plain"]["chisq"])
    assert close(plain.expected, numbers["plain"]["exp"])
    rho = logrank(lung.time, lung.dead, lung.sex, kind="fleming-harrington", rho=1)
    assert close(rho.statistic, numbers["rho"]["chisq"])
    assert close(rho.observed, numbers["rho"]["obs"])
    stratified = logrank(lung.time, lung.dead, lung.sex, strata=lung["ph.ecog"])
    assert close(stratified.statistic, numbers["stratified"]["chisq"])
    assert close(stratified.expected, numbers["stratified"]["exp"])
    some = lung[lung["ph.ecog"] < 3]
    three = logrank(some.time, some.dead, some["ph.ecog"])
    assert close(three.statistic, numbers["three"]["chisq"])
    assert three.test.df == 2
    whole = table("lung")
    found = logrank(whole.time, whole.status == 2, whole.sex)
    assert close(found.statistic, given["lung"]["logrank_sex"]["chisq"])


@pytest.mark.parametrize(
    ("kind", "theirs", "options"),
    [
        ("gehan", "wilcoxon", {}),
        ("tarone-ware", "tarone-ware", {}),
        ("fleming-harrington", "fleming-harrington", {"rho": 0.5, "gamma": 1.0}),
    ],
)
def test_weights_agree_with_lifelines(
    veteran: pd.DataFrame, kind: str, theirs: str, options: dict[str, Any]
) -> None:
    from lifelines.statistics import logrank_test

    first = veteran.trt == 1
    named = {"p": options["rho"], "q": options["gamma"]} if options else {}
    expected = logrank_test(
        veteran.time[first], veteran.time[~first], veteran.status[first], veteran.status[~first],
        weightings=theirs, **named,
    )  # fmt: skip
    found = logrank(veteran.time, veteran.status, veteran.trt, kind=kind, **options)
    assert close(found.statistic, expected.test_statistic)
    assert close(found.p, expected.p_value)


def test_with_entry_it_is_the_score_test_of_a_cox_model_without_ties() -> None:
    rng = np.random.default_rng(4)
    start = rng.random(150) * 0.5
    stop, group = start + rng.exponential(size=150), rng.integers(0, 2, 150)
    event = rng.random(150) < 0.7
    fit = fit_cox(group[:, None], stop, event, start=start)
    assert close(
        logrank(stop, event, group, start=start).statistic, fit.score_test.statistic, 1e-11
    )


def test_weights_count_as_copies() -> None:
    rng = np.random.default_rng(5)
    stop, event, group = rng.integers(1, 9, 40), rng.random(40) < 0.7, rng.integers(0, 3, 40)
    copies = rng.integers(1, 4, 40)
    once = logrank(stop, event, group, weights=copies)
    repeated = [np.repeat(column, copies) for column in (stop, event, group)]
    assert close(once.statistic, logrank(*repeated).statistic, 1e-12)


def test_by_hand() -> None:
    # At 1: 2 of 4 in a, at 2: 1 of 3; then only b. E_a = 1/2 + 1/3, V = 1/4 + 2/9.
    found = logrank([1, 2, 3, 4], [1, 1, 1, 1], ["a", "a", "b", "b"])
    assert found.expected[0] == pytest.approx(5 / 6, rel=1e-15)
    assert found.statistic == pytest.approx((2 - 5 / 6) ** 2 / (1 / 4 + 2 / 9), rel=1e-14)


def test_results_and_refusals() -> None:
    found = logrank([1, 2, 3, 4], [1, 1, 1, 1], ["a", "a", "b", "b"])
    assert list(found.to_frame().columns) == ["group", "observed", "expected"]
    assert json.loads(json.dumps(found.to_dict()))["df"] == 1
    with pytest.raises(OptionError, match="one label 'a'; a comparison needs two"):
        logrank([1, 2], [1, 1], ["a", "a"])
    with pytest.raises(OptionError, match="kind is 'wilcoxon'"):
        logrank([1, 2], [1, 1], ["a", "b"], kind="wilcoxon")
    with pytest.raises(ModelError, match="more than one group at risk"):
        logrank([1, 2], [0, 0], ["a", "b"])
    with pytest.raises(ModelError, match="more than one group at risk"):
        logrank([1, 2, 3, 4], [1, 1, 1, 1], ["a", "a", "b", "b"], start=[0, 0, 2, 2])
