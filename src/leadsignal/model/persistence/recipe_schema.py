"""Schema of a model's recipe: the parts of `model.json`, and how each is validated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from leadsignal.errors import ModelError, is_name, quoted
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.recalibration import MAX_OFFSET

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
