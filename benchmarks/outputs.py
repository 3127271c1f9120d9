"""Run every command with every option that names an output, and check that no other file changes.

Each output is a new name, one of an earlier run, an unrelated file or a link to one (with
``--force``), a relative path or a name with unusual characters. All other files are hashed before
and after. `tests/safety/test_outputs.py` tests what is refused.

    python benchmarks/outputs.py [--some 10] [--seed 0] [--commands fit score]
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LEADSIGNAL_THREADS": "1"})

import argparse
import hashlib
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kills import Killer, business

GRID = ["--every", "84d"]
COMMANDS: dict[str, list[str]] = {
    "check": ["t"],
    "discover": ["t", "--at-least", "2", "--by-users", "1", "--within", "30d", "--level", "0.4"],
    "panel": ["t", *GRID],
    "audit": ["t", *GRID],
    "backtest": ["t", *GRID, "--origins", "1", "--estimator", "logistic"],
    "fit": ["t", *GRID, "--estimator", "logistic"],
    "score": ["t", *GRID, "--model", "m"],
    "monitor": ["t", *GRID, "--scores", "s.csv"],
    "compare": ["t", "--by", "complained"],
    "report": ["t", *GRID, "--model", "m", "--origins", "1"],
    "review": ["t", "--account", "A-10100"],
    "demo": [],
}
NEEDED = {
    "panel": "beside.parquet",
    "fit": "beside",
    "score": "beside.csv",
    "report": "beside.html",
    "review": "beside.html",
}
OPTIONS: dict[str, dict[str, str]] = {
    "discover": {"--out": ".toml", "--picture": ".png"},
    "panel": {"--out": ".parquet"},
    "fit": {"--out": "", "--metrics": ".prom"},
    "score": {
        "--out": ".csv",
        "--call-list": ".csv",
        "--accounts-dir": "",
        "--record": ".run.json",
        "--metrics": ".prom",
    },
    "monitor": {"--metrics": ".prom"},
    "compare": {"--out": ".csv"},
    "report": {"--out": ".html", "--accounts-dir": ""},
    "review": {"--out": ".html"},
    "demo": {"--out": ""},
}
"""The options of each command that name an output, and how it ends; all have --json besides."""
CODES = {"backtest": 3, "report": 4}
"""So small a business has no backtest: the JSON says why, and the report goes without."""
RECORDED = ("fit", "score")
"""Commands that write the record of the run beside ``--out``."""
DATABASE = "scores.duckdb"
SITUATIONS = ("new", "earlier", "unrelated", "link", "relative", "odd letters")


@dataclass(frozen=True)
class Case:
    """A command, the option whose output is looked at, how it ends, and what is in its place."""

    command: str
    option: str
    ending: str
    situation: str

    @property
    def is_folder(self) -> bool:
        return not self.ending

    def __str__(self) -> str:
        return f"{self.command} {self.option}: {self.situation}"


def cases() -> Iterator[Case]:
    """Yield all cases; no force lets a folder take the place of an unrelated file."""
    for command in COMMANDS:
        for option, ending in {**OPTIONS.get(command, {}), "--json": ".json"}.items():
            for situation in SITUATIONS:
                case = Case(command, option, ending, situation)
                if not (case.is_folder and situation == "unrelated"):
                    yield case


def bytes_of(folder: Path) -> dict[str, str]:
    """Return a digest of every file below a folder, and where each link leads."""
    told = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            told[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            told[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return told


class Place:
    """A folder with a business, a model and scores, laid out anew for each case."""

    def __init__(self, root: Path) -> None:
        self.base, self.work, self.done = root / "base", root / "work", root / "done"
        self.temporary = root / "temporary"
        for folder in (self.base, self.done, self.temporary):
            folder.mkdir()
        os.environ["TMPDIR"] = str(self.temporary)
        tempfile.tempdir = None
        business(self.base / "t")
        with (self.base / "t" / "leadsignal.toml").open("a") as settings:
            settings.write(f'\n[sources.db]\nurl = "duckdb:///../{DATABASE}"\n')
        os.chdir(self.base)
        made = [["fit", *COMMANDS["fit"], "--out", "m"]]
        made.append(["score", *COMMANDS["score"], "--out", "s.csv"])
        for arguments in made:
            assert Killer([*arguments, "--quiet"]).run() == 0, arguments
        for record in self.base.glob("*.run.json"):
            record.unlink()

    def check(self, case: Case) -> None:
        """Run a case; raise AssertionError where it fails, or changes what it may not."""
        os.chdir(self.base)
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.base, self.work, symlinks=True)
        os.chdir(self.work)
        name, written = self._lay_out(case)
        arguments, free = self._arguments(case, name)
        record = f"{os.path.normpath(name)}.run.json"  # Beside the link, not what it leads to.
        free |= {written, *([record] if self._recorded(case) else [])}
        before = bytes_of(self.work)
        code = Killer([*arguments, "--quiet"]).run()
        assert code == CODES.get(case.command, 0), f"{case}: exit code {code} of {arguments}"
        after = bytes_of(self.work)
        changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        others = {n for n in changed if not any(n == f or n.startswith(f"{f}/") for f in free)}
        assert not others, f"{case}: {others} changed"
        mine = {n for n in after if n == written or n.startswith(f"{written}/")}
        assert mine, f"{case}: {written} is not there"
        assert case.situation in ("earlier", "link") or mine & changed, f"{case}: not written"
        assert case.situation != "link" or Path(name).is_symlink(), f"{case}: no link any more"
        assert not list(self.temporary.iterdir()), f"{case}: {list(self.temporary.iterdir())}"
        if case.situation == "new":
            self._keep(case, written)

    def _recorded(self, case: Case) -> bool:
        return case.option == "--out" and case.command in RECORDED

    def _kept(self, case: Case) -> Path:
        return self.done / f"{case.command}{case.option}"

    def _keep(self, case: Case, written: str) -> None:
        for beside in ("", ".run.json" if self._recorded(case) else ""):
            source, to = Path(written + beside), Path(f"{self._kept(case)}{beside}")
            if source.is_dir():
                shutil.copytree(source, to, dirs_exist_ok=True)
            else:
                shutil.copy(source, to)

    def _earlier(self, case: Case, name: str) -> None:
        if not self._kept(case).exists():
            self.check(Case(case.command, case.option, case.ending, "new"))
            shutil.rmtree(self.work)
            shutil.copytree(self.base, self.work, symlinks=True)
            os.chdir(self.work)
        for kept in (self._kept(case), Path(f"{self._kept(case)}.run.json")):
            to = Path(name + str(kept).removeprefix(str(self._kept(case))))
            if kept.exists():
                shutil.copytree(kept, to) if kept.is_dir() else shutil.copy(kept, to)

    def _lay_out(self, case: Case) -> tuple[str, str]:
        """Return the name to be given, and the path below the folder that will be written."""
        name = f"mine{case.ending}"
        if case.situation == "earlier":
            self._earlier(case, name)
        if case.situation == "unrelated":
            Path(name).write_text("what somebody wrote\n")
        if case.situation == "link":
            to = f"elsewhere{case.ending}"
            if case.is_folder:
                self._earlier(case, to)
            else:
                Path(to).write_text("what somebody wrote\n")
            Path(name).symlink_to(to)
            return name, to
        if case.situation == "relative":
            Path("deep/er").mkdir(parents=True)
            return f"./deep/er/../{name}", f"deep/{name}"
        if case.situation == "odd letters":
            name = f"größe 名前 '1' \"x\" ; $HOME %s{case.ending}"
        return name, name

    def _arguments(self, case: Case, name: str) -> tuple[list[str], set[str]]:
        """Return the command line, and what else it may write."""
        given = [case.command, *COMMANDS[case.command], case.option, name]
        free: set[str] = set()
        if case.situation in ("unrelated", "link"):
            given += ["--force"]
        if case.option == "--record":
            return [*given, "--to-table", "scores"], {DATABASE}
        if case.option != "--out":
            beside = NEEDED.get(case.command, "beside" if case.command == "demo" else None)
            if beside:
                given += ["--out", beside]
                free = {beside, f"{beside}.run.json"} if case.command in RECORDED else {beside}
        return given, free


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--some", type=int, help="so many cases, drawn (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", default=[*COMMANDS])
    options = parser.parse_args()
    chosen = [case for case in cases() if case.command in options.commands]
    if options.some:
        chosen = random.Random(options.seed).sample(chosen, options.some)
    # No TemporaryDirectory: the forks' clean end would take it away.
    root, seen, wrong = Path(tempfile.mkdtemp()), Counter[str](), []
    begun = time.perf_counter()
    try:
        place = Place(root)
        for case in chosen:
            try:
                place.check(case)
            except AssertionError as error:
                wrong.append(str(error))
                print(error, flush=True)
            seen[case.situation] += 1
    finally:
        os.chdir("/")
        shutil.rmtree(root)
    told = ", ".join(f"{count} {what}" for what, count in seen.items())
    taken = time.perf_counter() - begun
    print(f"{len(chosen)} outputs in {taken:.0f} s ({told}): {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
