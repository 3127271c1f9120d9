"""CPU seconds of the test suite: by file, by test, and of all programs that it starts.

Runs pytest on what is given (as ./test does: two processes, one numerical thread each) and prints
the CPU seconds, user and system, of the whole run, of each file and of the most expensive tests.
The whole run includes every program that was started: Java, browsers, databases, also where they
outlive the test that started them. They are counted with the file that was being tested as they
worked. Fixtures of the session are part of the first test that needs them.

    python benchmarks/suite.py [--files 25] [--tests 25] [--json FILE] [tests/test_spark.py ...]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "LEADSIGNAL_SUITE_CPU"
"""The environment variable that names the folder where each process writes its measurements."""
PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=25, help="how many files are printed")
    parser.add_argument("--tests", type=int, default=25, help="how many tests are printed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="a file for the CPU seconds of every test")
    options, chosen = parser.parse_known_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        status, total = run(options.workers, chosen, Path(folder))
        tests = read(Path(folder))
    files: Counter[str] = Counter()
    for name, seconds in tests.items():
        files[name.split("::")[0]] += seconds
    for title, found, shown in (("file", files, options.files), ("test", tests, options.tests)):
        print(f"\nCPU s  {title}")
        for name, seconds in found.most_common(shown):
            print(f"{seconds:5.1f}  {name}")
    if options.json:
        options.json.write_text(json.dumps({"total": total, "tests": tests}, indent=1))
    print(f"\n{total:.0f} CPU s in all, {files.total():.0f} of them in tests and their fixtures;")
    print(f"{time.perf_counter() - began:.0f} s by the clock")
    return status


def run(workers: int, chosen: list[str], folder: Path) -> tuple[int, float]:
    """Return the exit status of pytest, and the CPU seconds of all processes below this one."""
    # Processes whose parent ended become children of this one, and are counted when they end.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, FOLDER: str(folder), "PYTHONPATH": paths.rstrip(os.pathsep)}
    environment.setdefault("OMP_NUM_THREADS", "1")
    parallel = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", Path(__file__).stem]
    command += [*(parallel if workers > 1 else []), *chosen]
    tested = subprocess.Popen(command, cwd=ROOT, env=environment)
    status = 1
    while True:
        try:
            ended, code = os.wait()
        except ChildProcessError:
            break
        if ended == tested.pid:
            status = os.waitstatus_to_exitcode(code)
            for left in psutil.Process().children(recursive=True):
                left.send_signal(signal.SIGTERM)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return status, used.ru_utime + used.ru_stime


def read(folder: Path) -> Counter[str]:
    """Return the CPU seconds of each test, of what all processes wrote."""
    tests: Counter[str] = Counter()
    for file in folder.iterdir():
        for line in file.read_text().splitlines():
            name, seconds = json.loads(line)
            tests[name] += seconds
    return tests


# What follows is the plugin that the processes of pytest load.


def worked() -> float:
    """Return the CPU seconds of this process, of its children, and of what these started.

    A process that ends is counted by its parent from then on; one whose parent ended is not
    counted here, only in the whole run: the sum is smaller after a server's children went with it.
    """
    here = psutil.Process()
    total = sum(here.cpu_times()[:4])
    for child in here.children(recursive=True):
        try:
            total += sum(child.cpu_times()[:4])
        except psutil.Error:
            continue
    return float(total)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = worked()
    yield
    seconds = max(worked() - before, 0)
    if FOLDER in os.environ:
        with (Path(os.environ[FOLDER]) / str(os.getpid())).open("a", encoding="utf-8") as file:
            print(json.dumps([item.nodeid, round(seconds, 3)]), file=file)


if __name__ == "__main__":
    sys.exit(main())
