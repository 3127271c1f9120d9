"""Saved models: a folder of JSON and of estimators that load without running code.

A model folder holds ``model.json`` (the recipe), ``churn.skops`` and perhaps ``other.skops`` (the
estimators), and ``SHA256SUMS``, the checksum of each of them (``sha256sum -c`` reads it too).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from leadsignal.arguments import checked
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import LeadsignalError, ModelError, NoModelError, quiet
from leadsignal.files.outputs import MODEL, check_folder
from leadsignal.files.writing import restore_folder, whole_folder
from leadsignal.ingestion.data_warnings import DataWarning
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.features import Features
from leadsignal.model.learners import LEARNERS
from leadsignal.model.persistence.estimator_files import (
    LARGEST,
    estimator_from_bytes,
    estimator_to_bytes,
)
from leadsignal.model.persistence.recipe_schema import FIT_AGAIN, check_schema
from leadsignal.model.person_period import Layout, step_ends
from leadsignal.model.provenance import Origin
from leadsignal.model.recalibration import Recalibration
from leadsignal.model.stacked_model import Hazards

FORMAT = 4
"""Raised whenever a model folder of the version before would be read differently, or not at all."""
RECIPE, SUMS = "model.json", "SHA256SUMS"
CHURN, OTHER = "churn.skops", "other.skops"
FILES = (RECIPE, SUMS, CHURN, OTHER)
LARGEST_RECIPE = 20_000_000

PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".npy")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".zst")


@checked
def save_model(model: ChurnModel, folder: str | Path) -> Path:
    """Write a fitted model as a folder, whole or not at all; one that is there is replaced.

    The same model gives the same bytes. Raises OptionError where the folder holds anything else
    than a model, or what is read, and ModelError where `load_model` would refuse it: an indicator
    whose name has control characters, say, or a classifier of another library or of your own.
    """
    _refuse_classifier(model)
    check_folder(folder, MODEL)
    hazards = model.hazards_
    files = {CHURN: estimator_to_bytes(hazards.churn)}
    if hazards.other is not None:
        files[OTHER] = estimator_to_bytes(hazards.other)
    recipe = _recipe(model)
    check_schema(Path(folder) / RECIPE, recipe)
    try:
        _refuse_orders(model.analysis_)
    except ValueError as error:
        raise ModelError(f"{folder} cannot be written: {error}", "Correct the analysis") from None
    text = json.dumps(recipe, indent=2, sort_keys=True, allow_nan=False) + "\n"
    files[RECIPE] = text.encode()
    sums = [f"{_sha256(content)}  {name}\n" for name, content in sorted(files.items())]
    files[SUMS] = "".join(sums).encode()
    with whole_folder(folder, MODEL) as part:
        for name, content in files.items():
            (part / name).write_bytes(content)
    return Path(folder)


def _refuse_classifier(model: ChurnModel) -> None:
    if isinstance(model.estimator, str):
        return
    kind = type(model.estimator)
    raise ModelError(
        f"a model with estimator {kind.__module__}.{kind.__qualname__} cannot be saved: only the"
        f" built-in estimators ({', '.join(LEARNERS)}) can be read without running code",
        "Save the panel (write_panel) and the settings, and fit again where you score, or use a"
        " built-in estimator",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _recipe(model: ChurnModel) -> dict[str, Any]:
    known: dict[str, Any] = {
        "accounts": model.accounts_,
        "held_out_auc": model.hazards_.held_out_auc,
    }
    if hasattr(model, "recalibration_"):
        known["recalibration"] = model.recalibration_.to_dict()
    return {
        **{key: value for key, value in known.items() if value is not None},
        "format": FORMAT,
        "parameters": model.plain_parameters(),
        "features": model.features_.to_dict(),
        "families": model.families_,
        "analysis": model.analysis_.to_toml(),
        "step_ends": model.hazards_.ends.tolist(),
        "trained_through": model.trained_through_.isoformat(),
        "rows": model.rows_,
        "events": model.events_,
        "version": model.version_,
        "origin": model.origin_.to_dict(),
        "made_with": versions(),
        **({"warnings": [one.to_dict() for one in model.warnings_]} if model.warnings_ else {}),
    }


def versions() -> dict[str, str]:
    """Return the versions of what a model's numbers depend on."""
    import platform
    from importlib.metadata import version

    from leadsignal import __version__

    packages = ("duckdb", "numpy", "pandas", "scikit-learn", "skops")
    return {
        "leadsignal": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def load_model(folder: str | Path) -> ChurnModel:
    """Read a model that `save_model` wrote, in the present format; nothing in it is run.

    Raises ModelError, which says by name what is wrong: no model folder, a pickle or an archive, a
    link, a file that is missing, cut short, altered, too large or none of a model's, another
    format, another series of scikit-learn, a recipe without the schema of one, and an estimator
    with other types, another shape or other numbers than `save_model` writes.
    """
    folder = Path(folder)
    files = _read_files(folder)
    recipe = _parse(folder, files[RECIPE])
    _check_sums(folder, files)
    check_schema(folder / RECIPE, recipe)
    try:
        return _assembled(folder, recipe, files)
    except ModelError:
        raise
    except _FAULTS as error:
        raise ModelError(
            f"{folder / RECIPE} does not fit together ({type(error).__name__})", FIT_AGAIN
        ) from error


_FAULTS = (
    LeadsignalError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    RecursionError, MemoryError,
)  # fmt: skip
"""What reading raises where the parts of a recipe, each of its kind, do not fit together."""


def _assembled(folder: Path, recipe: Mapping[str, Any], files: Mapping[str, bytes]) -> ChurnModel:
    _check_series(folder, recipe["made_with"]["scikit-learn"])
    parameters = recipe["parameters"]
    model = ChurnModel(**{**parameters, "roles": tuple(parameters["roles"])})
    ends = np.array(recipe["step_ends"])
    if ends.tolist() != step_ends(*model._days()).tolist():
        raise ValueError("the steps are not those of the horizon")
    model.features_ = Features.from_dict(recipe["features"])
    features, layout = len(model.features_.names), Layout.of(model.features_, ends)
    read = {
        name: estimator_from_bytes(files[name], str(folder / name), features, layout)
        for name in (CHURN, OTHER)
        if name in files
    }
    for stacked_model in read.values():
        if tuple(map(type, stacked_model.members)) != LEARNERS[parameters["estimator"]]:
            raise ValueError("the learners are not those of the estimator")
    auc = recipe.get("held_out_auc")
    model.hazards_ = Hazards(model.features_, ends, read[CHURN], read.get(OTHER), auc)
    model.families_ = recipe["families"]
    # A model fitted without an analysis has an empty one, which is no valid file of its own.
    text = recipe["analysis"]
    model.analysis_ = SuccessAnalysis.from_toml(text) if text.strip() else SuccessAnalysis(())
    _refuse_orders(model.analysis_)
    model.trained_through_ = date.fromisoformat(recipe["trained_through"])
    model.accounts_ = recipe.get("accounts")
    model.rows_, model.events_ = recipe["rows"], recipe["events"]
    model.version_ = recipe["version"]
    if "recalibration" in recipe:
        model.recalibration_ = Recalibration.from_dict(recipe["recalibration"])
    model.origin_ = Origin.from_dict(recipe["origin"])
    model.warnings_ = tuple(map(DataWarning.from_dict, recipe.get("warnings", ())))
    return model


def _check_series(folder: Path, written: str) -> None:
    """Refuse a model whose estimators another series of scikit-learn wrote: 1.9 is not 1.6.

    scikit-learn promises no more, and an estimator that loads may predict otherwise.
    """
    from importlib.metadata import version

    here = version("scikit-learn")
    series = ".".join(written.split(".")[:2])
    if series != ".".join(here.split(".")[:2]):
        raise ModelError(
            f"{folder} was fitted with scikit-learn {quiet(written, 40)}; {here} is installed",
            f"Install scikit-learn {quiet(series, 40)}, or fit the model again",
        )


def _refuse_orders(analysis: SuccessAnalysis) -> None:
    """Raise ValueError where a text of an analysis holds what a terminal obeys."""
    waiting: list[Any] = [asdict(analysis)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", item):
            raise ValueError("a text of the analysis has control characters")
        if isinstance(item, Mapping):
            waiting += [*item, *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item


# Reading the folder


def _read_files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file, after checking the contents of the folder."""
    restore_folder(folder)
    if folder.is_file():
        raise NoModelError(f"{folder} is {_what_file(folder)}, not a model folder", _unpack(folder))
    if not (folder / RECIPE).exists() and not (folder / RECIPE).is_symlink():
        raise NoModelError(
            f"{folder} is not a model folder: it has no {RECIPE}{_pickles_in(folder)}",
            "Give a folder that `leadsignal fit` wrote",
        )
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        _check_entry(entry)
    return {name: _read(folder / name) for name in FILES if (folder / name).exists()}


def _what_file(path: Path) -> str:
    if path.suffix in PICKLES:
        return "a pickle, which can run code when it is read"
    return "an archive" if path.suffix in ARCHIVES else "a file"


def _unpack(path: Path) -> str:
    if path.suffix in ARCHIVES:
        return "Unpack it yourself, and give the folder"
    return "Give a folder that `leadsignal fit` wrote"


def _pickles_in(folder: Path) -> str:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    names = [path.name for path in files if path.suffix in PICKLES]
    return f"; {quiet(names[0])} is a pickle, which is never read" if names else ""


def _check_entry(entry: os.DirEntry[str]) -> None:
    path, mode = Path(entry.path), entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        message = f"{quiet(str(path))} is a link; a model's files must be in its folder"
        raise ModelError(message, FIT_AGAIN)
    if path.suffix in PICKLES:
        message = f"{quiet(str(path))} is a pickle, which can run code; it is never read"
        raise ModelError(message, "Remove it")
    if path.name not in FILES:
        raise ModelError(f"{quiet(str(path))} is no file of a model", "Remove it")
    if not stat.S_ISREG(mode):
        raise ModelError(f"{path} is not a plain file", FIT_AGAIN)


def _read(path: Path) -> bytes:
    most = LARGEST if path.suffix == ".skops" else LARGEST_RECIPE
    # Not following links and not waiting for pipes, should one take the file's place just now.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "Allow reading it") from None
    if len(content) > most:
        raise ModelError(f"{path} is larger than {most:,} bytes", FIT_AGAIN)
    return content


def _parse(folder: Path, content: bytes) -> dict[str, Any]:
    file = folder / RECIPE
    try:
        recipe: dict[str, Any] = json.loads(content.decode("utf-8"))
        number = recipe["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{file} is not readable as a model", FIT_AGAIN) from None
    if not isinstance(number, int) or isinstance(number, bool) or number != FORMAT:
        shown = quiet(repr(number), 40)
        raise ModelError(
            f"{folder} has model format {shown}; this version reads format {FORMAT}",
            "Fit the model again, or use the version that wrote it",
        )
    return recipe


def _check_sums(folder: Path, files: Mapping[str, bytes]) -> None:
    sums = _sums_beside(folder, files)
    for name, digest in sums.items():
        if name not in files:
            raise ModelError(f"{folder} has no file {quiet(name, 60)}", FIT_AGAIN)
        if _sha256(files[name]) != digest:
            raise ModelError(f"{folder / name} was altered or is cut short", FIT_AGAIN)
    unlisted = sorted(set(files) - set(sums) - {SUMS, RECIPE})
    if CHURN not in sums or unlisted:
        raise ModelError(f"{folder} has no checksum of {(unlisted or [CHURN])[0]}", FIT_AGAIN)


def _sums_beside(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    if SUMS not in files:
        raise ModelError(f"{folder} has no file {SUMS}", FIT_AGAIN)
    lines = files[SUMS].decode("ascii", "replace").splitlines()
    found = [re.fullmatch(r"([0-9a-f]{64})  (\S{1,60})", line) for line in lines]
    sums = {match[2]: match[1] for match in found if match}
    if RECIPE not in sums or not all(found) or len(sums) < len(lines):
        raise ModelError(f"{folder / SUMS} was altered or is cut short", FIT_AGAIN)
    return sums
