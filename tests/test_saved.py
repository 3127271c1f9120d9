"""Saved models: what is written, what is read again, and what is refused by name."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from hostile_models import CANARY, KINDS, inside
from leadsignal.model.saved_models import FORMAT

SAVED = Path(__file__).parent / "saved"
FIXTURES = sorted(SAVED.glob(f"format-{FORMAT}/*/"))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the present format, without a fit."""
    folder = tmp_path_factory.mktemp("good") / "model"
    return Path(shutil.copytree(SAVED / f"format-{FORMAT}" / "ensemble", folder))


def rows_of(model: Path) -> tuple[pd.DataFrame, list[float]]:
    told = json.loads((model.parent / f"{model.name}-rows.json").read_text())
    frame = pd.DataFrame(told["rows"])
    return frame.assign(account_id="a", snapshot_on=pd.Timestamp("2024-01-01")), told["risk"]


@pytest.mark.parametrize("model", FIXTURES, ids=lambda path: path.name)
def test_saved_models_load_and_predict_as_when_written(model: Path, tmp_path: Path) -> None:
    frame, risk = rows_of(model)
    loaded = ls.load_model(model)
    assert loaded.predict(frame).risk == pytest.approx(risk, abs=1e-12)
    again = ls.load_model(ls.save_model(loaded, tmp_path / "again"))
    assert (again.predict(frame).risk == loaded.predict(frame).risk).all()


def test_every_estimator_has_a_fixture() -> None:
    assert {path.name for path in FIXTURES} == {"cox", "ensemble", "logistic"}


@pytest.mark.parametrize("older", range(1, FORMAT))
def test_older_formats_are_refused_by_name(older: int, good: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(good, tmp_path / "model"))
    recipe = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**recipe, "format": older}))
    with pytest.raises(ls.ModelError, match=f"format {older}; this version reads format {FORMAT}"):
        ls.load_model(folder)


def test_models_of_another_version_of_scikit_learn_predict_the_same(
    good: Path, tmp_path: Path
) -> None:
    frame, risk = rows_of(SAVED / f"format-{FORMAT}" / "ensemble")
    folder = Path(shutil.copytree(good, tmp_path / "model"))
    inside(folder, "made_with", **{"scikit-learn": "1.2.3"})
    assert ls.load_model(folder).predict(frame).risk == pytest.approx(risk, abs=1e-12)


@pytest.mark.parametrize("model", FIXTURES, ids=lambda path: path.name)
def test_a_model_that_is_read_and_saved_has_the_same_bytes(model: Path, tmp_path: Path) -> None:
    again = ls.save_model(ls.load_model(model), tmp_path / "again")
    for name in ("model.json", "SHA256SUMS"):
        assert (again / name).read_bytes() == (model / name).read_bytes()


def test_the_recipe_says_where_the_model_comes_from(
    logistic_model: ls.ChurnModel, business: ls.Tables, tmp_path: Path
) -> None:
    folder = ls.save_model(logistic_model, tmp_path / "model")
    recipe = json.loads((folder / "model.json").read_text())
    assert recipe["origin"]["tables"]["tickets"] == list(business.columns("tickets"))
    tickets = [n for n, t in recipe["origin"]["indicators"].items() if "tickets" in t]
    assert "tickets_opened_30d" in tickets
    assert recipe["origin"]["options"]["every_days"] == 28
    assert len(recipe["origin"]["fingerprint"]) == 64
    assert recipe["made_with"]["scikit-learn"]
    assert ls.load_model(folder).origin_ == logistic_model.origin_


def test_the_sums_are_what_sha256sum_checks(good: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=good, capture_output=True)
    assert done.returncode == 0


def test_a_model_without_an_analysis_comes_back(business: ls.Tables, tmp_path: Path) -> None:
    panel = ls.build_panel(business)
    model = ls.ChurnModel(estimator="logistic").fit(panel)
    loaded = ls.load_model(ls.save_model(model, tmp_path / "model"))
    assert loaded.analysis_.processes == ()
    assert (loaded.predict(panel.current()).risk == model.predict(panel.current()).risk).all()


def test_a_link_to_the_newest_model_is_followed(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "of-may")
    (tmp_path / "current").symlink_to("of-may")
    model = ls.load_model(tmp_path / "current")
    ls.save_model(model, tmp_path / "current")
    assert (tmp_path / "current").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["current", "of-may"]


def test_there_are_at_least_a_hundred_hostile_kinds() -> None:
    assert len(KINDS) >= 100


@pytest.mark.parametrize("name", KINDS)
def test_hostile_folders_are_refused_by_name_and_do_nothing(
    name: str, good: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good, folder)
    spoil, told = KINDS[name]
    spoil(folder)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(ls.ModelError, match=told):
        ls.load_model(folder)
    assert not (tmp_path / CANARY).exists()
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("name", "told"), [("m.zip", "an archive"), ("m.pkl", "a pickle")])
def test_archives_and_pickles_are_not_opened(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(ls.ModelError, match=told):
        ls.load_model(tmp_path / name)


def test_weights_cannot_be_made_infinite(good: Path) -> None:
    model = ls.load_model(good)
    frame, _ = rows_of(SAVED / f"format-{FORMAT}" / "ensemble")
    assert np.isfinite(model.predict(frame).risk).all()
