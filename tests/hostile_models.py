"""Hostile model folders: each spoils a good one, and says what must be told."""

from __future__ import annotations

import copy
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
    inside(folder, "features", expected_sign={"tenure_days": 7})


@kind("churn.skops reads other features than its recipe says")
def fewer_features(folder: Path) -> None:
    inside(folder, "features", names=["tenure_days"], levels={}, expected_sign={}, ranges={})


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


@kind("files that an estimator does not need: '../../canary'")
def archive_that_leaves(folder: Path) -> None:
    repack(folder, lambda members: members.update({"../../canary": b"x"}))


@kind("files that an estimator does not need: '/tmp/canary'")
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


@kind("types that a model does not need: posix.system")
def a_function_of_the_system(folder: Path) -> None:
    schema(folder, lambda held: node("FunctionNode", "posix", "system"))


@kind("types that a model does not need: builtins.eval")
def a_partial_of_eval(folder: Path) -> None:
    func = node("TypeNode", "builtins", "eval")
    schema(folder, lambda held: node("PartialNode", "functools", "partial", content={"func": func}))


@kind("types that a model does not need: sklearn.compose")
def a_method_in_disguise(folder: Path) -> None:
    name = "ColumnTransformer"
    schema(folder, lambda held: node("MethodNode", "sklearn.compose._column_transformer", name))


@kind("types that a model does not need: operator")
def an_operator(folder: Path) -> None:
    schema(folder, lambda held: node("OperatorFuncNode", "operator", "methodcaller"))


@kind("types that a model does not need: sklearn.svm")
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


# Objects that no model has, or where no model has them


def at(held: Any, *path: str | int) -> Any:
    """Return the node at a path: attributes by name, items by number."""
    for step in path:
        held = held["content"]["content"] if held["__loader__"] == "ObjectNode" else held["content"]
        held = held[step]
    return held


TREES = ("members", 0, "trees")
LINEAR = ("members", 1, "columns")


def put(folder: Path, *path: str | int, **changes: Any) -> None:
    """Change the parts of one node."""
    schema(folder, lambda held: at(held, *path).update(changes))


def plain(value: Any) -> dict[str, Any]:
    text = value if isinstance(value, str) else json.dumps(value)
    return node("JsonNode", "builtins", "str", content=text, is_json=True)


def say(folder: Path, value: Any, *path: str | int) -> None:
    """Put a plain value in place of a node."""

    def change(held: dict[str, Any]) -> None:
        there = at(held, *path)
        number = there["__id__"]
        there.clear()
        there.update({**plain(value), "__id__": number + 10**6})

    schema(folder, change)


def array_at(folder: Path, change: Callable[[Any], Any], *path: str | int) -> None:
    """Change one array, in all places where it stands."""

    def both(members: dict[str, bytes]) -> None:
        name = at(json.loads(members["schema.json"]), *path)["file"]
        array = np.load(io.BytesIO(members[name]))
        changed = change(array)
        out = io.BytesIO()
        np.save(out, array if changed is None else changed)
        members[name] = out.getvalue()

    repack(folder, both)


def arrays(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of every array."""
    repack(
        folder,
        lambda members: members.update(
            {n: change(held) for n, held in members.items() if n.endswith(".npy")}
        ),
    )


def attributes(**held: Any) -> dict[str, Any]:
    keys = [node("TypeNode", "builtins", "str") for _ in held]
    types = node("ListNode", "builtins", "list", content=keys)
    return node("DictNode", "builtins", "dict", content=held, key_types=types)


NONE = "cannot be read as an estimator"
NO_TYPE = "types that a model does not need"


@kind(NO_TYPE)
def trees_in_a_pipeline(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        hidden = copy.deepcopy(at(held, *TREES))
        step = node("TupleNode", "builtins", "tuple", content=[plain('"a"'), hidden])
        steps = node("ListNode", "builtins", "list", content=[step])
        made = attributes(steps=steps, memory=plain(None), verbose=plain(False))
        put = node("ObjectNode", "sklearn.pipeline", "Pipeline", content=made)
        at(held, "members", 0)["content"]["content"]["trees"] = put

    schema(folder, change)


@kind(NONE)
def trees_in_a_column_transformer(folder: Path) -> None:
    schema(
        folder,
        lambda held: at(held, *TREES, "_preprocessor", "transformers_", 0)["content"].__setitem__(
            1, copy.deepcopy(at(held, *TREES))
        ),
    )


@kind(NONE)
def trees_for_a_function(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        numbers = at(held, *TREES, "_preprocessor", "transformers_", 1, 1)
        numbers["content"]["content"]["func"] = copy.deepcopy(at(held, *TREES))

    schema(folder, change)


@kind(NONE)
def another_argument_of_a_function(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        func = at(held, *TREES, "_preprocessor", "transformers_", 1, 1, "func")
        func["content"]["kwds"] = attributes(accept_sparse=plain(True))

    schema(folder, change)


@kind(NONE)
def sixty_four_shared_lists(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        put = plain(1)
        for number in range(64):
            again = {**put, "content": []} if number else put
            put = node("ListNode", "builtins", "list", content=[put, again])
            put["__id__"] = 10**9 + number
        at(held, *TREES)["content"]["content"]["_predictors"] = put

    schema(folder, change)


@kind(NONE)
def a_list_in_itself(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        trees = at(held, *TREES, "_predictors")
        trees["content"][0] = {**trees["content"][0], "__id__": trees["__id__"]}

    schema(folder, change)


@kind(NONE)
def two_trees_of_one_id(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        one, other = (at(held, *TREES, "_predictors", number, 0) for number in (0, 1))
        other["__id__"] = one["__id__"]

    schema(folder, change)


@kind(NONE)
def a_text_of_the_id_of_another(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        at(held, *TREES, "max_iter")["__id__"] = at(held, *TREES, "_loss")["__id__"]

    schema(folder, change)


@kind(NO_TYPE)
def an_object_that_is_remembered(folder: Path) -> None:
    put(folder, *TREES, "_loss", __loader__="CachedNode")


@kind(NONE)
def a_node_without_an_id(folder: Path) -> None:
    schema(folder, lambda held: at(held, *TREES).pop("__id__"))


@kind(NONE)
def a_method_that_is_hidden(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        trees = at(held, *TREES)["content"]
        trees["content"]["decision_function"] = plain(None)
        trees["key_types"]["content"].append(dict(trees["key_types"]["content"][0]))

    schema(folder, change)


@kind(NONE)
def keys_of_another_type(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        at(held, *TREES)["content"]["key_types"]["content"][0]["__class__"] = "int"

    schema(folder, change)


@kind(NONE)
def fewer_keys_than_values(folder: Path) -> None:
    schema(folder, lambda held: at(held, *TREES)["content"]["key_types"]["content"].pop())


@kind(NONE)
def members_without_an_end(folder: Path) -> None:
    schema(
        folder, lambda held: at(held, "members").update(content=at(held, "members")["content"] * 9)
    )


@kind(NONE)
def no_members(folder: Path) -> None:
    put(folder, "members", content=[])


@kind(NONE)
def a_million_processes(folder: Path) -> None:
    say(folder, 1_000_000, *TREES, "_preprocessor", "n_jobs")


@kind(NONE)
def a_million_threads(folder: Path) -> None:
    say(folder, 1_000_000, *TREES, "_bin_mapper", "n_threads")


@kind(NONE)
def a_pool_of_gigabytes(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        random = at(held, *TREES, "_feature_subsample_rng")
        random["content"]["seed_seq"]["content"]["pool_size"] = plain(10**12)

    schema(folder, change)


@kind(NONE)
def another_generator(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        random = at(held, *TREES, "_feature_subsample_rng")
        random["content"]["bit_generator"]["content"]["bit_generator"] = plain('"MT19937"')

    schema(folder, change)


@kind(NONE)
def a_slice_of_a_trillion(folder: Path) -> None:
    def change(held: dict[str, Any]) -> None:
        ends = at(held, *TREES, "_preprocessor", "output_indices_", "encoder")
        ends["content"]["stop"] = 10**12

    schema(folder, change)


@kind(NONE)
def a_version_that_speaks_to_the_terminal(folder: Path) -> None:
    say(folder, '"1.0\\u001b[2J"', *TREES, "_sklearn_version")


@kind(NONE)
def a_number_of_many_digits(folder: Path) -> None:
    say(folder, "9" * 100_000, "intercept")


@kind(NONE)
def an_intercept_that_is_none(folder: Path) -> None:
    say(folder, "NaN", "intercept")


@kind(NONE)
def a_number_that_is_a_truth(folder: Path) -> None:
    say(folder, True, *TREES, "n_features_in_")


@kind(NONE)
def more_columns_than_there_are(folder: Path) -> None:
    say(folder, 68, *TREES, "n_features_in_")


@kind(NONE)
def a_schema_of_many_parts(folder: Path) -> None:
    def many(members: dict[str, bytes]) -> None:
        members["schema.json"] = b"[" + b"{}," * 600_000 + b"{}]"

    repack(folder, many)


@kind(NONE)
def a_schema_that_is_large(folder: Path) -> None:
    def large(members: dict[str, bytes]) -> None:
        members["schema.json"] = b" " * 30_000_000 + members["schema.json"]

    repack(folder, large)


# Numbers that do not fit together


@kind(NONE)
def fewer_categories_than_columns(folder: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        held = json.loads(members["schema.json"])
        at(held, *TREES, "is_categorical_").update(file="777.npy", __id__=10**9)
        out = io.BytesIO()
        np.save(out, np.ones(3, dtype=bool))
        members.update({"777.npy": out.getvalue(), "schema.json": json.dumps(held).encode()})

    repack(folder, change)


def _one_tree(folder: Path, change: Callable[[Any], Any]) -> None:
    array_at(folder, change, *TREES, "_predictors", 3, 0, "nodes")


@kind(NONE)
def one_leaf_that_says_nothing(folder: Path) -> None:
    def last(nodes: Any) -> None:
        nodes["value"][-1] = np.nan

    _one_tree(folder, last)


@kind(NONE)
def one_leaf_that_is_infinite(folder: Path) -> None:
    def last(nodes: Any) -> None:
        nodes["value"][-1] = np.inf

    _one_tree(folder, last)


@kind(NONE)
def branches_that_meet_again(folder: Path) -> None:
    """Walked by each way to each node, it would never end."""

    def ladder(nodes: Any) -> Any:
        made = np.repeat(nodes[:1], 64)
        made["is_leaf"], made["is_categorical"] = 0, 0
        made["left"] = made["right"] = np.arange(1, 65)
        made["is_leaf"][-1] = 1
        return made

    _one_tree(folder, ladder)


@kind(NONE)
def a_tree_without_nodes(folder: Path) -> None:
    _one_tree(folder, lambda nodes: nodes[:0])


@kind(NONE)
def a_tree_of_many_nodes(folder: Path) -> None:
    _one_tree(folder, lambda nodes: np.repeat(nodes, 1000))


@kind(NONE)
def a_set_that_is_not_there(folder: Path) -> None:
    def change(nodes: Any) -> None:
        nodes["is_categorical"], nodes["bitset_idx"], nodes["feature_idx"] = 1, 10**6, 0

    trees(folder, change)


@kind(NONE)
def a_number_split_as_a_category(folder: Path) -> None:
    def change(nodes: Any) -> None:
        nodes["is_categorical"], nodes["feature_idx"] = 1, 60

    trees(folder, change)


@kind(NONE)
def neither_left_nor_right(folder: Path) -> None:
    def change(nodes: Any) -> None:
        nodes["missing_go_to_left"] = 7

    trees(folder, change)


@kind(NONE)
def splits_at_nothing(folder: Path) -> None:
    def change(nodes: Any) -> None:
        nodes["num_threshold"] = np.nan

    trees(folder, change)


@kind(NONE)
def sets_of_other_widths(folder: Path) -> None:
    def change(sets: Any) -> Any:
        return sets[:, :1]

    array_at(folder, change, *TREES, "_predictors", 0, 0, "raw_left_cat_bitsets")


@kind(NONE)
def categories_in_disorder(folder: Path) -> None:
    array_at(
        folder,
        lambda codes: codes[::-1].copy(),
        *(*TREES, "_preprocessor", "transformers_", 0, 1, "categories_", 0),
    )


@kind(NONE)
def a_thousand_categories(folder: Path) -> None:
    path = (*TREES, "_preprocessor", "transformers_", 0, 1, "categories_", 0)
    array_at(folder, lambda codes: np.arange(1000.0), *path)


@kind(NONE)
def bins_that_are_none(folder: Path) -> None:
    path = (*TREES, "_bin_mapper", "bin_thresholds_", 20)
    array_at(folder, lambda bins: np.full_like(bins, np.nan), *path)


@kind(NONE)
def a_beginning_that_is_infinite(folder: Path) -> None:
    array_at(folder, lambda one: np.full_like(one, np.inf), *TREES, "_baseline_prediction")


@kind(NONE)
def other_classes(folder: Path) -> None:
    array_at(folder, lambda classes: ~classes, *TREES, "classes_")


@kind(NONE)
def too_few_weights(folder: Path) -> None:
    array_at(folder, lambda weights: weights[:1], "weights")


@kind(NONE)
def weights_that_are_none(folder: Path) -> None:
    array_at(folder, lambda weights: weights * np.nan, "weights")


@kind(NONE)
def negative_weights(folder: Path) -> None:
    array_at(folder, lambda weights: -weights, "weights")


@kind(NONE)
def too_few_coefficients(folder: Path) -> None:
    array_at(folder, lambda held: held[:1], "members", 1, "coefficients")


@kind(NONE)
def coefficients_that_are_none(folder: Path) -> None:
    array_at(folder, lambda held: np.full_like(held, np.nan), "members", 1, "coefficients")


@kind(NONE)
def coefficients_beyond_numbers(folder: Path) -> None:
    array_at(folder, lambda held: np.full_like(held, 1e308), "members", 1, "coefficients")


@kind(NONE)
def scales_of_nothing(folder: Path) -> None:
    array_at(folder, np.zeros_like, *LINEAR, "encoder", "scale_")


@kind(NONE)
def means_that_are_none(folder: Path) -> None:
    array_at(folder, lambda held: held * np.nan, *LINEAR, "encoder", "mean_")


@kind(NONE)
def an_encoder_of_other_columns(folder: Path) -> None:
    array_at(folder, lambda held: held + 1000, *LINEAR, "encoder", "numbers_")


@kind(NONE)
def an_encoder_from_behind(folder: Path) -> None:
    array_at(folder, lambda held: held - 1000, *LINEAR, "encoder", "with_gaps_")


@kind(NONE)
def flags_of_other_columns(folder: Path) -> None:
    array_at(folder, lambda held: held + 0.5, *LINEAR, "encoder", "flags_")


@kind(NONE)
def flags_without_codes(folder: Path) -> None:
    array_at(folder, lambda held: held[:, :1].copy(), *LINEAR, "encoder", "flags_")


@kind(NONE)
def no_columns_of_time(folder: Path) -> None:
    say(folder, 0, *LINEAR, "timing_count")


@kind(NONE)
def how_is_turned_around(folder: Path) -> None:
    array_at(folder, lambda held: ~held, *LINEAR, "how")


# Arrays that are none


@kind(NONE)
def arrays_of_texts(folder: Path) -> None:
    array_at(folder, lambda held: held.astype("U20"), "weights")


@kind(NONE)
def arrays_of_other_bytes(folder: Path) -> None:
    array_at(folder, lambda held: held.astype(">f8"), "weights")


@kind(NONE)
def arrays_of_one_number(folder: Path) -> None:
    array_at(folder, lambda held: held.sum(), "weights")


@kind(NONE)
def headers_that_are_code(folder: Path) -> None:
    arrays(folder, lambda held: held.replace(b"False", b"print", 1))


@kind(NONE)
def headers_without_an_end(folder: Path) -> None:
    arrays(folder, lambda held: held[:10] + b"(" * 60_000)


@kind(NONE)
def headers_of_another_length(folder: Path) -> None:
    arrays(folder, lambda held: held[:8] + b"\xff\xff" + held[10:])


@kind(NONE)
def headers_of_another_version(folder: Path) -> None:
    arrays(folder, lambda held: held[:6] + b"\x03" + held[7:])


@kind(NONE)
def headers_of_no_text(folder: Path) -> None:
    arrays(folder, lambda held: held[:20] + b"\xff\xfe\x00" + held[23:])


@kind(NONE)
def shapes_of_terabytes(folder: Path) -> None:
    def change(held: bytes) -> bytes:
        return held.replace(b"(", b"(999999999999, ", 1).replace(b"    ", b"", 1)

    arrays(folder, change)


@kind(NONE)
def arrays_cut_short(folder: Path) -> None:
    arrays(folder, lambda held: held[:-1])


@kind(NONE)
def arrays_that_go_on(folder: Path) -> None:
    arrays(folder, lambda held: held + b"0")


@kind(NONE)
def arrays_of_nothing(folder: Path) -> None:
    arrays(folder, lambda held: b"")


@kind(NONE)
def an_array_that_belongs_to_nothing(folder: Path) -> None:
    repack(folder, lambda members: members.update({"999.npy": members["1.npy"]}))


# Archives


def packed_as(folder: Path, method: int) -> None:
    file = folder / "churn.skops"
    with zipfile.ZipFile(file) as given:
        members = {name: given.read(name) for name in given.namelist()}
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    seal(folder)


@kind("packed in another way")
def packed_by_lzma(folder: Path) -> None:
    packed_as(folder, zipfile.ZIP_LZMA)


@kind("packed in another way")
def packed_by_bz2(folder: Path) -> None:
    packed_as(folder, zipfile.ZIP_BZIP2)


@kind(NONE)
def packed_bytes_that_are_none(folder: Path) -> None:
    """Deflated bytes are spoilt behind each file's own header."""
    file = folder / "churn.skops"
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as given:
        for info in given.infolist():
            begin = info.header_offset + 30 + len(info.filename)
            content[begin : begin + info.compress_size] = b"\xff" * info.compress_size
    file.write_bytes(content)
    seal(folder)


def _flag(folder: Path, flag: int) -> None:
    file = folder / "churn.skops"
    content = file.read_bytes()
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        begin = content.find(mark)
        while begin >= 0:
            content = content[: begin + place] + bytes([flag]) + content[begin + place + 1 :]
            begin = content.find(mark, begin + 4)
    file.write_bytes(content)
    seal(folder)


@kind(NONE)
def an_archive_with_a_password(folder: Path) -> None:
    _flag(folder, 1)


@kind(NONE)
def an_archive_of_patches(folder: Path) -> None:
    _flag(folder, 32)


@kind("holds more than")
def an_archive_of_many_files(folder: Path) -> None:
    file = folder / "churn.skops"
    file.write_bytes(b"PK\x01\x02" * 200_000 + file.read_bytes())
    seal(folder)


@kind("files that an estimator does not need: 'x\\\\n")
def an_archive_that_speaks_to_the_terminal(folder: Path) -> None:
    repack(folder, lambda members: members.update({"x\n\x1b[2J\u202e": b"x"}))


# Names, texts and numbers of the recipe

SPEAKS = "name\x1b[2J\x1b]0;owned\x07"


@kind("no file of a model")
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


@kind("reads format 4")
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


@kind(NONE)
def an_array_of_many_numbers(folder: Path) -> None:
    array_at(folder, lambda held: np.zeros(3_000_000), *TREES, "train_score_")
