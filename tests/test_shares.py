"""Exact Shapley values: against the definition over orders, and by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import leadsignal as ls
from leadsignal.model.contributions import shapley_values


def test_a_product_is_shared_by_hand() -> None:
    # f = x y + z from (0, 0, 0) to (2, 3, 5): x and y share 6 equally, z has its 5.
    got = shapley_values(
        lambda m: m[:, 0] * m[:, 1] + m[:, 2],
        np.array([[2.0, 3, 5]]),
        np.zeros(3),
        np.array(list("xyz")),
    )
    assert {name: share.tolist() for name, share in got.items()} == {"x": [3], "y": [3], "z": [5]}


def test_they_average_over_all_orders() -> None:
    rng = np.random.default_rng(0)
    matrix, reference = rng.normal(size=(4, 5)), rng.normal(size=5)
    groups = np.array(["a", "b", "a", "c", "d"])

    def value(m: np.ndarray) -> np.ndarray:
        waves = np.sin(m[:, 0] * m[:, 1]) - np.tanh(m[:, 4] + m[:, 0])
        return np.asarray(waves + m[:, 2] * m[:, 3] ** 2)

    totals = {name: np.zeros(4) for name in "abcd"}
    for order in permutations("abcd"):
        for place, name in enumerate(order):
            before = np.where(np.isin(groups, order[:place]), matrix, reference)
            after = np.where(np.isin(groups, order[: place + 1]), matrix, reference)
            totals[name] += (value(after) - value(before)) / 24
    got = shapley_values(value, matrix, reference, groups)
    for name in "abcd":
        assert np.allclose(got[name], totals[name], atol=1e-12)


def test_too_many_groups_are_refused() -> None:
    with pytest.raises(ls.OptionError, match="13 groups"):
        shapley_values(lambda m: m[:, 0], np.ones((1, 13)), np.zeros(13), np.arange(13))


def test_a_models_reasons_add_up_to_the_log_odds(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    rows = business_panel.current()
    shares = business_model.reasons(rows)
    risk = business_model.predict(rows).risk
    log_odds = np.log(risk / (1 - risk))
    base = log_odds - shares.sum(axis=1).to_numpy()
    assert np.ptp(base) < 1e-9


def test_reasons_do_not_depend_on_order_or_on_other_days(
    business_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    rows = business_panel.current()
    shares = business_model.reasons(rows)
    shuffled = business_model.reasons(rows.sample(frac=1, random_state=1)).loc[rows.index]
    assert (shares == shuffled).all(axis=None)
    some = business_model.reasons(rows.head(5), against=rows)
    assert (some == shares.head(5)).all(axis=None)
