"""Read corrupted files: each must give a result or a clear message, never a traceback.

Takes valid files (CSV, Parquet, TOML, the JSON of a model), changes them at random (bit flips,
truncation, copies, swaps, unusual bytes and text) and reads them through the library's functions in
one process. Each must end in a result or a LeadsignalError within 2 s of processor time, and the
memory of the process must not grow by more than 500 MB.

Every fifth case is a folder instead: tables as folders of parts, links (to files, to nothing, to
folders, in circles), pipes, compressed files, nested Parquet, unusual names. Everything in the
folder must be read, be a fault, or be listed as not read.

    python benchmarks/fuzz.py [--files 20000] [--seed 0]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import gzip
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd

import leadsignal as ls
from leadsignal.errors import LeadsignalError
from leadsignal.ingestion.check_report import CheckReport

SLOWEST, MOST_MEMORY = 2.0, 500e6
SAVED = Path(__file__).parents[1] / "tests" / "saved" / "format-5" / "ensemble"
ODD = [
    b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\\", b"=1+1", b"<script>", b"'; DROP TABLE accounts; --", b"../../x", b"nan", b"inf", b"-0",
    b"1e999", b"9" * 400, b"0x1", b"NULL", b"true", b"2024-02-30", b"0000-00-00", b"9999-12-31",
    b"2024-01-01T25:00:00Z", b"2024-01-01 00:00+99:99", b"[", b"]", b"{", b"}", b"[[[[[[", b"#",
    b"\xc3\x28", b"\xf0\x9f\x99\x82", b"\x1b[0m", b"%s", b"{0}", b"\xe2\x80\xae", b"PAR1",
    b"a" * 5000,
]  # fmt: skip

ACCOUNTS = """account_id,started_on,ended_on,end_reason,segment,arr,term_months
A1,2023-01-01,,,mid,1200.50,12
A2,2023-02-01,2023-08-01,price,small,300,
A3,2023-03-01T10:00:00Z,,,"mid, large",,24
"""
TICKETS = """account_id,opened_at,ticket_id,severity,closed_at
A1,2023-03-01,T1,high,2023-03-04
A2,2023-04-01T08:30:00+02:00,T2,"low ""quoted"" word",
"""
PROJECT = """[project]
every = "28d"
capacity = 0.1
not_churn = ["completed"]
[causes]
acquired = ["acquired", "merged"]
[tables.accounts]
attributes = ["segment"]
columns = { arr = "arr" }
complete_from = 2021-01-01
"""
SUCCESS = """[bullseye]
objective = "Close the month in five days"
[[process]]
name = "weekly_close"
behavior = ["close", "closed"]
at_least = 4
by_users = 2
within = "30d"
adopt_by = "90d"
applies_to = { segment = ["mid"] }
"""


def good(folder: Path) -> None:
    """Write the valid files that are then corrupted."""
    (folder / "accounts.csv").write_text(ACCOUNTS)
    (folder / "tickets.csv").write_text(TICKETS)
    days = pd.date_range("2023-03-01", periods=300)
    usage = pd.DataFrame({"account_id": "A1", "used_on": days, "amount": range(300)})
    usage.to_parquet(folder / "usage.parquet", index=False)
    (folder / "leadsignal.toml").write_text(PROJECT)
    (folder / "success.toml").write_text(SUCCESS)


def spoil(content: bytes, draw: random.Random) -> bytes:
    """Return the content with one to six changes."""
    held = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        at, to = sorted(draw.randint(0, len(held)) for _ in range(2))
        short = slice(at, min(to, at + draw.choice((1, 2, 8, 64, 100_000))))
        change = draw.randrange(8)
        if change == 0 and held:
            held[draw.randrange(len(held))] ^= 1 << draw.randrange(8)
        elif change == 1:
            del held[short]
        elif change == 2:
            held[at:at] = draw.choice(ODD)
        elif change == 3:
            held[short] = draw.choice(ODD)
        elif change == 4:
            held[at:at] = held[short] * draw.choice((1, 2, 50))
        elif change == 5:
            held[short] = draw.randbytes(len(held[short]))
        elif change == 6:
            held = held[:at]
        else:
            digits = [i for i, byte in enumerate(held) if 48 <= byte <= 57]
            if digits:
                held[draw.choice(digits)] = draw.choice(b"0123456789-.eE,")
    return bytes(held)


def misplace(folder: Path, draw: random.Random) -> None:
    """Fill a folder with two to five unusual entries whose names resemble those of tables."""
    (folder / "accounts.csv").write_text(ACCOUNTS.replace("T10:00:00Z", ""))
    for _ in range(draw.randint(2, 5)):
        table = draw.choice(("usage", "tickets", "behaviors", "x", "accounts"))
        ending = draw.choice((".csv", ".parquet", "", ".csv.gz", ".CSV", ".snappy.parquet"))
        place = folder / draw.choice(("", "", "usage", "tickets.parquet", "usage/a=1", ".hidden"))
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            path = place / (draw.choice(("", "", "", "_", ".", "[*]")) + table + ending)
            if not os.path.lexists(path):  # Writing into a pipe that is there would wait for ever.
                put(path, draw)


def put(path: Path, draw: random.Random) -> None:
    """Make a file, a folder, a link or a pipe."""
    what = draw.randrange(9)
    if what == 0:
        path.symlink_to("nowhere")
    elif what == 1:
        path.symlink_to(path.name)
    elif what == 2:
        path.symlink_to(draw.choice(("accounts.csv", "..", ".", "/dev/zero")))
    elif what == 3:
        os.mkfifo(path)
    elif what == 4:
        path.mkdir()
    elif what == 5:
        path.write_bytes(gzip.compress(TICKETS.encode()))
    elif what == 6:
        days = [f"2023-03-{day:02}" for day in range(1, 29)]
        rows: dict[str, object] = {"account_id": "A1", "used_on": days, "opened_at": days}
        nested = draw.choice(([[1, 2]], [{"a": 1}], [None], [1.5], [b"x"]))
        column = draw.choice(("amount", "severity", "note", "account_id"))
        pd.DataFrame({**rows, column: nested * len(days)}).to_parquet(path, index=False)
    else:
        path.write_text(draw.choice((TICKETS, ACCOUNTS, "", PROJECT)))


def left_out(folder: Path, report: CheckReport) -> list[str]:
    """Return what in a folder is neither read, nor named in a fault, nor listed as not read."""
    named = " ".join(f"{fault.file} {fault.table}" for fault in report.faults)
    missing = []
    for path in sorted(folder.iterdir()):
        listed = any(one.rstrip("/") == path.name for one in report.not_read)
        read = path.name.partition(".")[0] in {*report.tables, *(f.table for f in report.faults)}
        if not listed and not read and path.name not in named:
            missing.append(path.name)
    return missing


def read_misplaced(folder: Path, draw: random.Random) -> str:
    """Return the outcome for such a folder: read, refused, or what was left out."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        misplace(Path(name), draw)
        report = ls.check_tables(name)
        missing = left_out(Path(name), report)
        if missing:
            raise AssertionError(f"left out: {missing}")
        return "read" if report.ok else "refused"


def read_folder(folder: Path) -> None:
    project = ls.read_project(folder)
    if project.analysis:
        ls.read_success_analysis(project.analysis)
    ls.check_tables(folder, project=project)


def read_settings(folder: Path) -> None:
    """Settings alone, without the tables."""
    project = ls.read_project(folder)
    if project.analysis:
        ls.read_success_analysis(project.analysis)


def read_model(folder: Path) -> None:
    ls.load_model(folder / "model")


TARGETS: tuple[tuple[str, str, Callable[[Path], None]], ...] = (
    ("CSV", "accounts.csv", read_folder),
    ("CSV", "tickets.csv", read_folder),
    ("Parquet", "usage.parquet", read_folder),
    ("TOML", "leadsignal.toml", read_settings),
    ("TOML", "success.toml", read_settings),
    ("JSON", "model/model.json", read_model),
)


def seal(folder: Path) -> None:
    """Update the checksums to the corrupted file, so that later checks are reached too."""
    import hashlib

    sums = folder / "SHA256SUMS"
    names = [line.split("  ")[1] for line in sums.read_text().splitlines()]
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
    sums.write_text("".join(f"{d}  {n}\n" for d, n in zip(digests, names, strict=True)))


def memory() -> float:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def fuzz(folder: Path, files: int, seed: int) -> tuple[Counter[str], list[str], float]:
    """Corrupt and read files; return the outcomes, the violations and the longest time."""
    seen: Counter[str] = Counter()
    broken: list[str] = []
    slowest = 0.0
    held = {name: (folder / name).read_bytes() for _, name, _ in TARGETS}
    for _, _, read in TARGETS:
        read(folder)
    began = memory()
    for number in range(files):
        if number % 2_000 == 0:
            print(f"{number:,} files, {len(broken)} broken", file=sys.stderr, flush=True)
        draw = random.Random(f"{seed} {number}")
        kind, name, read = TARGETS[number % len(TARGETS)]
        kind = kind if number % 5 else "folder"
        if number % 5:
            (folder / name).write_bytes(spoil(held[name], draw))
        if read is read_model:
            seal(folder / "model")
        begun = time.process_time()
        try:
            outcome = "read" if number % 5 else read_misplaced(folder, draw)
            if number % 5:
                read(folder)
        except LeadsignalError:
            outcome = "refused"
        except Exception as error:  # noqa: BLE001  # that is what is looked for
            outcome = "broke"
            broken.append(f"{seed} {number} {name}: {type(error).__name__}: {str(error)[:200]}")
        taken = time.process_time() - begun
        slowest = max(slowest, taken)
        if taken > SLOWEST:
            broken.append(f"{seed} {number} {name}: {taken:.1f} s")
        if memory() - began > MOST_MEMORY:
            broken.append(f"{seed} {number} {name}: {memory() / 1e6:.0f} MB")
            began = memory()
        seen[f"{kind} {outcome}"] += 1
        (folder / name).write_bytes(held[name])
    return seen, broken, slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good(folder)
        shutil.copytree(SAVED, folder / "model")
        begun = time.perf_counter()
        seen, broken, slowest = fuzz(folder, options.files, options.seed)
        taken = time.perf_counter() - begun
    for what, count in sorted(seen.items()):
        print(f"{what}: {count:,}")
    print(f"{options.files:,} files in {taken:.0f} s, slowest {slowest:.2f} s of processor time,"
          f" most memory {memory() / 1e6:.0f} MB")  # fmt: skip
    print("\n".join(broken[:50]) or "no traceback, none too slow, none too large")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
