"""Apply known mistakes to the source, one at a time, and check that the tests notice each of them.

    python benchmarks/mutants.py [NAME ...] [--workers 2]

The mistakes are listed in ``benchmarks/mutants.toml``, each with the file, the text to replace, its
replacement, and the tests that must fail. Every mutation is made in a copy of the repository.
Prints a table, and exits with code 1 if a mutation survives or no longer fits the source.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("src", "tests", "data", "docs", "examples", "notebooks", "benchmarks", "pyproject.toml")


@dataclass(frozen=True)
class Mutation:
    """One mistake: ``old`` becomes ``new`` in ``file``, and one of ``tests`` must fail.

    ``select`` narrows the tests down, as ``pytest -k`` does.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    select: str = ""

    def applied(self, root: Path) -> str:
        """Return the mutated text of the file; raises ValueError where ``old`` is not unique."""
        text = (root / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {self.old!r} {text.count(self.old)} times, not 1")
        return text.replace(self.old, self.new)


def read_mutations() -> list[Mutation]:
    """Return the mutations of ``mutants.toml``."""
    content = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text(encoding="utf-8"))
    return [Mutation(**{**row, "tests": tuple(row["tests"])}) for row in content["mutation"]]


def judged(mutation: Mutation) -> str:
    """Return "killed", "survived", or what kept the mutation from being tried."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            ignored = shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=ignored)
            else:
                shutil.copy(source, copy / name)
        try:
            mutated = mutation.applied(copy)
        except (OSError, ValueError) as error:
            return f"does not fit: {error}"
        (copy / mutation.file).write_text(mutated, encoding="utf-8")
        return _outcome(mutation, copy)


def _outcome(mutation: Mutation, copy: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p",
               "no:xdist", "-k", mutation.select, *mutation.tests]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    if ran.returncode == 0:
        return "survived"
    if ran.returncode == 1:
        return "killed"
    return f"the tests did not run: {(ran.stdout + ran.stderr).strip().splitlines()[-1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="mutations to try; default: all")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    mutations = [m for m in read_mutations() if not options.names or m.name in options.names]
    with ThreadPoolExecutor(options.workers) as pool:
        outcomes = list(pool.map(judged, mutations))
    width = max(len(mutation.name) for mutation in mutations)
    for mutation, outcome in zip(mutations, outcomes, strict=True):
        print(f"{mutation.name:{width}}  {outcome}")
    killed = outcomes.count("killed")
    print(f"{killed} of {len(mutations)} killed")
    return 0 if killed == len(mutations) else 1


if __name__ == "__main__":
    raise SystemExit(main())
