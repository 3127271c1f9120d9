"""Load corrupted models: each must raise a ModelError or predict probabilities.

Takes saved models, changes them at random, updates the checksum as an attacker would, then loads
each and predicts from it. The changes affect the recipe, the fitted numbers (values, keys, copies
of others, other nesting) and the bytes of the file. Each must end in forecasts within [0, 1] or in
a ModelError, within 5 s of processor time and 4 GB of memory. The work is done in child processes;
those that crash or hang are killed and counted.

    python benchmarks/model_mutations.py [--count 5000] [--seed 0]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import copy
import hashlib
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.model.learners import Boosting

SAVED = Path(__file__).parents[1] / "tests" / "saved" / "format-5"
SECONDS, MEMORY = 5.0, 4_000_000_000
KINDS = ("ensemble", "logistic", "cox")
TREES = 4
"""Number of trees that are kept of each model: more only take time."""
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 256, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.5, 1e308,
    float("nan"), float("inf"), "", "x", "nan", "\x1b[2J", "\u202ename", "a" * 5000, "é" * 60, [],
    {}, [[]], {"a": 1}, "os.system", "__class__", "/etc/passwd", 1e99, 5e-324,
)  # fmt: skip


# The models that are changed


def make_good(folder: Path) -> None:
    """Write the models that are changed, and the rows that they predict from."""
    for kind in KINDS:
        model = ls.load_model(SAVED / kind)
        for member in model.hazards_.churn.members:
            if isinstance(member, Boosting):
                member.trees = replace(member.trees, trees=member.trees.trees[:TREES])
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


# Changes of bytes


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


def change_numbers(folder: Path, draw: random.Random) -> None:
    """Change the fitted numbers."""
    file = folder / "model.json"
    held = json.loads(file.read_text())
    for _ in range(draw.choice((1, 1, 2))):
        change_json(held["hazards"]["churn"], draw)
    file.write_text(json.dumps(held))


CHANGES: tuple[tuple[str, Callable[[Path, random.Random], None], int], ...] = (
    ("recipe", change_recipe, 3),
    ("fitted numbers", change_numbers, 10),
    ("bytes of the recipe", change_recipe_bytes, 2),
)


# One model, and many


def outcome(good: Path, place: Path, rows: dict[str, pd.DataFrame], seed: int) -> str:
    """Change a model, load it and predict; return the outcome."""
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
    """Print the outcome of each seed. The system kills a process over its limits."""
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
    """Yield each seed with its outcome; a child that dies is replaced by another."""
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
