"""Groups of behaviours: what goes together is one group, and reasons name it as one."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.indicators.declare import Indicator, Trailing
from leadsignal.model.contributions import behavior_of, learn_groups
from leadsignal.model.features import Features
from leadsignal.scoring.reasons import account_reasons

BUSY = ("report_exported", "dashboard_opened", "data_imported")
COLUMNS = [f"behavior_{name}_events_30d" for name in (*BUSY, "invoice_paid")]
WEIGHTS = (-0.5, -0.5, -0.5, -1.0)


def rows_of(customers: int, each: int = 3, seed: int = 0) -> pd.DataFrame:
    """Return rows in which three behaviours follow how busy a customer is, and one does not."""
    rng = np.random.default_rng(seed)
    busy = np.repeat(rng.normal(size=customers), each)
    noise = rng.normal(size=(4, len(busy)))
    rows = pd.DataFrame({"account_id": np.repeat([f"a{k:04d}" for k in range(customers)], each)})
    for column, own in zip(COLUMNS[:3], noise, strict=False):
        rows[column] = np.round(np.exp(2 + busy + 0.2 * own))
    rows[COLUMNS[3]] = np.round(np.exp(2 + noise[3]))
    return rows


def groups_of(rows: pd.DataFrame, names: list[str] | None = None, seed: int = 0) -> object:
    names = names or COLUMNS
    customer = np.unique(rows["account_id"], return_inverse=True)[1]
    families = dict.fromkeys(names, "behaviors")
    return learn_groups(Features.of(rows, names, ()), rows, families, customer, seed)


def test_what_rises_together_is_a_group() -> None:
    assert groups_of(rows_of(200)) == (tuple(COLUMNS[:3]),)


def test_columns_without_values_or_relation_are_in_no_group() -> None:
    rows = rows_of(200)
    rng = np.random.default_rng(1)
    rows[COLUMNS[1:3]] = np.exp(rng.normal(size=(len(rows), 2)))
    rows["behavior_constant_events_30d"] = 1.0
    rows["behavior_rare_events_30d"] = np.where(rows.index == 0, 1.0, np.nan)
    assert groups_of(rows, [*COLUMNS, *rows.columns[-2:]]) == ()
    assert groups_of(rows.head(1)) == ()


def test_a_customer_has_one_vote() -> None:
    """One customer with most of the rows, in which two behaviours run together, decides nothing."""
    rows = rows_of(200)
    rng = np.random.default_rng(2)
    rows[COLUMNS[0]] = np.exp(rng.normal(size=len(rows)))
    many = pd.concat([rows.head(1)] * 3000)
    many[COLUMNS[0]] = many[COLUMNS[3]] = np.arange(3000.0)
    assert groups_of(pd.concat([rows, many], ignore_index=True)) == (tuple(COLUMNS[1:3]),)


def test_a_pair_at_the_threshold_is_kept_in_most_resamples_only() -> None:
    """A correlation far below the threshold never makes a group, one far above always does."""
    rng = np.random.default_rng(3)
    rows = rows_of(300, each=1)
    for strength, expected in ((0.5, 0), (1.6, 1)):
        first, second = rng.normal(size=(2, 300))
        rows[COLUMNS[0]], rows[COLUMNS[3]] = first, strength * first + second
        names = [COLUMNS[0], COLUMNS[3]]
        found = [groups_of(rows, names, seed) for seed in range(5)]
        assert [len(one) for one in found] == [expected] * 5  # type: ignore[arg-type]


def test_names_of_behaviours() -> None:
    assert behavior_of("behavior_report_exported_days_since") == "report exported"
    assert behavior_of("behavior_report_exported_users_180d") == "report exported"
    assert behavior_of("else") == "else"


@pytest.fixture(scope="module")
def grouped() -> tuple[ls.ChurnModel, pd.DataFrame]:
    """A model by hand that reads four behaviours, three of which go together."""
    rows = rows_of(200)
    model = ls.ChurnModel()
    model.features_ = Features.of(rows, COLUMNS, ())
    model.families_ = dict.fromkeys(COLUMNS, "behaviors")
    model.worse_ = dict.fromkeys(COLUMNS, "below")
    model.groups_ = (tuple(COLUMNS[:3]),)

    def curves(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        score = np.log1p(matrix) @ np.array(WEIGHTS)
        risk = 1 / (1 + np.exp(-score - 2))
        return risk[:, None], 1 - risk[:, None]

    model.hazards_ = SimpleNamespace(  # type: ignore[assignment]
        features=model.features_,
        ends=np.array([180]),
        churn=SimpleNamespace(members=(None,)),
        other=None,
        curves=curves,
    )
    return model, rows


def reason_of(model: ls.ChurnModel, rows: pd.DataFrame, **values: float) -> list[str]:
    typical = rows[COLUMNS].median().to_dict()
    row = pd.DataFrame([typical]).assign(account_id="x").assign(**values)
    declared = {
        name: Indicator(
            name,
            "behaviors",
            "leading",
            "events",
            f"quantity of {behavior_of(name)} in the last 30 days",
            Trailing("behaviors", "occurred_at", 30),
        )
        for name in COLUMNS
    }
    return list(map(str, account_reasons(model, row, rows, declared)["x"]))


def test_a_reason_names_the_group_where_no_behaviour_stands_out(
    grouped: tuple[ls.ChurnModel, pd.DataFrame],
) -> None:
    model, rows = grouped
    low = dict(zip(COLUMNS[:3], (1.0, 2.0, 2.0), strict=True))
    (reason,) = reason_of(model, rows, **low)
    assert reason.startswith("less of: report exported, dashboard opened, data imported (")
    assert "report exported: 1 in 30 days, usually " in reason


def test_a_reason_names_only_the_behaviours_of_which_there_is_less(
    grouped: tuple[ls.ChurnModel, pd.DataFrame],
) -> None:
    model, rows = grouped
    (reason,) = reason_of(model, rows, **{COLUMNS[0]: 1.0, COLUMNS[1]: 1.0})
    assert reason.startswith("less of: report exported, dashboard opened (")


def test_a_single_behaviour_is_named_where_it_stands_out(
    grouped: tuple[ls.ChurnModel, pd.DataFrame],
) -> None:
    model, rows = grouped
    (reason,) = reason_of(model, rows, **{COLUMNS[0]: 1.0})
    assert reason.startswith("report exported: 1 in 30 days, usually ")
    without = copy(model)
    without.groups_ = ()
    (other,) = reason_of(without, rows, **dict.fromkeys(COLUMNS[:3], 1.0))
    assert "less of" not in other


def test_a_fit_learns_groups_of_behaviours_and_a_loaded_model_has_them(
    business_panel: ls.Panel, tmp_path: Path
) -> None:
    indicators = tuple(
        replace(one, family="behaviors") if one.family == "activity" else one
        for one in business_panel.indicators
        if one.family in ("activity", "usage")
    )
    panel = replace(business_panel, indicators=indicators)
    model = ls.ChurnModel(estimator="logistic").fit(panel)
    assert any({"activity_events_30d", "activity_events_90d"} <= set(g) for g in model.groups_)
    assert {model.families_[name] for group in model.groups_ for name in group} == {"behaviors"}
    ls.save_model(model, tmp_path / "model")
    assert ls.load_model(tmp_path / "model").groups_ == model.groups_
