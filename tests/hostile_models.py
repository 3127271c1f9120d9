"""Hostile model folders: each spoils a good one, and says what must be told."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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


def repack(folder: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Change the members of the estimator's archive, and seal the folder."""
    file = folder / "churn.skops"
    with zipfile.ZipFile(file) as given:
        members = {name: given.read(name) for name in given.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    seal(folder)


def schema(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    def both(members: dict[str, bytes]) -> None:
        held = json.loads(members["schema.json"])
        held = change(held) or held
        members["schema.json"] = json.dumps(held).encode()

    repack(folder, both)


def node(loader: str, module: str, name: str, **content: Any) -> dict[str, Any]:
    return {"__loader__": loader, "__module__": module, "__class__": name, "__id__": 1, **content}


def trees(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the nodes of every tree."""

    def both(members: dict[str, bytes]) -> None:
        for name, content in members.items():
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(content))
                if array.dtype.names and "feature_idx" in array.dtype.names:
                    change(array)
                    out = io.BytesIO()
                    np.save(out, array)
                    members[name] = out.getvalue()

    repack(folder, both)


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


@kind("setup.py is no file of a model")
def code_beside(folder: Path) -> None:
    (folder / "setup.py").write_text(f"open({str(folder.parent / CANARY)!r}, 'w')")


@kind("sub is no file of a model")
def a_folder_inside(folder: Path) -> None:
    (folder / "sub").mkdir()


@kind("is no file of a model")
def a_name_with_a_newline(folder: Path) -> None:
    (folder / "model.json\n").write_text("{}")


@kind("is not a plain file")
def a_pipe(folder: Path) -> None:
    (folder / "other.skops").unlink(missing_ok=True)
    os.mkfifo(folder / "other.skops")


@kind("is not a plain file")
def a_folder_for_a_file(folder: Path) -> None:
    (folder / "churn.skops").unlink()
    (folder / "churn.skops").mkdir()


@kind("is a link")
def a_link_that_leaves(folder: Path) -> None:
    outside = folder.parent / "outside"
    (folder / "churn.skops").rename(outside)
    (folder / "churn.skops").symlink_to(outside)


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
    (folder / "churn.skops").unlink()
    (folder / "churn.skops").symlink_to("churn.skops")


# Missing, cut short, altered


@kind("no file churn.skops")
def no_estimator(folder: Path) -> None:
    (folder / "churn.skops").unlink()


@kind("no file SHA256SUMS")
def no_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


@kind("SHA256SUMS was altered")
def empty_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").write_bytes(b"")


@kind("SHA256SUMS was altered")
def sums_of_bytes(folder: Path) -> None:
    (folder / "SHA256SUMS").write_bytes(os.urandom(500))


@kind("no checksum of churn.skops")
def sums_without_the_estimator(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    (folder / "SHA256SUMS").write_text("\n".join(x for x in lines if "churn" not in x) + "\n")


@kind("no file ../outside")
def sums_that_leave(folder: Path) -> None:
    (folder.parent / "outside").write_text("x")
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{hashlib.sha256(b'x').hexdigest()}  ../outside\n")


@kind("churn.skops was altered or is cut short")
def estimator_cut_short(folder: Path) -> None:
    file = folder / "churn.skops"
    file.write_bytes(file.read_bytes()[:-100])


@kind("churn.skops was altered or is cut short")
def one_bit(folder: Path) -> None:
    content = bytearray((folder / "churn.skops").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "churn.skops").write_bytes(content)


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


@kind("larger than")
def estimator_too_large(folder: Path) -> None:
    with (folder / "churn.skops").open("r+b") as file:
        file.truncate(600_000_000)


# Recipes without the schema of one


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
    inside(folder, "features", helps={"tenure_days": 7})


@kind("churn.skops reads other features than its recipe says")
def fewer_features(folder: Path) -> None:
    inside(folder, "features", names=["tenure_days"], levels={}, helps={}, ranges={})


@kind("churn.skops reads other features than its recipe says")
def features_in_another_order(folder: Path) -> None:
    held = json.loads((folder / "model.json").read_text())["features"]
    one, two = [name for name in held["names"] if name not in held["levels"]][:2]
    turned = {one: two, two: one}
    inside(folder, "features", names=[turned.get(name, name) for name in held["names"]])


@kind("churn.skops reads other features than its recipe says")
def a_category_that_is_a_number(folder: Path) -> None:
    inside(folder, "features", levels={})


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


@kind("more.skops is no file of a model")
def a_foreign_estimator(folder: Path) -> None:
    (folder / "more.skops").write_bytes((folder / "churn.skops").read_bytes())
    seal(folder)


@kind("no checksum of other.skops")
def an_estimator_without_a_sum(folder: Path) -> None:
    sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "other.skops").write_bytes((folder / "churn.skops").read_bytes())
    (folder / "SHA256SUMS").write_text("".join(s for s in sums if "other.skops" not in s))


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


# Estimators that are none


@kind("cannot be read as an estimator")
def estimator_of_bytes(folder: Path) -> None:
    (folder / "churn.skops").write_bytes(os.urandom(5000))
    seal(folder)


@kind("cannot be read as an estimator")
def estimator_is_a_pickle(folder: Path) -> None:
    (folder / "churn.skops").write_bytes(pickled(folder))
    seal(folder)


@kind("files that an estimator has no need of: '../../canary'")
def archive_that_leaves(folder: Path) -> None:
    repack(folder, lambda members: members.update({"../../canary": b"x"}))


@kind("files that an estimator has no need of: '/tmp/canary'")
def archive_with_an_absolute_name(folder: Path) -> None:
    repack(folder, lambda members: members.update({"/tmp/canary": b"x"}))


@kind("unpacks to more than")
def archive_bomb(folder: Path) -> None:
    with zipfile.ZipFile(
        folder / "churn.skops", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as bomb:
        bomb.writestr("schema.json", "{}")
        block = bytes(52_000_000)
        for number in range(10):
            bomb.writestr(f"{number}.npy", block)
    seal(folder)


@kind("types that a model has no need of: posix.system")
def a_function_of_the_system(folder: Path) -> None:
    schema(folder, lambda held: node("FunctionNode", "posix", "system"))


@kind("types that a model has no need of: builtins.eval")
def a_partial_of_eval(folder: Path) -> None:
    func = node("TypeNode", "builtins", "eval")
    schema(folder, lambda held: node("PartialNode", "functools", "partial", content={"func": func}))


@kind("types that a model has no need of: sklearn.compose")
def a_method_in_disguise(folder: Path) -> None:
    name = "ColumnTransformer"
    schema(folder, lambda held: node("MethodNode", "sklearn.compose._column_transformer", name))


@kind("types that a model has no need of: operator")
def an_operator(folder: Path) -> None:
    schema(folder, lambda held: node("OperatorFuncNode", "operator", "methodcaller"))


@kind("types that a model has no need of: sklearn.svm")
def another_classifier(folder: Path) -> None:
    schema(folder, lambda held: node("ObjectNode", "sklearn.svm._classes", "SVC"))


@kind("cannot be read as an estimator")
def an_estimator_that_is_a_text(folder: Path) -> None:
    schema(folder, lambda held: {**held, **node("JsonNode", "builtins", "str", content='"x"')})


@kind("cannot be read as an estimator")
def a_schema_too_deep(folder: Path) -> None:
    def deep(members: dict[str, bytes]) -> None:
        members["schema.json"] = b'{"a":' * 100_000 + b"1" + b"}" * 100_000

    repack(folder, deep)


@kind("cannot be read as an estimator")
def arrays_that_are_pickles(folder: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        out = io.BytesIO()
        np.save(out, np.array([Bomb(folder.parent / CANARY)], dtype=object), allow_pickle=True)
        for name in members:
            if name.endswith(".npy"):
                members[name] = out.getvalue()

    repack(folder, change)


@kind("cannot be read as an estimator")
def trees_that_lead_outside(folder: Path) -> None:
    def outside(nodes: Any) -> None:
        nodes["left"] = 2**31

    trees(folder, outside)


@kind("cannot be read as an estimator")
def trees_without_an_end(folder: Path) -> None:
    def endless(nodes: Any) -> None:
        nodes["left"], nodes["right"], nodes["is_leaf"] = 0, 0, 0

    trees(folder, endless)


@kind("cannot be read as an estimator")
def trees_that_read_elsewhere(folder: Path) -> None:
    def elsewhere(nodes: Any) -> None:
        nodes["feature_idx"] = 10**6

    trees(folder, elsewhere)


@kind("cannot be read as an estimator")
def trees_that_say_nothing(folder: Path) -> None:
    def nothing(nodes: Any) -> None:
        nodes["value"] = np.nan

    trees(folder, nothing)
