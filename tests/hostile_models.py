"""Hostile model folders: each spoils a good one, and says what must be told."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Spoil = Callable[[Path], object]
KINDS: dict[str, tuple[Spoil, str]] = {}
CANARY = "canary"


def kind(told: str) -> Callable[[Spoil], Spoil]:
    def add(spoil: Spoil) -> Spoil:
        KINDS[spoil.__name__] = (spoil, told)
        return spoil

    return add


class Bomb:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def seal(folder: Path) -> None:
    """Write the checksums anew, as an attacker would."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(sums))


def recipe(folder: Path, **changes: Any) -> None:
    """Change keys of the recipe (None takes one away), and seal it."""
    file = folder / "model.json"
    held = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in held.items() if value is not None}))
    seal(folder)


def inside(folder: Path, key: str, **changes: Any) -> None:
    held = json.loads((folder / "model.json").read_text())[key]
    recipe(folder, **{key: {**held, **changes}})


def hazard(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the fitted numbers of churn, and seal the folder."""
    held = json.loads((folder / "model.json").read_text())["hazards"]
    change(held["churn"])
    recipe(folder, hazards=held)


def put(folder: Path, value: object, path: tuple[str | int, ...]) -> None:
    """Put a value in place of one of the fitted numbers; a function gets what is there."""

    def change(held: Any) -> None:
        for step in path[:-1]:
            held = held[step]
        held[path[-1]] = value(held[path[-1]]) if callable(value) else value

    hazard(folder, change)


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Bomb(folder.parent / CANARY))


# Not a model folder at all


@kind("not a model folder")
def nothing_there(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@kind("not a model folder")
def empty_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@kind("is a pickle, which is never read")
def only_a_pickle(folder: Path) -> None:
    empty_folder(folder)
    (folder / "model.pkl").write_bytes(pickled(folder))


@kind("is a file, not a model folder")
def a_file(folder: Path) -> None:
    nothing_there(folder)
    folder.write_bytes(b"x")


# Files that no model has


@kind("a_pickle.pkl is a pickle")
def a_pickle_beside(folder: Path) -> None:
    (folder / "a_pickle.pkl").write_bytes(pickled(folder))


@kind("model.joblib is a pickle")
def a_joblib_beside(folder: Path) -> None:
    (folder / "model.joblib").write_bytes(pickled(folder))


@kind("setup.py is not a file of a model")
def code_beside(folder: Path) -> None:
    (folder / "setup.py").write_text(f"open({str(folder.parent / CANARY)!r}, 'w')")


@kind("sub is not a file of a model")
def a_folder_inside(folder: Path) -> None:
    (folder / "sub").mkdir()


@kind("is not a file of a model")
def a_name_with_a_newline(folder: Path) -> None:
    (folder / "model.json\n").write_text("{}")


@kind("is not a plain file")
def a_pipe(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    os.mkfifo(folder / "SHA256SUMS")


@kind("is not a plain file")
def a_folder_for_a_file(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    (folder / "SHA256SUMS").mkdir()


@kind("is a link")
def a_link_that_leaves(folder: Path) -> None:
    outside = folder.parent / "outside"
    (folder / "SHA256SUMS").rename(outside)
    (folder / "SHA256SUMS").symlink_to(outside)


@kind("is a link")
def a_link_to_passwords(folder: Path) -> None:
    (folder / "model.json").unlink()
    (folder / "model.json").symlink_to("/etc/passwd")


@kind("is a link")
def a_link_to_nowhere(folder: Path) -> None:
    (folder / "model.json").unlink()
    (folder / "model.json").symlink_to("/nowhere")


@kind("is a link")
def a_link_to_itself(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    (folder / "SHA256SUMS").symlink_to("SHA256SUMS")


# Missing, cut short, altered


@kind("no file SHA256SUMS")
def no_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


@kind("SHA256SUMS was altered")
def empty_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").write_bytes(b"")


@kind("SHA256SUMS was altered")
def sums_of_bytes(folder: Path) -> None:
    (folder / "SHA256SUMS").write_bytes(os.urandom(500))


@kind("SHA256SUMS was altered")
def sums_that_leave(folder: Path) -> None:
    (folder.parent / "outside").write_text("x")
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{hashlib.sha256(b'x').hexdigest()}  ../outside\n")


@kind("model.json was altered or is cut short")
def one_number(folder: Path) -> None:
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace('"events": ', '"events": 1'))


@kind("not readable as a model")
def recipe_cut_short(folder: Path) -> None:
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text[: len(text) // 2])


@kind("not readable as a model")
def recipe_of_bytes(folder: Path) -> None:
    (folder / "model.json").write_bytes(os.urandom(1000))


@kind("not readable as a model")
def recipe_too_deep(folder: Path) -> None:
    (folder / "model.json").write_text("[" * 200_000)


@kind("not readable as a model")
def recipe_is_a_list(folder: Path) -> None:
    (folder / "model.json").write_text("[1]")


@kind("larger than")
def recipe_too_large(folder: Path) -> None:
    with (folder / "model.json").open("r+b") as file:
        file.truncate(30_000_000)


@kind("format 99")
def format_of_the_future(folder: Path) -> None:
    recipe(folder, format=99)


@kind("format 0")
def format_zero(folder: Path) -> None:
    recipe(folder, format=0)


@kind("format True")
def format_true(folder: Path) -> None:
    recipe(folder, format=True)


@kind(r"format \{")
def format_a_map(folder: Path) -> None:
    recipe(folder, format={"a": 1})


@kind("schema of a model: trained_through")
def no_trained_through(folder: Path) -> None:
    recipe(folder, trained_through=None)


@kind("unknown 'run'")
def an_unknown_key(folder: Path) -> None:
    recipe(folder, run="os.system('touch canary')")


@kind("schema of a model: parameters")
def an_unknown_parameter(folder: Path) -> None:
    inside(folder, "parameters", hook="os.system")


@kind("does not fit together")
def another_estimator(folder: Path) -> None:
    inside(folder, "parameters", estimator="os.system")


@kind("does not fit together")
def another_horizon(folder: Path) -> None:
    inside(folder, "parameters", horizon="9999999999d")


@kind("schema of a model: features")
def features_twice(folder: Path) -> None:
    inside(folder, "features", names=["tenure_days", "tenure_days"])


@kind("schema of a model: features")
def helps_too_much(folder: Path) -> None:
    inside(folder, "features", expected_sign={"tenure_days": 7})


@kind("does not fit together")
def fewer_features(folder: Path) -> None:
    inside(folder, "features", names=["tenure_days"], levels={}, expected_sign={}, ranges={})


@kind("schema of a model: features")
def features_with_an_unknown_part(folder: Path) -> None:
    inside(folder, "features", more={})


@kind("schema of a model: features")
def a_range_that_ends_before_it_begins(folder: Path) -> None:
    inside(folder, "features", ranges={"tenure_days": [2.0, 1.0]})


@kind("schema of a model: features")
def a_range_without_an_end(folder: Path) -> None:
    inside(folder, "features", ranges={"tenure_days": [0.0, float("inf")]})


@kind("schema of a model: features")
def a_range_of_nothing(folder: Path) -> None:
    inside(folder, "features", ranges={"nothing": [0.0, 1.0]})


@kind("schema of a model: features")
def no_ranges(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["features"]
    del held["ranges"]
    recipe(folder, features=held)


@kind("schema of a model: rows")
def negative_rows(folder: Path) -> None:
    recipe(folder, rows=-1)


@kind("schema of a model: events")
def negative_events(folder: Path) -> None:
    recipe(folder, events=-1)


@kind("schema of a model: step_ends")
def negative_steps(folder: Path) -> None:
    recipe(folder, step_ends=[-30, 30, 60, 90, 120, 150, 180])


@kind("churn.skops is not a file of a model")
def a_foreign_estimator(folder: Path) -> None:
    (folder / "churn.skops").write_bytes(b"PK")


@kind("SHA256SUMS was altered")
def a_sum_twice(folder: Path) -> None:
    sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    wrong = [f"{'0' * 64}  {sums[0][66:]}"]
    (folder / "SHA256SUMS").write_text("".join([*wrong, *sums]))


@kind("schema of a model: families")
def no_families(folder: Path) -> None:
    recipe(folder, families={})


@kind("schema of a model: step_ends")
def too_many_steps(folder: Path) -> None:
    recipe(folder, step_ends=list(range(1, 5000)))


@kind("does not fit together")
def steps_backwards(folder: Path) -> None:
    recipe(folder, step_ends=[180, 30])


@kind("schema of a model: version")
def a_version_that_is_a_formula(folder: Path) -> None:
    recipe(folder, version="=HYPERLINK(1)")


@kind("schema of a model: version")
def a_version_that_is_a_path(folder: Path) -> None:
    recipe(folder, version="../../etc/passwd")


@kind("does not fit together")
def an_analysis_that_is_none(folder: Path) -> None:
    recipe(folder, analysis="[[process]]\nname = 'a b; DROP TABLE accounts'")


@kind("does not fit together")
def a_day_that_is_none(folder: Path) -> None:
    recipe(folder, trained_through="2025-02-31")


@kind("schema of a model: rows")
def rows_of_text(folder: Path) -> None:
    recipe(folder, rows="many")


@kind("does not fit together")
def an_origin_of_other_things(folder: Path) -> None:
    recipe(folder, origin={"tables": {"accounts": [1, 2]}})


# Fitted numbers that are none, or that do not fit together

NAN, INFINITY = float("nan"), float("inf")
TREES = ("members", 0, "trees")
CATEGORY, NUMBER = (*TREES, 3), (*TREES, 3, "right")
"""Splits of the ensemble: one on a category of 5 codes, one on a number."""
LINEAR = ("members", 1)
ENCODER = (*LINEAR, "encoder")


def _ladder(depth: int) -> dict[str, Any] | float:
    node: dict[str, Any] | float = 0.0
    for _ in range(depth):
        node = {"column": 6, "missing_left": True, "threshold": 0.0, "left": 0.0, "right": node}
    return node


NUMBERS: dict[str, tuple[tuple[str | int, ...], object]] = {
    "no_members": (("members",), []),
    "members_without_an_end": (("members",), lambda held: held * 9),
    "members_that_are_a_text": (("members",), "os.system"),
    "a_member_that_is_a_text": (("members", 0), "os.system"),
    "learners_in_another_order": (("members",), lambda held: held[::-1]),
    "a_member_with_an_unknown_part": (("members", 0, "run"), "os.system"),
    "an_intercept_that_is_none": (("intercept",), NAN),
    "an_intercept_that_is_a_text": (("intercept",), "0"),
    "an_intercept_that_is_a_truth": (("intercept",), True),
    "an_intercept_of_many_digits": (("intercept",), 10**4000),
    "too_few_weights": (("weights",), lambda held: held[:1]),
    "weights_that_are_none": (("weights", 0), NAN),
    "weights_that_are_texts": (("weights", 0), "1"),
    "weights_in_lists": (("weights",), lambda held: [held, held]),
    "negative_weights": (("weights", 0), -1.0),
    "a_beginning_that_is_infinite": (("members", 0, "baseline"), INFINITY),
    "trees_that_are_a_number": (TREES, 1.0),
    "trees_without_an_end": (TREES, [0.0] * 10_000),
    "one_leaf_that_says_nothing": ((*NUMBER, "left"), NAN),
    "one_leaf_that_is_infinite": ((*NUMBER, "left"), -INFINITY),
    "one_leaf_that_is_missing": ((*NUMBER, "left"), None),
    "one_leaf_that_is_a_text": ((*NUMBER, "left"), "rm -r"),
    "one_leaf_beyond_numbers": ((*NUMBER, "left"), 1e308),
    "a_tree_of_many_levels": ((*TREES, 0), _ladder(100)),
    "a_split_with_an_unknown_part": ((*NUMBER, "value"), 0.0),
    "a_column_that_is_not_there": ((*NUMBER, "column"), 10**6),
    "a_column_from_behind": ((*NUMBER, "column"), -1),
    "a_column_of_half": ((*NUMBER, "column"), 0.5),
    "a_column_that_is_a_truth": ((*NUMBER, "column"), True),
    "a_column_that_is_a_list": ((*NUMBER, "column"), [1]),
    "a_number_split_as_a_category": ((*CATEGORY, "column"), 6),
    "a_category_split_as_a_number": ((*NUMBER, "column"), 0),
    "neither_left_nor_right": ((*NUMBER, "missing_left"), 7),
    "splits_at_nothing": ((*NUMBER, "threshold"), NAN),
    "splits_at_infinity": ((*NUMBER, "threshold"), INFINITY),
    "codes_that_are_not_there": ((*CATEGORY, "codes"), [1, 5]),
    "codes_from_behind": ((*CATEGORY, "codes"), [-1]),
    "codes_in_disorder": ((*CATEGORY, "codes"), [2, 1]),
    "codes_that_come_twice": ((*CATEGORY, "codes"), [1, 1]),
    "codes_that_are_texts": ((*CATEGORY, "codes"), ["1"]),
    "codes_that_are_a_number": ((*CATEGORY, "codes"), 1),
    "too_few_coefficients": ((*LINEAR, "coefficients"), lambda held: held[:1]),
    "coefficients_that_are_none": ((*LINEAR, "coefficients", -1), NAN),
    "coefficients_beyond_numbers": ((*LINEAR, "coefficients", 0), 1e308),
    "coefficients_that_are_texts": ((*LINEAR, "coefficients", 0), "1.0"),
    "no_encoder": (ENCODER, None),
    "an_encoder_with_an_unknown_part": ((*ENCODER, "run"), []),
    "scales_of_nothing": ((*ENCODER, "scale", 0), 0.0),
    "negative_scales": ((*ENCODER, "scale", 0), -1.0),
    "too_few_scales": ((*ENCODER, "scale"), lambda held: held[1:]),
    "means_that_are_none": ((*ENCODER, "mean", 0), NAN),
    "logs_of_something_else": ((*ENCODER, "logged", 0), 2),
    "an_encoder_of_other_columns": ((*ENCODER, "numbers", -1), 1000),
    "an_encoder_that_reads_a_category": ((*ENCODER, "numbers", 0), 0),
    "an_encoder_in_disorder": ((*ENCODER, "numbers"), lambda held: held[::-1]),
    "gaps_from_behind": ((*ENCODER, "with_gaps", 0), -1),
    "gaps_that_come_twice": ((*ENCODER, "with_gaps"), lambda held: held[:1] + held[:-1]),
    "flags_of_other_columns": ((*ENCODER, "flags", 0, 0), 1),
    "flags_of_half_a_column": ((*ENCODER, "flags", 0, 0), 0.5),
    "flags_of_other_codes": ((*ENCODER, "flags", 0, 1), 5),
    "flags_of_half_a_code": ((*ENCODER, "flags", 0, 1), 0.5),
    "flags_without_codes": ((*ENCODER, "flags", 0), [0]),
}
"""Where a number is changed, and to what."""

for _name, (_path, _value) in NUMBERS.items():
    KINDS[_name] = (partial(put, value=_value, path=_path), "does not fit together")


@kind("schema of a model: hazards")
def no_hazards(folder: Path) -> None:
    recipe(folder, hazards={})


@kind("schema of a model: hazards")
def hazards_of_something_else(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["hazards"]
    recipe(folder, hazards={**held, "run": held["churn"]})


@kind("does not fit together")
def a_hazard_that_is_a_list(folder: Path) -> None:
    recipe(folder, hazards={"churn": [1]})


@kind("schema of a model: features")
def a_thousand_codes(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["features"]["levels"]
    inside(folder, "features", levels={**held, "segment": [str(one) for one in range(1000)]})


@kind("does not fit together")
def numbers_instead_of_categories(folder: Path) -> None:
    inside(folder, "features", levels={})


@kind("model.json was altered or is cut short")
def one_bit(folder: Path) -> None:
    content = bytearray((folder / "model.json").read_bytes())
    at = content.index(b'"threshold": ') + 13
    content[at] = ord("7") if content[at] != ord("7") else ord("3")
    (folder / "model.json").write_bytes(content)


@kind("SHA256SUMS was altered")
def sums_of_another_file(folder: Path) -> None:
    text = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text(text.replace("model.json", "other.json"))


# Names, texts and numbers of the recipe

SPEAKS = "name\x1b[2J\x1b]0;owned\x07"


@kind("not a file of a model")
def a_file_that_speaks_to_the_terminal(folder: Path) -> None:
    (folder / "x\x1b[2J").write_text("x")


@kind("schema of a model: features")
def a_feature_that_speaks_to_the_terminal(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["features"]
    inside(folder, "features", names=[SPEAKS, *held["names"][1:]])


@kind("schema of a model: features")
def a_feature_that_turns_text_around(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["features"]
    inside(folder, "features", names=["\u202egpj.exe", *held["names"][1:]])


@kind("schema of a model: features")
def a_feature_of_a_long_name(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["features"]
    inside(folder, "features", names=["a" * 100_000, *held["names"][1:]])


@kind("schema of a model: features")
def a_category_that_holds_a_value_twice(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["features"]
    levels = {name: [*values, *values] for name, values in held["levels"].items()}
    inside(folder, "features", levels=levels)


@kind("schema of a model: features")
def a_range_beyond_numbers(folder: Path) -> None:
    inside(folder, "features", ranges={"tenure_days": [0, 10**400]})


@kind("schema of a model: families")
def a_family_that_speaks_to_the_terminal(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["families"]
    recipe(folder, families=dict.fromkeys(held, SPEAKS))


@kind("does not fit together")
def an_origin_that_speaks_to_the_terminal(folder: Path) -> None:
    inside(folder, "origin", indicators={"tenure_days": [SPEAKS]})


@kind("does not fit together")
def a_fingerprint_that_is_none(folder: Path) -> None:
    inside(folder, "origin", fingerprint="<script>")


@kind(r"format 'name\\x1b")
def a_format_that_speaks_to_the_terminal(folder: Path) -> None:
    recipe(folder, format=SPEAKS)


@kind(r"unknown 'name\\x1b")
def a_key_that_speaks_to_the_terminal(folder: Path) -> None:
    recipe(folder, **{SPEAKS: 1})


@kind("schema of a model: parameters")
def no_horizon(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["parameters"]
    del held["horizon"]
    recipe(folder, parameters=held)


@kind("schema of a model: parameters")
def a_horizon_that_is_a_number(folder: Path) -> None:
    inside(folder, "parameters", horizon=180)


@kind("schema of a model: analysis")
def an_analysis_of_many_dots(folder: Path) -> None:
    recipe(folder, analysis=f"{'.'.join('a' * 90_000)} = 1")


@kind("does not fit together")
def an_analysis_too_deep(folder: Path) -> None:
    recipe(folder, analysis=f"a = {'[' * 90_000}")


@kind("schema of a model: analysis")
def an_analysis_too_long(folder: Path) -> None:
    recipe(folder, analysis="# " + "a" * 10**6)


@kind("reads format 5")
def format_one(folder: Path) -> None:
    recipe(folder, format=1)


# Found by random mutations


@kind("not readable as a model")
def a_recipe_of_many_digits(folder: Path) -> None:
    (folder / "model.json").write_text('{"format": ' + "9" * 10**5 + "}")
    seal(folder)


@kind("schema of a model: origin")
def a_number_that_is_infinite(folder: Path) -> None:
    held = (folder / "model.json").read_text()
    (folder / "model.json").write_text(held.replace('"every_days": ', '"every_days": 1e999'))
    seal(folder)


@kind("does not fit together")
def an_analysis_that_speaks_to_the_terminal(folder: Path) -> None:
    recipe(folder, analysis='[bullseye]\nobjective = "a\\u001b[2J"\n')


@kind("schema of a model: analysis")
def an_analysis_that_cannot_be_written(folder: Path) -> None:
    recipe(folder, analysis='[bullseye]\nobjective = "\ud800"\n')


@kind("does not fit together")
def learners_of_another_estimator(folder: Path) -> None:
    inside(folder, "parameters", estimator="cox")
