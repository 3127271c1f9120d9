"""Saved models: a folder of JSON and of trees that load without running code."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.features import Features
from leadsignal.hazards import Hazards
from leadsignal.model import ChurnModel
from leadsignal.success import SuccessAnalysis
from leadsignal.writing import whole_folder

FORMAT = 1
RECIPE = "model.json"
CHURN, OTHER = "churn.skops", "other.skops"
TRUSTED = (
    "functools.partial",
    "leadsignal.encoding.IndicatorEncoder",
    "leadsignal.hazards.Blend",
    "leadsignal.learners.Boosting",
    "leadsignal.learners.LandmarkCox",
    "leadsignal.learners.LinearColumns",
    "leadsignal.learners.Logistic",
    "leadsignal.stacking.Layout",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
"""What a saved estimator may hold beyond what skops trusts by itself."""

FIT_AGAIN = "Fit the model again"


def save_model(model: ChurnModel, folder: str | Path) -> Path:
    """Write a fitted model as a folder, whole or not at all; one that is there is replaced."""
    from skops.io import dumps

    hazards = model.hazards_
    files = {CHURN: dumps(hazards.churn)}
    if hazards.other is not None:
        files[OTHER] = dumps(hazards.other)
    recipe = json.dumps(_recipe(model, files), indent=2, sort_keys=True)
    with whole_folder(folder) as part:
        for name, content in files.items():
            (part / name).write_bytes(content)
        (part / RECIPE).write_text(recipe + "\n", encoding="utf-8")
    return Path(folder)


def _recipe(model: ChurnModel, files: dict[str, bytes]) -> dict[str, Any]:
    import sklearn

    from leadsignal import __version__

    return {
        "format": FORMAT,
        "parameters": {**model.get_params(), "roles": list(model.roles)},
        "features": model.features_.to_dict(),
        "families": model.families_,
        "analysis": model.analysis_.to_toml(),
        "step_ends": model.hazards_.ends.tolist(),
        "trained_through": model.trained_through_.isoformat(),
        "rows": model.rows_,
        "events": model.events_,
        "version": model.version_,
        "made_with": {"leadsignal": __version__, "scikit-learn": sklearn.__version__},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }


def load_model(folder: str | Path) -> ChurnModel:
    """Read a model that `save_model` wrote; nothing in the folder is run.

    Raises ModelError for what is not a model folder, for another format, and for files that are
    missing or were altered.
    """
    folder = Path(folder)
    recipe = _read_recipe(folder)
    model = ChurnModel(**{**recipe["parameters"], "roles": tuple(recipe["parameters"]["roles"])})
    model.features_ = Features.from_dict(recipe["features"])
    estimators = {name: _load(folder / name, digest) for name, digest in recipe["files"].items()}
    model.hazards_ = Hazards(
        model.features_,
        np.array(recipe["step_ends"]),
        estimators[CHURN],
        estimators.get(OTHER),
    )
    model.families_ = recipe["families"]
    model.analysis_ = SuccessAnalysis.from_toml(recipe["analysis"])
    model.trained_through_ = date.fromisoformat(recipe["trained_through"])
    model.rows_, model.events_ = recipe["rows"], recipe["events"]
    model.version_ = recipe["version"]
    return model


def _read_recipe(folder: Path) -> dict[str, Any]:
    file = folder / RECIPE
    if not file.is_file():
        raise ModelError(
            f"{folder} is not a model folder: it has no {RECIPE}",
            "Give a folder that `leadsignal fit` wrote",
        )
    try:
        recipe: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        given = recipe["format"]
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{file} is not readable as a model", FIT_AGAIN) from None
    if given != FORMAT:
        raise ModelError(
            f"{folder} has model format {given!r}; this version reads {FORMAT}", FIT_AGAIN
        )
    return recipe


def _load(file: Path, digest: str) -> Any:
    from skops.io import get_untrusted_types, loads

    if file.name not in (CHURN, OTHER) or not file.is_file():
        raise ModelError(f"{file.parent} has no file {file.name}", FIT_AGAIN)
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelError(f"{file} was altered or is cut short", FIT_AGAIN)
    foreign = sorted(set(get_untrusted_types(data=content)) - set(TRUSTED))
    if foreign:
        raise ModelError(f"{file} holds types that a model has no need of: {', '.join(foreign)}")
    return loads(content, trusted=list(TRUSTED))
