"""Kill commands (SIGKILL, SIGTERM, Ctrl-C) at random: the output must be the old or the new one.

Half of the moments are drawn over the whole run, half over the lines of the code that writes. After
each kill the same command runs undisturbed: its output must be identical to that of an
uninterrupted run, with nothing left over, neither next to the output nor among temporary files.

    python benchmarks/kills.py [--moments 200] [--seed 0] [--commands score fit]
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LEADSIGNAL_THREADS": "1"})

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

# Imported once; each run is a fork of this process, so that 400 of them are affordable.
import pandas as pd
import pyarrow.parquet  # noqa: F401
import sklearn.ensemble
import sklearn.linear_model  # noqa: F401

import leadsignal as ls
import leadsignal.model.churn_model
import leadsignal.scoring.batch
from leadsignal.cli import main as command_line

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from small_business import write_small_business

WRITERS = (
    "writing.py",
    "saved_models.py",
    "batch.py",
    "record.py",
    "locks.py",
)
KEPT = ("accounts", "behaviors", "tickets", "usage")


def business(folder: Path) -> list[str]:
    """Write a small business; return two days on which it can be scored."""
    write_small_business(folder, *KEPT)
    last = ls.read_tables(folder).as_of_date
    return [str(last - pd.Timedelta(days=84)), str(last)]


def snapshot(path: Path) -> dict[str, bytes]:
    """Return the bytes of an output: of a file, or of every file of a folder but run records."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(f.relative_to(path)): f.read_bytes() for f in files if f.name != "_run.json"}


class Killer:
    """Runs a command in a fork, and kills it at a moment of choice."""

    def __init__(self, arguments: list[str], by: str = "KILL") -> None:
        self.arguments, self.signal = arguments, signal.Signals[f"SIG{by}"]

    def run(
        self,
        *,
        after: float | None = None,
        at_line: int | None = None,
        count_to: int | None = None,
    ) -> int:
        """Return the exit code, or minus the signal that ended the fork."""
        child = os.fork()
        if child == 0:
            self._child(at_line, count_to)
        if after is not None:
            time.sleep(after)
            os.kill(child, self.signal)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _child(self, at_line: int | None, count_to: int | None) -> None:
        code, left = 70, [at_line or 0]
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            if at_line is not None:
                os.dup2(nowhere, 2)
                sys.settrace(_tracer(left, self.signal))
            code = command_line(self.arguments)
        finally:
            if sys.exc_info()[0] is not None:
                traceback.print_exc()
            sys.settrace(None)
            # Not os._exit alone: the temporary files go with the process's own clean end.
            import weakref

            weakref.finalize._exitfunc()  # type: ignore[attr-defined]
            if count_to is not None:
                os.write(count_to, str(left[0]).encode())
            os._exit(code)

    def lines(self) -> int:
        """Return how many lines of the writing code an undisturbed run goes through."""
        read, write = os.pipe()
        self.run(at_line=10**9, count_to=write)
        os.close(write)
        with os.fdopen(read) as told:
            return 10**9 - int(told.read())


def _tracer(left: list[int], number: int) -> Any:
    """Kill the process when the given number of lines of the writing code is left."""

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(WRITERS):
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), number)
        return trace

    return trace


def arguments(command: str, project: Path, day: str, work: Path) -> tuple[list[str], Path]:
    """Return the command's arguments and its output."""
    given = [str(project), "--as-of", day, "--every", "84d", "--quiet"]
    if command == "fit":
        return ["fit", *given, "--estimator", "logistic", "--out", str(work / "out")], work / "out"
    if command == "report":
        out = work / "report.html"
        more = ["--model", str(work.parent / "model"), "--origins", "1"]
        return ["report", *given, *more, "--out", str(out)], out
    out = work / ("scores.csv" if command == "score" else "scores")
    return ["score", *given, "--model", str(work.parent / "model"), "--out", str(out)], out


def check(
    command: str, root: Path, moments: int, draw: random.Random, by: str = "KILL"
) -> Counter[str]:
    """Kill one command at several moments; return the outcomes, raise at the first violation."""
    project, temporary = root / "business", Path(os.environ["TMPDIR"])
    work = root / f"{command}-{by}"
    work.mkdir()
    wanted, seen = {}, Counter[str]()
    days = DAYS if command != "fit" else DAYS[::-1]
    for day in days:
        given, out = arguments(command, project, day, work)
        if command == "score-folder" and out.exists():
            shutil.rmtree(out)
        begun = time.perf_counter()
        assert Killer(given).run() in (0, 4), f"{given} failed undisturbed"
        duration = time.perf_counter() - begun
        wanted[day] = snapshot(out)
    assert wanted[days[0]] != wanted[days[1]], "the two days must differ"
    lines = Killer(given).lines()
    names = sorted(path.name for path in work.iterdir())
    for moment in range(moments):
        day = days[moment % 2]
        old = snapshot(out)
        given, out = arguments(command, project, day, work)
        if command == "score-folder":
            shutil.rmtree(out)
            out.mkdir()
            old = {}
        if moment % 4 < 2:
            code = Killer(given, by).run(after=draw.random() * duration * 1.1)
        else:
            code = Killer(given, by).run(at_line=draw.randint(1, lines))
        got = snapshot(out)
        if by != "KILL":
            around = {path.name for path in work.iterdir()} - {
                *names,
                *(f"{n}.run.json" for n in names),
            }
            assert not around, f"moment {moment}: {around} lie around"
            assert not list(temporary.iterdir()), f"moment {moment}: {list(temporary.iterdir())}"
        got = snapshot(out)
        assert got in (old, wanted[day]), f"moment {moment}: neither old nor new"
        new = "new" if got == wanted[day] and got != old else "old"
        stopped = code < 0 or code == 128 + signal.Signals[f"SIG{by}"]
        seen[f"{'killed' if stopped else 'ended'}, {new}"] += 1
        assert Killer(given).run() in (0, 4), f"moment {moment}: the next run failed"
        assert snapshot(out) == wanted[day], f"moment {moment}: other bytes"
        left = sorted(path.name for path in work.iterdir())
        assert left == names, f"moment {moment}: {set(left) - set(names)} lie around"
        assert not list(temporary.iterdir()), f"moment {moment}: {list(temporary.iterdir())}"
    return seen


DAYS: list[str] = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signals", nargs="+", default=["KILL", "TERM", "INT"])
    parser.add_argument("--commands", nargs="+", default=["score", "score-folder", "fit", "report"])
    options = parser.parse_args()
    # No TemporaryDirectory: the forks' clean end would take it away.
    root = Path(tempfile.mkdtemp())
    try:
        measure(root, options)
    finally:
        shutil.rmtree(root)


def measure(root: Path, options: argparse.Namespace) -> None:
    os.environ["TMPDIR"] = str(root / "temporary")
    (root / "temporary").mkdir()
    tempfile.tempdir = None
    DAYS.extend(business(root / "business"))
    model = ["fit", str(root / "business"), "--as-of", DAYS[0], "--every", "84d", "--quiet"]
    code = Killer([*model, "--estimator", "logistic", "--out", str(root / "model")]).run()
    assert code in (0, 4), code
    for command, by in product(options.commands, options.signals):
        begun = time.perf_counter()
        seen = check(command, root, options.moments, random.Random(options.seed), by)
        taken = time.perf_counter() - begun
        told = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
        head = f"{command}: {options.moments} moments of SIG{by}"
        print(f"{head} in {taken:.0f} s: {told}", flush=True)


if __name__ == "__main__":
    main()
