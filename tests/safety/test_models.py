"""Saved models: nothing in a hostile one crashes, hangs, speaks to a terminal or is published."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import leadsignal as ls
from hostile_models import KINDS, NAN, inside, put
from leadsignal.cli import main
from leadsignal.model.features import Features, Layout, design, step_ends
from leadsignal.model.learners import LEARNERS, Boosting
from leadsignal.model.saved_estimators import (
    stacked_model_from_dict,
    stacked_model_to_dict,
)
from leadsignal.model.stacked_model import ESTIMATORS, fit_hazards

ROOT = Path(__file__).parents[2]
SAVED = ROOT / "tests" / "saved" / "format-5"
ENDS = step_ends(90, 30)


# What we write is read


LAYOUTS = {
    "numbers and categories": Features(
        ("a", "b", "tenure_days", "c"), {"b": ("x", "y", "z"), "c": ("p",)}, {"a": 1}
    ),
    "numbers": Features(("a", "tenure_days"), {}),
    "categories": Features(("b", "c"), {"b": ("x", "y"), "c": ("p", "q")}),
    "time alone": Features(("tenure_days", "days_to_renewal")),
    "renewals": Features(("a", "days_to_renewal", "term_months", "b"), {"b": ("x", "y")}),
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("columns", LAYOUTS)
def test_every_estimator_of_any_columns_is_read_as_it_was_written(
    columns: str, estimator: str
) -> None:
    features = LAYOUTS[columns]
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, len(features.names))) * 100
    for place, name in enumerate(features.names):
        if name in features.levels:
            matrix[:, place] = rng.integers(len(features.levels[name]), size=300)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    outcome = {
        "ended_within": np.where(rng.random(300) < 0.3, rng.integers(1, 90, 300), np.nan),
        "observed": np.full(300, 400.0),
        "churns": rng.random(300) < 0.7,
    }
    hazards = fit_hazards(features, matrix, outcome, ENDS, estimator, 0)  # type: ignore[arg-type]
    levels = {features.names.index(name): len(codes) for name, codes in features.levels.items()}
    layout, learners = Layout.of(features, ENDS), LEARNERS[estimator]
    row, step = np.repeat(np.arange(300), 3), np.tile(np.arange(3), 300)
    rows = design(features, matrix, ENDS, row, step)
    for stacked_model in (hazards.churn, hazards.other):
        assert stacked_model is not None
        written = json.dumps(stacked_model_to_dict(stacked_model), allow_nan=False)
        read = stacked_model_from_dict(json.loads(written), layout, learners, levels)
        assert json.dumps(stacked_model_to_dict(read)) == written
        assert np.array_equal(read.probability(rows), stacked_model.probability(rows))


# What anybody else writes is not


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("increments", lambda held: [-one for one in held]),
        ("increments", lambda held: held[:1]),
        ("increments", lambda held: [*held[1:], np.inf]),
        ("reference", lambda held: held[:1]),
        ("reference", lambda held: [*held[1:], NAN]),
        ("coefficients", lambda held: held[:1]),
    ],
)
def test_hostile_cox_models_are_refused(name: str, spoilt: object, tmp_path: Path) -> None:
    folder = _copy("cox", tmp_path)
    put(folder, spoilt, ("members", 0, name))
    with pytest.raises(ls.ModelError, match="does not fit together"):
        ls.load_model(folder)


@pytest.mark.parametrize("name", [name for name in KINDS if "terminal" in name or "long" in name])
def test_what_is_told_of_a_hostile_model_is_one_short_line_to_a_terminal(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _copy("ensemble", tmp_path)
    KINDS[name][0](folder)
    code = main(["score", str(tmp_path), "--model", str(folder), "--out", str(tmp_path / "s.csv")])
    told = capsys.readouterr()
    assert code != 0
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", told.err) is None
    assert len(told.err) < 1000
    assert not (tmp_path / "s.csv").exists()


def test_a_model_that_would_not_be_read_again_is_not_saved(tmp_path: Path) -> None:
    model = ls.load_model(SAVED / "logistic")
    model.families_ = dict.fromkeys(model.families_, "red\x1b[31m")
    with pytest.raises(ls.ModelError, match="schema of a model: families"):
        ls.save_model(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_few_of_the_random_mutations() -> None:
    """See benchmarks/model_mutations.py, which makes five thousand."""
    script = ROOT / "benchmarks" / "model_mutations.py"
    done = subprocess.run(
        [sys.executable, str(script), "--count", "150", "--seed", "40000"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": loaded" in done.stdout
    assert "fitted numbers: refused" in done.stdout


# What is no chance is not published


def _copy(kind: str, place: Path) -> Path:
    import shutil

    return Path(shutil.copytree(SAVED / kind, place / "model"))


@pytest.fixture
def without_chances(business_model: ls.ChurnModel) -> ls.ChurnModel:
    """A model that has been spoilt after it was read: its forecasts are NaN for some rows."""
    import copy

    model = copy.deepcopy(business_model)
    boosting = model.hazards_.churn.members[0]
    assert isinstance(boosting, Boosting)
    boosting.trees = replace(boosting.trees, trees=(np.nan, *boosting.trees.trees))
    return model


def test_forecasts_that_are_no_chances_are_refused(
    without_chances: ls.ChurnModel, business: ls.Tables, business_panel: ls.Panel, tmp_path: Path
) -> None:
    told = r"forecasts of [\d,]+ of [\d,]+ rows are no probabilities"
    rows = business_panel.current()
    for forecast in (
        lambda: without_chances.predict(rows),
        lambda: without_chances.predict_proba(rows),
        lambda: without_chances.reasons(rows),
        lambda: ls.score_accounts(without_chances, business, effects={}),
        lambda: ls.scoring.score_panel(without_chances, business_panel),
        lambda: ls.score_into(without_chances, business, tmp_path / "scores"),
    ):
        with pytest.raises(ls.ModelError, match=told):
            forecast()
    assert not list(tmp_path.glob("scores/*"))


def test_chances_do_not_exceed_one_by_rounding() -> None:
    from leadsignal.model.stacked_model import curves_of

    hazards = np.random.default_rng(0).uniform(0.3, 1, size=(20_000, 12))
    churned, active = curves_of(hazards, np.zeros_like(hazards))
    assert churned.max() <= 1
    assert active.min() >= 0
    assert (np.diff(churned, axis=1) >= 0).all()


def test_no_names_of_a_model_are_told_unread(tmp_path: Path) -> None:
    """A long value in a place of a number is not repeated in the message."""
    folder = _copy("logistic", tmp_path)
    put(folder, "a" * 5000, ("intercept",))
    with pytest.raises(ls.ModelError) as refused:
        ls.load_model(folder)
    assert len(str(refused.value)) < 500 + len(str(folder))
    inside(folder, "parameters", estimator="x" * 400)
    with pytest.raises(ls.ModelError) as refused:
        ls.load_model(folder)
    assert "xxx" not in str(refused.value)
