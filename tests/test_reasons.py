"""Reasons: nothing good raises a risk, no person is named, each value has its reference."""

from __future__ import annotations

import json
import re
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from hand_panels import indicator, panel_of
from leadsignal.indicators.declare import Attribute, DaysSince, Fact, Indicator, Trailing
from leadsignal.model.contributions import learn_worse, side_named
from leadsignal.model.explanation import compared_with
from leadsignal.model.features import Features
from leadsignal.model.reasons import reason_text
from leadsignal.scoring.reasons import (
    NEAR_RENEWAL,
    SEVERAL,
    TYPICAL,
    Reason,
    account_reasons,
    reason_texts,
)

if TYPE_CHECKING:
    from leadsignal.model.stacked_model import Hazards

GOOD_ABOVE = re.compile(
    r"activity_.*|usage_(amount|share_of_quarter|to_best).*|survey_score|health_score|results?_.*gap.*"
    r"|results_(90d|met_365d)|.*_kept_180d|contract_(expansions_365d|arr_change_365d)"
    r"|(weekly_reconciliation|monthly_close_review)_(events|users)|(sponsor|diary|handoff)_events_90d"
)
GOOD_BELOW = re.compile(
    r"(weekly_reconciliation|monthly_close_review|usage|result|survey|sponsor|diary|handoff)_days_since"
    r"|.*_commitments_(open|overdue)|plans_overdue|flags_.*|usage_low|contract_reductions_365d"
    r"|result_(days_since_.*|stalled_days)|results_not_shown|contract_days_since_expansion"
)


def presents_something_good(reason: Reason) -> bool:
    """Whether a customer would call the value of the reason a good one."""
    name, direction = reason.indicator, reason.direction
    if name.endswith("_state"):
        return reason.value not in ("overdue", "lapsed", "pending")
    if GOOD_ABOVE.fullmatch(name):
        return direction in ("above", "equal")
    return bool(GOOD_BELOW.fullmatch(name)) and direction in ("below", "equal")


def test_among_the_reasons_of_100_alerted_accounts_nothing_good_raises_the_risk(
    logistic_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    active = (~business_panel.current()["notice_given"]).sum()
    scores = ls.scoring.score_panel(logistic_model, business_panel, capacity=100 / active)
    alerted = scores.frame.loc[scores.frame["alert"], "account_id"]
    assert len(alerted) == 100
    listed = [reason for account in alerted for reason in scores.reasons.get(account, ())]
    assert len(listed) > 100
    assert [str(one) for one in listed if presents_something_good(one)] == []
    families = {i.name: i.rule for i in business_panel.indicators}
    # What kind of firm it is may be a reason where nothing else stands out; who serves it may not.
    assert not [r for r in listed if isinstance(families.get(r.indicator), Attribute)
                and r.indicator not in ("segment", "employees", "region")]  # fmt: skip
    differ = [one for one in listed if one.direction in ("above", "below")]
    assert differ
    assert all(", usually " in str(one) for one in differ if one.indicator != "usage_low")


def test_the_explanation_of_an_account_names_the_same_side(
    logistic_model: ls.ChurnModel, business_panel: ls.Panel
) -> None:
    rows = business_panel.current()
    rows = rows[~rows["notice_given"]]
    named = 0
    for account in rows["account_id"].head(20):
        table = ls.explain_account(logistic_model, rows, account).table
        for what, share in zip(table["what"], table["share"], strict=True):
            if re.match(r"(weekly_reconciliation|monthly_close_review)_days_since [0-9]", what):
                name, value = what.split(" ")
                longer = float(value.replace(",", "")) > rows[name].median()
                assert longer == (share > 0)
                named += 1
    assert named


# A panel by hand ----------------------------------------------------------------------------------


WEIGHTS = {"practice": -1.0, "shadow": 0.5, "rep": 1.5, "segment": 1.0, "days_to_renewal": -0.01}


@dataclass(frozen=True)
class Linear:
    """Hazards whose log-odds are a sum; of categories, the later in the alphabet has less."""

    features: Features
    ends = np.array([168])
    churn = SimpleNamespace(members=(None,))
    other = None

    def curves(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = [WEIGHTS[name] for name in self.features.names]
        signs = np.where(self.features.is_category, -1.0, 1.0)
        risk = 1 / (1 + np.exp(2 - matrix @ (weights * signs)))
        return risk[:, None], 1 - risk[:, None]


@pytest.fixture(scope="module")
def by_hand() -> tuple[ls.ChurnModel, ls.Panel]:
    """A model whose weights are known; the shadow of practice has a sign of its own in it."""
    rng = np.random.default_rng(0)
    practice, noise = rng.normal(size=(2, 400))
    rows = pd.DataFrame(
        {
            "account_id": [f"a{number:03d}" for number in range(400)],
            "start": 0,
            "stop": 28,
            "practice": practice,
            "shadow": practice + 0.3 * noise,
            "rep": np.where(np.arange(400) % 5, "Ole Berg", "Leila Haddad"),
            "segment": np.where(np.arange(400) % 7, "mid", "large"),
            "days_to_renewal": rng.uniform(0, 320, 400),
        }
    )
    declared = [indicator("practice", family="practice"), indicator("shadow", family="practice")]
    declared += [
        Indicator(name, "context", "context", "as given", name, Attribute(name, False), "category")
        for name in ("rep", "segment")
    ]
    renewal = Fact("days_to_renewal")
    declared.append(
        Indicator("days_to_renewal", "context", "context", "days", "days to renewal", renewal)
    )
    model = ls.ChurnModel()
    model.features_ = Features.of(rows, list(WEIGHTS), ("rep", "segment"))
    model.hazards_ = cast("Hazards", Linear(model.features_))
    model.families_ = {one.name: one.family for one in declared}
    risk = model.hazards_.curves(model.features_.matrix(rows))[0][:, 0]
    churned = risk > np.quantile(risk, 0.8)
    model.worse_, model.groups_ = learn_worse(model.features_, rows, churned), ()
    return model, panel_of(rows.assign(cause=""), *declared)


def _typical(panel: ls.Panel, **changed: Any) -> pd.DataFrame:
    row = panel.frame.tail(1).assign(
        practice=0.0, shadow=0.0, rep="Ole Berg", segment="mid", days_to_renewal=160.0
    )
    return row.assign(**changed)


def _reasons(hand: tuple[ls.ChurnModel, ls.Panel], **changed: Any) -> list[Reason]:
    model, panel = hand
    row = _typical(panel, **changed)
    others = compared_with(panel.frame)
    declared = {i.name: i for i in panel.indicators}
    return list(account_reasons(model, row, others, declared)[str(row["account_id"].iloc[0])])


def test_more_is_no_reason_where_less_of_it_left_more_often(
    by_hand: tuple[ls.ChurnModel, ls.Panel],
) -> None:
    model, _ = by_hand
    assert (model.worse_["practice"], model.worse_["shadow"]) == ("below", "below")
    (reason,) = _reasons(by_hand, practice=-2.0, shadow=-1.0)
    assert (reason.subject, reason.indicator, reason.direction) == ("practice", "practice", "below")
    # The model reads a high shadow beside a usual practice as a risk; nobody else would.
    (other,) = _reasons(by_hand, shadow=2.5)
    assert other.subject == SEVERAL


def test_a_person_is_never_named_and_a_segment_only_where_nothing_else_stands_out(
    by_hand: tuple[ls.ChurnModel, ls.Panel],
) -> None:
    (alone,) = _reasons(by_hand, rep="Leila Haddad")
    assert (alone.subject, str(alone)[:25]) == (SEVERAL, "several small differences")
    (segment,) = _reasons(by_hand, segment="large", rep="Leila Haddad")
    assert str(segment) == "segment large, usually mid"
    found = _reasons(by_hand, segment="large", practice=-2.0)
    assert [one.indicator for one in found] == ["practice"]


def test_a_typical_account_is_called_so(by_hand: tuple[ls.ChurnModel, ls.Panel]) -> None:
    model, panel = by_hand
    assert reason_texts(tuple(_reasons(by_hand))) == [TYPICAL]
    assert reason_texts(tuple(_reasons(by_hand, days_to_renewal=20.0))) == [NEAR_RENEWAL]
    later = reason_texts(tuple(_reasons(by_hand, days_to_renewal=100.0)))
    assert later[0].startswith("renews in 100 days, usually 1")
    better = _typical(panel, practice=3.0)
    assert account_reasons(model, better, panel.frame) == {}
    assert reason_texts(None) == []


def test_sides_are_saved_and_an_older_model_has_none(
    logistic_model: ls.ChurnModel, tmp_path: Path
) -> None:
    assert logistic_model.worse_["weekly_reconciliation_events"] == "below"
    ls.save_model(logistic_model, tmp_path / "model")
    assert ls.load_model(tmp_path / "model").worse_ == logistic_model.worse_
    older = copy(logistic_model)
    older.worse_, older.groups_ = {}, ()
    ls.save_model(older, tmp_path / "older")
    assert "worse" not in json.loads((tmp_path / "older" / "model.json").read_text())
    assert ls.load_model(tmp_path / "older").worse_ == {}
    grouped = copy(logistic_model)
    grouped.groups_ = (("activity_events_30d", "activity_events_90d"),)
    ls.save_model(grouped, tmp_path / "grouped")
    assert ls.load_model(tmp_path / "grouped").groups_ == grouped.groups_
    grouped.groups_ = (("activity_events_30d", "unknown"),)
    with pytest.raises(ls.ModelError, match="groups or sides"):
        ls.save_model(grouped, tmp_path / "other")


def test_a_side_is_named_where_sense_and_rates_agree() -> None:
    assert side_named("survey_score", {}) == "below"
    assert side_named("survey_score", {"survey_score": "above"}) == ""
    assert side_named("tickets_open", {"tickets_open": "above"}) == "above"
    assert side_named("tickets_open", {}) is None


# Words --------------------------------------------------------------------------------------------

EVENTS = Trailing("behaviors", "occurred_at", 30)
WORDS = [
    ("events", "quantity of report_exported in the last 30 days", 2.0, 9.0,
     "report exported: 2 in 30 days, usually 9"),
    ("events", "quantity of report_exported in the last 30 days", 0.0, 9.4,
     "no report exported in 30 days, usually 9.4"),
    ("users", "users who did close in the last 45 days", 1.0, 0.0,
     "1 user who did close in 45 days, usually none"),
    ("share", "share of results that met their target; of the year", 0.25, 0.5,
     "share of results that met their target: 25 %, usually 50 %"),
    ("days", "days since the last report", 206.0, 5.0, "206 days since the last report, usually 5"),
    ("days", "days since the last report", 1.0, 30.0, "1 day since the last report, usually 30"),
    ("days", "days since the latest survey", None, 30.0, "no record of survey"),
    ("ratio", "level of 30 days over that of 180", 0.123, 1.0,
     "level of 30 days over that of 180: 0.12, usually 1"),
    ("currency", "annual recurring revenue", 3000.0, 20000.4,
     "annual recurring revenue: 3,000, usually 20,000"),
    ("events", "quantity of all key behaviours in the last 30 days", 12.01, 12.0,
     "key behaviours: 12 in 30 days, usually 12"),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "meaning", "value", "usual", "words"), WORDS)
def test_a_reason_in_words(unit: str, meaning: str, value: Any, usual: Any, words: str) -> None:
    rule = DaysSince("reports", "on") if unit == "days" else EVENTS
    one = Indicator("one", "behaviors", "leading", unit, meaning, rule)
    assert reason_text("one", value, one, usual) == words


def test_without_a_declaration_the_name_is_written_as_words() -> None:
    assert reason_text("report_exported", 2.0, None, 9.0) == "report exported 2, usually 9"
    assert str(Reason("x", "report_exported", None, 0.1)) == "report exported missing"
