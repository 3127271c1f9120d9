"""Saved models: a folder with two files that is loaded without running code.

A model folder has ``model.json``, the recipe with all fitted numbers, and ``SHA256SUMS``, its
checksum, which ``sha256sum -c`` can verify.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from leadsignal.arguments import checked
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import LeadsignalError, ModelError, NoModelError, is_name, quiet, quoted
from leadsignal.files.outputs import MODEL, check_folder
from leadsignal.files.writing import restore_folder, whole_folder
from leadsignal.ingestion.check_report import DataWarning
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.features import Features, Layout, step_ends
from leadsignal.model.learners import LEARNERS
from leadsignal.model.provenance import Origin
from leadsignal.model.saved_estimators import stacked_model_from_dict, stacked_model_to_dict
from leadsignal.model.stacked_model import MAX_OFFSET, Hazards, Recalibration

FIT_AGAIN = "Fit the model again"
LARGEST_NUMBER = 1e300
MAX_CODES = 255
"""Maximum number of codes of a category, the limit of boosting."""
MAX_TOML, MAX_DOTS = 200_000, 1_000
"""Maximum number of characters of a success analysis, and of dots outside its strings, which take
very long to parse."""


def _is_map(value: object, inside: Callable[[Any], bool] = lambda value: True) -> bool:
    """Whether the value is a mapping of names to valid values."""
    if not isinstance(value, dict) or not all(map(is_name, value)):
        return False
    return all(inside(item) for item in value.values())


def _is_text(value: object) -> bool:
    """Whether the value is a string that can be encoded."""
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def _is_analysis(value: object) -> bool:
    """Whether the value is a string that parses as TOML in reasonable time."""
    if not isinstance(value, str) or not _is_text(value) or len(value) > MAX_TOML:
        return False
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', "", value).count(".") <= MAX_DOTS


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_range(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        return False
    return bool(value[0] <= value[1])


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= LARGEST_NUMBER


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(is_name, value))


def _are_levels(value: object) -> bool:
    """Whether the value is a list of distinct values of a category."""
    if not isinstance(value, list) or not all(map(_is_text, value)):
        return False
    return len(set(value)) == len(value) <= MAX_CODES


def _is_steps(value: object) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 1000 and all(map(_is_count, value))


def _are_parameters(value: object) -> bool:
    known = set(ChurnModel().get_params())
    if not isinstance(value, dict) or set(value) != known or not _are_names(value["roles"]):
        return False
    texts = all(is_name(value[key]) for key in ("horizon", "step", "estimator"))
    return texts and _is_count(value["random_state"])


def _are_features(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _are_names(value.get("names"))
        and len(set(value["names"])) == len(value["names"]) <= 10_000
        and _is_map(value.get("levels"), _are_levels)
        and _is_map(value.get("expected_sign"), lambda sign: type(sign) is int and sign in (-1, 1))
        and _is_map(value.get("ranges"), _is_range)
        and set(value) == {"names", "levels", "expected_sign", "ranges"}
        and set(value["levels"]) | set(value["expected_sign"]) <= set(value["names"])
        and set(value["ranges"]) <= set(value["names"]) - set(value["levels"])
    )


def _is_origin(value: object) -> bool:
    """Whether the value is a mapping without infinite numbers."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return _is_map(value)


def _is_version(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]{8}-[0-9a-f]{8}", value) is not None


def _is_recalibration(value: object) -> bool:
    """Whether the value has the numbers of a recalibration and at least one horizon."""
    numbers = ("factor", "offset", "prior_spread")
    return (
        isinstance(value, dict)
        and set(value) == {*numbers, "horizons"}
        and all(_is_number(value[key]) for key in numbers)
        and value["factor"] >= 0
        and value["prior_spread"] >= 0
        and abs(value["offset"]) <= MAX_OFFSET
        and isinstance(value["horizons"], list)
        and 0 < len(value["horizons"]) <= 1000
        and all(map(_is_completed_horizon, value["horizons"]))
    )


def _is_worse(value: object) -> bool:
    """Whether the value is a side of the typical value, or a list of values of a category."""
    return value in ("above", "below") if isinstance(value, str) else _are_levels(value)


def _is_group(value: object) -> bool:
    return _are_names(value) and isinstance(value, list) and len(value) > 1


def _is_completed_horizon(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"begins_on", "ends_on", "expected", "observed"}
        and is_name(value["begins_on"])
        and is_name(value["ends_on"])
        and _is_number(value["expected"])
        and value["expected"] > 0
        and _is_count(value["observed"])
    )


SCHEMA: dict[str, Callable[[Any], bool]] = {
    "format": _is_count,
    "parameters": _are_parameters,
    "features": _are_features,
    "families": lambda value: _is_map(value, is_name),
    "analysis": _is_analysis,
    "step_ends": _is_steps,
    "hazards": lambda value: _is_map(value) and {"churn"} <= set(value) <= {"churn", "other"},
    "trained_through": is_name,
    "rows": _is_count,
    "events": _is_count,
    "version": _is_version,
    "origin": _is_origin,
    "made_with": lambda value: _is_map(value, is_name),
}
"""Required parts of a recipe, and the check for each."""
MAY_HOLD: dict[str, Callable[[Any], bool]] = {
    "accounts": _is_count,
    "held_out_auc": lambda value: _is_number(value) and 0 <= value <= 1,
    "recalibration": _is_recalibration,
    "worse": lambda value: _is_map(value, _is_worse),
    "groups": lambda value: isinstance(value, list) and all(map(_is_group, value)),
    "warnings": lambda value: isinstance(value, list) and all(map(_is_map, value)),
}
"""Optional parts of a recipe, and the check for each; the model's summary says if they are
missing."""


def check_schema(file: Path, recipe: Mapping[str, Any]) -> None:
    """Raise ModelError that names each invalid part of a recipe."""
    unknown = sorted(set(recipe) - set(SCHEMA) - set(MAY_HOLD))
    wrong = [key for key, holds in SCHEMA.items() if key not in recipe or not holds(recipe[key])]
    wrong += [key for key, holds in MAY_HOLD.items() if key in recipe and not holds(recipe[key])]
    if not wrong and not set(recipe["features"]["names"]) <= set(recipe["families"]):
        wrong = ["families"]
    if wrong or unknown:
        message = ", ".join([*wrong, *(f"unknown {quoted(key, 40)}" for key in unknown[:5])])
        raise ModelError(f"{file} does not have the schema of a model: {message}", FIT_AGAIN)


FORMAT = 5
"""Increased whenever a folder written by the previous version would be read differently or not at
all."""
FILES = (RECIPE, SUMS) = ("model.json", "SHA256SUMS")
LARGEST = 20_000_000
"""Maximum size of a file, in bytes."""

PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".npy")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".zst")


@checked
def save_model(model: ChurnModel, folder: str | Path) -> Path:
    """Write a fitted model to a folder, completely or not at all; an existing model is replaced.

    The same model always gives the same bytes. Raises OptionError if the folder has anything other
    than a model, or is an input, and ModelError if `load_model` would reject the model, for example
    because the name of an indicator has control characters or the estimator is a classifier that is
    not built in.
    """
    content = model_bytes(model)
    check_folder(folder, MODEL)
    with whole_folder(folder, MODEL) as part:
        (part / RECIPE).write_bytes(content)
        (part / SUMS).write_text(f"{_sha256(content)}  {RECIPE}\n", encoding="ascii", newline="\n")
    return Path(folder)


def model_bytes(model: ChurnModel) -> bytes:
    """Return a fitted model as the bytes of its recipe, for `model_from_bytes`.

    Raises ModelError if they could not be read back.
    """
    refuse_classifier(model)
    recipe = _recipe(model)
    _model_of(Path(RECIPE), recipe)
    text = json.dumps(recipe, indent=1, sort_keys=True, allow_nan=False) + "\n"
    return text.encode()


def model_from_bytes(content: bytes) -> ChurnModel:
    """Return the model written by `model_bytes`, without running code."""
    return _model_of(Path(RECIPE), _parse(Path(), content))


def refuse_classifier(model: ChurnModel) -> None:
    """Raise ModelError where the estimator of a model is not a built-in one."""
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
    fitted = {"churn": model.hazards_.churn, "other": model.hazards_.other}
    return {
        **{key: value for key, value in known.items() if value is not None},
        "format": FORMAT,
        "parameters": model.plain_parameters(),
        "features": model.features_.to_dict(),
        "families": model.families_,
        **({"worse": model.worse_} if model.worse_ else {}),
        **({"groups": [list(one) for one in model.groups_]} if model.groups_ else {}),
        "analysis": model.analysis_.to_toml(),
        "step_ends": model.hazards_.ends.tolist(),
        "hazards": {name: stacked_model_to_dict(one) for name, one in fitted.items() if one},
        "trained_through": model.trained_through_.isoformat(),
        "rows": model.rows_,
        "events": model.events_,
        "version": model.version_,
        "origin": model.origin_.to_dict(),
        "made_with": versions(),
        **({"warnings": [one.to_dict() for one in model.warnings_]} if model.warnings_ else {}),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that a model's numbers depend on."""
    import platform
    from importlib.metadata import version

    from leadsignal import __version__

    packages = ("duckdb", "numpy", "pandas", "scikit-learn")
    return {
        "leadsignal": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def load_model(folder: str | Path) -> ChurnModel:
    """Load a model that `save_model` wrote in the current format, without running code.

    Raises ModelError that names the fault: not a model folder, a pickle or an archive, a link, a
    file that is missing, truncated, altered, too large or not part of a model, another format, a
    recipe that does not match the schema, or inconsistent numbers.
    """
    folder = Path(folder)
    files = _read_files(folder)
    recipe = _parse(folder, files[RECIPE])
    _check_sum(folder, files)
    return _model_of(folder / RECIPE, recipe)


def _model_of(file: Path, recipe: Mapping[str, Any]) -> ChurnModel:
    """Return the model of a recipe; raise ModelError if the recipe is invalid."""
    check_schema(file, recipe)
    try:
        return _assembled(recipe)
    except _FAULTS as error:
        reason = f": {quiet(str(error))}" if type(error) is ValueError else ""
        message = f"{file} does not fit together ({type(error).__name__}{reason})"
        raise ModelError(message, FIT_AGAIN) from error


_FAULTS = (
    LeadsignalError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    RecursionError, MemoryError,
)  # fmt: skip
"""Exceptions raised when the parts of a recipe are valid but inconsistent."""


def _assembled(recipe: Mapping[str, Any]) -> ChurnModel:
    parameters = recipe["parameters"]
    model = ChurnModel(**{**parameters, "roles": tuple(parameters["roles"])})
    ends = np.array(recipe["step_ends"])
    if ends.tolist() != step_ends(*model._days()).tolist():
        raise ValueError("the steps are not those of the horizon")
    model.features_ = Features.from_dict(recipe["features"])
    features = model.features_
    levels = {features.names.index(name): len(codes) for name, codes in features.levels.items()}
    known = (Layout.of(features, ends), LEARNERS[parameters["estimator"]], levels)
    read = {name: stacked_model_from_dict(one, *known) for name, one in recipe["hazards"].items()}
    auc = recipe.get("held_out_auc")
    model.hazards_ = Hazards(features, ends, read["churn"], read.get("other"), auc)
    model.families_ = recipe["families"]
    model.worse_ = recipe.get("worse", {})
    model.groups_ = tuple(map(tuple, recipe.get("groups", ())))
    _refuse_other_names(model)
    # A model fitted without an analysis has an empty one, which is not a valid file.
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


def _refuse_other_names(model: ChurnModel) -> None:
    """Raise ValueError if groups repeat an indicator, or name one that the model does not read.

    The same applies to the indicators in ``worse_``, except for repetition.
    """
    grouped = [name for group in model.groups_ for name in group]
    if len(set(grouped)) < len(grouped) or not {*grouped, *model.worse_} <= {
        *model.features_.names
    }:
        raise ValueError("groups or sides are of indicators that the model does not read")


def _refuse_orders(analysis: SuccessAnalysis) -> None:
    """Raise ValueError if a text of an analysis contains control characters."""
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
        raise ModelError(f"{quiet(str(path))} is not a file of a model", "Remove it")
    if not stat.S_ISREG(mode):
        raise ModelError(f"{path} is not a plain file", FIT_AGAIN)


def _read(path: Path) -> bytes:
    # Do not follow a link or wait for a pipe that may have replaced the file in the meantime.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "Allow reading it") from None
    if len(content) > LARGEST:
        raise ModelError(f"{path} is larger than {LARGEST:,} bytes", FIT_AGAIN)
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


def _check_sum(folder: Path, files: Mapping[str, bytes]) -> None:
    if SUMS not in files:
        raise ModelError(f"{folder} has no file {SUMS}", FIT_AGAIN)
    found = re.fullmatch(rb"([0-9a-f]{64})  model\.json\r?\n?", files[SUMS])
    if found is None:
        raise ModelError(f"{folder / SUMS} was altered or is cut short", FIT_AGAIN)
    if _sha256(files[RECIPE]).encode() != found[1]:
        raise ModelError(f"{folder / RECIPE} was altered or is cut short", FIT_AGAIN)
