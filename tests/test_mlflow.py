"""Models saved and logged with MLflow; skipped where MLflow is not installed."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB

import leadsignal as ls
from test_saved import FIXTURES, rows_of

PAGE = Path(__file__).parents[1] / "docs" / "scheduled-scoring.md"
SHOWN = re.findall(
    r"(?ms)^<!-- not run: tests/test_mlflow.py [^\n]+ -->\n```python\n(.*?)^```",
    PAGE.read_text("utf-8"),
)
KEYS = ["account_id", "snapshot_on"]

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None,
    reason="MLflow is not installed: pip install leadsignal[mlflow]",
)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """MLflow with a store of its own; what it warns of when it is imported is not our business."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        patched.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patched.setenv("MLFLOW_UV_AUTO_DETECT", "false")
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.pyfunc

        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.create_experiment("tests", artifact_location=(folder / "artefacts").as_uri())
        mlflow.set_experiment("tests")
        yield mlflow


@pytest.fixture(scope="module")
def given() -> tuple[ls.ChurnModel, pd.DataFrame]:
    """An ensemble with categories, and rows of its panel."""
    folder = next(one for one in FIXTURES if one.name == "ensemble")
    rows, _ = rows_of(folder)
    # MLflow has no coarser dates.
    return ls.load_model(folder), rows.astype({"snapshot_on": "datetime64[ns]"})


@needs_mlflow
def test_a_saved_model_forecasts_the_same(mlflow: Any, given: Any, tmp_path: Path) -> None:
    model, rows = given
    ls.mlflow.save_model(model, tmp_path / "saved", metadata={"team": "success"})
    again = ls.mlflow.load_model(tmp_path / "saved")
    assert (again.predict(rows).risk == model.predict(rows).risk).all()
    assert again.version_ == model.version_
    found = mlflow.pyfunc.load_model(str(tmp_path / "saved")).predict(rows)
    pd.testing.assert_frame_equal(found, model.predict(rows).to_frame())


@needs_mlflow
def test_it_says_what_it_reads_and_gives_and_how_it_was_made(
    mlflow: Any, given: Any, tmp_path: Path
) -> None:
    model, rows = given
    ls.mlflow.save_model(model, tmp_path / "saved", metadata={"team": "success"})
    info = mlflow.models.get_model_info(str(tmp_path / "saved"))
    assert info.signature.inputs.input_names() == [*KEYS, *model.feature_names_in_]
    types = dict(
        zip(info.signature.inputs.input_names(), info.signature.inputs.input_types(), strict=True)
    )
    texts = {name for name, kind in types.items() if kind.name == "string"}
    assert texts == {"account_id", *model.features_.levels}
    given_back = model.predict(rows).to_frame()
    assert info.signature.outputs.input_names() == list(given_back)
    about = info.metadata["leadsignal"]
    assert (about["version"], about["estimator"]) == (model.version_, "ensemble")
    assert info.metadata["team"] == "success"
    kept = {str(file.relative_to(tmp_path / "saved")) for file in (tmp_path / "saved").rglob("*")}
    assert {"data/churn_model/model.json", "data/churn_model/SHA256SUMS"} < kept
    requirements = (tmp_path / "saved" / "requirements.txt").read_text()
    assert f"leadsignal=={ls.__version__}" in requirements.splitlines()


@needs_mlflow
def test_rows_without_an_indicator_or_with_a_text_for_a_number_are_refused(
    mlflow: Any, given: Any, tmp_path: Path
) -> None:
    model, rows = given
    ls.mlflow.save_model(model, tmp_path / "saved")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    number = next(name for name in model.feature_names_in_ if name in model.features_.ranges)
    with pytest.raises(mlflow.exceptions.MlflowException, match=number):
        loaded.predict(rows.drop(columns=number))
    with pytest.raises(mlflow.exceptions.MlflowException, match=number):
        loaded.predict(rows.assign(**{number: "many"}))


@needs_mlflow
def test_missing_values_are_no_obstacle(mlflow: Any, given: Any, tmp_path: Path) -> None:
    model, rows = given
    empty = rows.assign(
        **{
            name: np.nan if name in model.features_.ranges else None
            for name in model.feature_names_in_
        }
    )
    ls.mlflow.save_model(model, tmp_path / "saved")
    found = mlflow.pyfunc.load_model(str(tmp_path / "saved")).predict(empty)
    assert found["risk"].tolist() == model.predict(empty).risk.tolist()


@needs_mlflow
def test_a_model_without_a_checksum_or_that_is_not_ours_is_refused(
    mlflow: Any, given: Any, tmp_path: Path
) -> None:
    model, _ = given
    ls.mlflow.save_model(model, tmp_path / "saved")
    sums = tmp_path / "saved" / "data" / "churn_model" / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("a", "b"))
    with pytest.raises(ls.ModelError, match="was altered"):
        ls.mlflow.load_model(tmp_path / "saved")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "MLmodel").write_text("flavors: {}\n")
    with pytest.raises(ls.ModelError, match="is no churn model of leadsignal"):
        ls.mlflow.load_model(tmp_path / "other")


@needs_mlflow
def test_no_code_of_a_hostile_model_is_run(mlflow: Any, given: Any, tmp_path: Path) -> None:
    """Its loader, code and environment are names in a file that our loader does not read."""
    model, _ = given
    ls.mlflow.save_model(model, tmp_path / "saved")
    canary = tmp_path / "canary"
    code = tmp_path / "saved" / "code"
    code.mkdir()
    (code / "hostile.py").write_text(f"import os; os.mkdir({str(canary)!r})\n")
    description = tmp_path / "saved" / "MLmodel"
    text = description.read_text()
    description.write_text(
        text.replace("code: null", "code: code").replace("leadsignal.mlflow", "hostile")
    )
    assert ls.mlflow.load_model(tmp_path / "saved").version_ == model.version_
    assert not canary.exists()
    with pytest.raises(AttributeError):
        mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    assert canary.exists(), "MLflow's own loader does"


@needs_mlflow
def test_a_classifier_is_refused_before_anything_is_logged(
    mlflow: Any, given: Any, tmp_path: Path
) -> None:
    model, _ = given
    other = ls.ChurnModel(estimator=GaussianNB())
    vars(other).update({k: v for k, v in vars(model).items() if k.endswith("_")})
    before = len(mlflow.search_logged_models(output_format="list"))
    with pytest.raises(ls.ModelError, match="GaussianNB cannot be saved"):
        ls.mlflow.log_model(other)
    assert len(mlflow.search_logged_models(output_format="list")) == before
    with pytest.raises(ls.ModelError, match="model is not fitted"):
        ls.mlflow.log_model(ls.ChurnModel())


@needs_mlflow
def test_the_example_of_the_page_runs(
    mlflow: Any, logistic_model: ls.ChurnModel, business_panel: ls.Panel, business: ls.Tables
) -> None:
    (example,) = SHOWN
    names: dict[str, Any] = {
        "ls": ls, "model": logistic_model, "panel": business_panel, "tables": business
    }  # fmt: skip
    exec(example, names)
    expected = logistic_model.predict(business_panel.current()).to_frame()
    pd.testing.assert_frame_equal(names["risks"], expected)
    assert names["again"].version_ == logistic_model.version_
    assert len(names["scores"])


def test_without_mlflow_the_message_says_how_to_install_it(
    given: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("mlflow", "mlflow.models"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (
        lambda: ls.mlflow.save_model(given[0], tmp_path / "saved"),
        lambda: ls.mlflow.log_model(given[0]),
        lambda: ls.mlflow.load_model("models:/churn/1"),
    ):
        with pytest.raises(ls.OptionError, match=r"pip install 'leadsignal\[mlflow\]'"):
            call()
    assert list(tmp_path.iterdir()) == []
