"""Spoilt models: whatever is in one, it is refused by our own error, or its forecasts are chances.

Takes saved models, changes them at random, writes the checksums anew as an attacker would, then
loads each and predicts from it. Changed are the recipe, the objects of the estimator (types, ids,
values, keys, copies of others, other nesting), its arrays (numbers, dtypes, shapes, order, bytes)
and the archive (bytes, ways of packing, files). Each must end in forecasts within [0, 1] or in a
ModelError, within 5 s of processor time and 4 GB of memory. Child processes do the work: one that
dies or hangs ends by a signal and is counted.

    python benchmarks/model_mutations.py [--count 5000] [--seed 0]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import contextlib
import copy
import hashlib
import io
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import leadsignal as ls

SAVED = Path(__file__).parents[1] / "tests" / "saved" / "format-4"
SECONDS, MEMORY = 5.0, 4_000_000_000
KINDS = ("ensemble", "logistic", "cox")
TREES = 4
"""So many trees are kept of each model: more only take time."""
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 256, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.5, 1e308,
    float("nan"), float("inf"), "", "x", "nan", "\x1b[2J", "\u202ename", "a" * 5000, "é" * 60, [],
    {}, [[]], {"a": 1}, "log_loss", "PCG64", "MT19937", "auto", "object", "builtins", "numpy",
    "os", "system", "__class__", "/etc/passwd", "1.npy", "schema.json",
)  # fmt: skip
LOADERS = (
    "ObjectNode", "DictNode", "ListNode", "TupleNode", "JsonNode", "NdArrayNode", "TypeNode",
    "FunctionNode", "PartialNode", "SliceNode", "CachedNode", "MethodNode", "OperatorFuncNode",
    "RandomStateNode", "RandomGeneratorNode", "DefaultDictNode", "SetNode", "BytesNode",
    "DTypeNode", "LossNode", "MaskedArrayNode", "ConstructorFromReduceNode", "TreeNode",
)  # fmt: skip
TYPES = (
    ("builtins", "dict"), ("builtins", "eval"), ("posix", "system"), ("numpy", "ndarray"),
    ("numpy", "float64"), ("sklearn.pipeline", "Pipeline"), ("builtins", "slice"),
    ("sklearn.compose._column_transformer", "ColumnTransformer"), ("numpy", "dtype"),
    ("sklearn.preprocessing._function_transformer", "FunctionTransformer"),
    ("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
    ("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper"),
    ("leadsignal.model.learners", "Boosting"), ("leadsignal.model.learners", "Logistic"),
    ("leadsignal.model.learners", "LandmarkCox"),
    ("leadsignal.model.stacked_model", "StackedModel"),
)  # fmt: skip
DTYPES = ("<f8", "<f4", "<i8", "<i4", "<u4", "|u1", "|b1", ">f8", "<c16", "<U3", "<M8[D]", "|S2")
NUMBERS = (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e308, -1e308, 5e-324, 255.0, 256.0, 2.0**40)


# The models that are changed


def make_good(folder: Path) -> None:
    """Write the models that are changed, and the rows that they predict from."""
    for kind in KINDS:
        model = ls.load_model(SAVED / kind)
        for member in model.hazards_.churn.members:
            if hasattr(member, "trees"):
                member.trees._predictors = member.trees._predictors[:TREES]
        ls.save_model(model, folder / kind)


def rows_of(kind: str) -> pd.DataFrame:
    told = json.loads((SAVED / f"{kind}-rows.json").read_text())
    frame = pd.DataFrame(told["rows"])
    return frame.assign(account_id="a", snapshot_on=pd.Timestamp("2024-01-01"))


def seal(folder: Path) -> None:
    """Write the checksums anew."""
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(sums))


# Changes of JSON


def places(held: Any) -> list[tuple[Any, Any]]:
    """Return each container of a JSON text with each of its keys."""
    found, waiting = [], [held]
    while waiting:
        at = waiting.pop()
        keys = list(at) if isinstance(at, dict) else range(len(at))
        for key in keys:
            found.append((at, key))
            if isinstance(at[key], dict | list):
                waiting.append(at[key])
    return found


def change_json(held: Any, draw: random.Random) -> None:
    """Change one place of a JSON text."""
    at, key = draw.choice(places(held))
    kind = draw.randrange(7)
    if kind == 0:
        at[key] = draw.choice(ODD)
    elif kind == 1:
        del at[key]
    elif kind == 2:
        other, where = draw.choice(places(held))
        at[key] = copy.deepcopy(other[where])
    elif kind == 3 and isinstance(at, dict):
        at[str(draw.choice(ODD))[:50]] = at.pop(key)
    elif kind == 4 and isinstance(at, list):
        at.extend(copy.deepcopy(at[:3]))
    elif kind == 5 and isinstance(at[key], int | float):
        at[key] = at[key] * draw.choice((-1, 2, 0, 10**6)) + draw.choice((0, 1, -1))
    elif isinstance(at[key], str):
        text = at[key]
        cut = draw.randint(0, len(text))
        at[key] = text[:cut] + str(draw.choice(ODD))[:20] + text[cut:]
    else:
        at[key] = [at[key]]


def change_node(held: Any, draw: random.Random) -> None:
    """Change one object of an estimator."""
    found = [at[key] for at, key in places(held) if isinstance(at[key], dict)]
    objects = [held, *(node for node in found if "__loader__" in node)]
    node, other = draw.choice(objects), draw.choice(objects)
    kind = draw.randrange(8)
    if kind == 0:
        node["__loader__"] = draw.choice(LOADERS)
    elif kind == 1:
        node["__module__"], node["__class__"] = draw.choice(TYPES)
    elif kind == 2:
        node["__id__"] = other["__id__"]
    elif kind == 3:
        put = copy.deepcopy(other)
        node.clear()
        node.update(put)
    elif kind == 4:
        inside = copy.deepcopy(node)
        node.clear()
        node.update(_node("ListNode", "builtins", "list", content=[inside, inside]))
    elif kind == 5:
        texts = [one for one in objects if one["__loader__"] == "JsonNode"]
        with contextlib.suppress(ValueError, OverflowError):
            draw.choice(texts)["content"] = json.dumps(draw.choice(ODD))
    elif kind == 6:
        files = [one for one in objects if "file" in one]
        draw.choice(files)["file"] = draw.choice(files)["file"]
    else:
        _shared(node, draw.choice((3, 64, 2000)))


def _node(loader: str, module: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "__loader__": loader, "__module__": module, "__class__": name, "__id__": 10**9, **more
    }  # fmt: skip


def _shared(node: dict[str, Any], depth: int) -> None:
    """Put lists in place of a node, each twice in the next, by their ids."""
    put: Any = _node("JsonNode", "builtins", "str", content="1", is_json=True)
    for number in range(min(depth, 300)):
        again = {**put, "content": []} if number else put
        put = _node("ListNode", "builtins", "list", content=[put, again])
        put["__id__"] += number + 1
    node.clear()
    node.update(put)


# Changes of arrays


def change_array(content: bytes, draw: random.Random) -> bytes:
    """Change an array, in its numbers or in how it is written."""
    if draw.random() < 0.25:
        return change_bytes(content, draw)
    try:
        array = np.load(io.BytesIO(content)).copy()
    except Exception:  # noqa: BLE001  # It was changed before, to anything.
        return change_bytes(content, draw)
    kind = draw.randrange(6)
    if array.dtype.names and kind < 4:
        field = draw.choice(array.dtype.names)
        at = draw.randrange(len(array))
        held = array[field]
        held[at] = _number(held.dtype, draw)
    elif kind < 2 and array.size:
        flat = array.reshape(-1)
        flat[draw.randrange(flat.size)] = _number(array.dtype, draw)
    elif kind == 2 and array.size:
        array = array[: draw.randint(0, len(array))] if array.ndim else array
    elif kind == 3:
        array = np.concatenate([array, array]) if array.ndim else array.reshape(1)
    elif kind == 4:
        array = array.reshape(draw.choice(((-1,), (-1, 1), (1, -1), (1, 1, -1))))
    elif array.dtype.names is None:
        array = array.astype(draw.choice(DTYPES))
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _number(dtype: np.dtype[Any], draw: random.Random) -> Any:
    if dtype.kind == "f":
        return draw.choice(NUMBERS)
    if dtype.kind == "b":
        return draw.random() < 0.5
    if dtype.kind not in "iu":
        return np.zeros(1, dtype)[0]
    info = np.iinfo(dtype)
    given = draw.choice((0, 1, 2, 3, 255, int(info.max), int(info.min), 7, 68, 9))
    return min(max(given, int(info.min)), int(info.max))


def change_bytes(content: bytes, draw: random.Random) -> bytes:
    """Change, cut, repeat or add bytes."""
    held = bytearray(content)
    for _ in range(draw.choice((1, 1, 3))):
        at = draw.randrange(max(len(held), 1))
        kind = draw.randrange(5)
        if kind == 0 and held:
            held[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            held = held[:at]
        elif kind == 2:
            held[at:at] = draw.randbytes(draw.choice((1, 8, 64)))
        elif kind == 3:
            held[at : at + 8] = draw.randbytes(8)
        else:
            held[at:at] = held[at : at + 200] * draw.choice((1, 3))
    return bytes(held)


# Changes of a model


def change_recipe(folder: Path, draw: random.Random) -> None:
    file = folder / "model.json"
    held = json.loads(file.read_text())
    for _ in range(draw.choice((1, 1, 2))):
        change_json(held, draw)
    file.write_text(json.dumps(held))


def change_recipe_bytes(folder: Path, draw: random.Random) -> None:
    file = folder / "model.json"
    file.write_bytes(change_bytes(file.read_bytes(), draw))


def change_schema(folder: Path, draw: random.Random) -> None:
    def change(members: dict[str, bytes]) -> None:
        held = json.loads(members["schema.json"])
        for _ in range(draw.choice((1, 1, 2))):
            draw.choice((change_json, change_node, change_node))(held, draw)
        members["schema.json"] = json.dumps(held).encode()

    repack(folder, change)


def change_arrays(folder: Path, draw: random.Random) -> None:
    def change(members: dict[str, bytes]) -> None:
        names = [name for name in members if name.endswith(".npy")]
        trees = [name for name in names if b"feature_idx" in members[name][:100]]
        for _ in range(draw.choice((1, 1, 2))):
            name = draw.choice(trees if trees and draw.random() < 0.5 else names)
            members[name] = change_array(members[name], draw)

    repack(folder, change)


def change_files(folder: Path, draw: random.Random) -> None:
    """Swap, drop, add or pack files of the archive otherwise."""

    def change(members: dict[str, bytes]) -> None:
        one, other = draw.sample(sorted(members), 2)
        kind = draw.randrange(4)
        if kind == 0:
            members[one], members[other] = members[other], members[one]
        elif kind == 1:
            del members[one]
        elif kind == 2:
            members[draw.choice(("9999.npy", "../x", "x\n\x1b[2J", "a" * 9000))] = b"x"

    packed = draw.choice(
        (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    repack(folder, change, packed)


def change_archive(folder: Path, draw: random.Random) -> None:
    file = folder / "churn.skops"
    file.write_bytes(change_bytes(file.read_bytes(), draw))


def repack(
    folder: Path, change: Callable[[dict[str, bytes]], None], packed: int = zipfile.ZIP_STORED
) -> None:
    file = folder / "churn.skops"
    with zipfile.ZipFile(file) as given:
        members = {name: given.read(name) for name in given.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w", packed) as out:
        for name, content in members.items():
            out.writestr(name, content)


CHANGES: tuple[tuple[str, Callable[[Path, random.Random], None], int], ...] = (
    ("recipe", change_recipe, 3),
    ("bytes of the recipe", change_recipe_bytes, 1),
    ("objects", change_schema, 5),
    ("arrays", change_arrays, 6),
    ("files", change_files, 1),
    ("bytes of the archive", change_archive, 1),
)


# One model, and many


def outcome(good: Path, place: Path, rows: dict[str, pd.DataFrame], seed: int) -> str:
    """Change a model, load it and predict; return what came of it."""
    draw = random.Random(seed)
    kind = draw.choice(KINDS)
    folder = place / "model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good / kind, folder)
    name, change, _ = draw.choices(CHANGES, [weight for *_, weight in CHANGES])[0]
    change(folder, draw)
    seal(folder)
    try:
        model = ls.load_model(folder)
        made = "loaded"
        forecast = model.predict(rows[kind])
        chances = np.concatenate([forecast.churned, forecast.active])
        if not ((chances >= 0) & (chances <= 1)).all():
            made = "NO CHANCES"
    except ls.ModelError as error:
        told = str(error)
        made = "refused" if told.isprintable() and len(told) < 2000 else f"UNREADABLE {told!r}"
    except MemoryError:
        made = "MEMORY"
    except BaseException as error:  # noqa: BLE001  # These are what is looked for.
        made = f"ERROR {type(error).__name__}: {error}"[:300]
    return f"{name}: {made}"


def child(good: Path, place: Path, seeds: range, out: int) -> None:
    """Try each seed; say what came of it. The system ends what takes too long or too much."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    rows = {kind: rows_of(kind) for kind in KINDS}
    for seed in seeds:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        made = outcome(good, place, rows, seed)
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(out, f"{seed}\t{made}\n".encode(errors="replace"))


def outcomes(good: Path, place: Path, seeds: range) -> Iterator[tuple[int, str]]:
    """Yield each seed with what came of it; a child that dies is followed by another."""
    at = seeds.start
    while at < seeds.stop:
        read, write = os.pipe()
        process = os.fork()
        if not process:
            try:
                child(good, place, range(at, seeds.stop), write)
            finally:
                os._exit(0)
        os.close(write)
        with open(read, encoding="utf-8") as lines:
            for line in lines:
                seed, made = line.rstrip("\n").split("\t", 1)
                at = int(seed) + 1
                yield int(seed), made
        status = os.waitpid(process, 0)[1]
        if at < seeds.stop:
            number = os.WTERMSIG(status)
            name = signal.Signals(number).name if number else "end"
            yield at, f"{'HANG' if name == 'SIGPROF' else 'CRASH'} {name}"
            at += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "good"
        good.mkdir()
        make_good(good)
        seeds = range(options.seed, options.seed + options.count)
        for seed, made in outcomes(good, Path(folder), seeds):
            counts[made if made.endswith((": refused", ": loaded")) else "WRONG"] += 1
            if not made.endswith((": refused", ": loaded")):
                bad += 1
                print(f"seed {seed}: {made}", flush=True)
    for made, count in sorted(counts.items()):
        print(f"{count:6,}  {made}")
    print(f"{bad} of {options.count:,} ended otherwise than in forecasts or our own error")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
