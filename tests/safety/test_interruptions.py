"""Signals, closed and odd outputs, no room for temporary files: one line, and nothing left over."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from leadsignal.files.outputs import SCORES, is_ours

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and pipes")
PROGRAM = [sys.executable, "-c", "import sys; from leadsignal.cli import main; sys.exit(main())"]
LIMIT = 300
"""Seconds after which a process is taken for hung: far more than a busy machine needs."""


@pytest.fixture
def work(small: Path, tmp_path: Path) -> Path:
    """A folder to run in, with the business (``t``) and its model (``m``); ``tmp`` is TMPDIR."""
    for name in ("t", "m"):
        (tmp_path / name).symlink_to(small / name)
    (tmp_path / "tmp").mkdir()
    return tmp_path


DATED = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
"""The date and time before each line of a log."""


def start(work: Path, *arguments: str, code: str = "", **options: Any) -> subprocess.Popen[str]:
    """Start a command; ``code`` runs in its process before it."""
    program = [*PROGRAM[:2], code + PROGRAM[2]]
    env = {**os.environ, "TMPDIR": str(work / "tmp"), **options.pop("env", {})}
    given: dict[str, Any] = {"stdout": PIPE, "stderr": PIPE, "text": True, **options}
    return subprocess.Popen([*program, *arguments], cwd=work, env=env, **given)


def run(work: Path, *arguments: str, **options: Any) -> tuple[int, str, str]:
    """Run a command to its end; return code, stdout and stderr."""
    process = start(work, *arguments, **options)
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out, err


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """See to it that a process that should end does, whatever a test finds."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def nothing_left(work: Path) -> bool:
    """Whether no temporary file, part or lock lies around."""
    return not os.listdir(work / "tmp") and not [n for n in os.listdir(work) if n[0] == "."]


SCORE = ("score", "t", "--model", "m", "--every", "84d", "--out", "s.csv")


@pytest.mark.parametrize("command", [("check", "t"), SCORE, ("check", "t", "--json", "-")])
def test_a_reader_that_has_gone_fails_no_run(command: tuple[str, ...], work: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # Closed before the first print.
    try:
        code, _, err = run(work, *command, stdout=writing)
    finally:
        os.close(writing)
    assert code == 0
    assert "Traceback" not in err
    assert "Broken pipe" not in err
    assert nothing_left(work)
    if command is SCORE:
        assert is_ours(work / "s.csv", SCORES)
        assert json.loads((work / "s.csv.run.json").read_text())["outcome"] == "done"


def test_a_reader_that_goes_after_a_line(work: Path) -> None:
    process = start(work, "check", "t", env={"PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("as of ")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(LIMIT), err) == (0, "")


def test_no_stdout_and_no_stderr_at_all(work: Path) -> None:
    for closed in ("1", "2", "1, 2"):
        code = f"import os; [os.close(n) for n in ({closed},)]; "
        # What Python makes of a stream that was closed before it began is None.
        code += "import sys; " + "".join(
            f"sys.{name} = None; " for n, name in (("1", "stdout"), ("2", "stderr")) if n in closed
        )
        assert run(work, "check", "t", code=code)[0] == 0


@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_output_that_is_not_utf_8(env: dict[str, str], small: Path, work: Path) -> None:
    (work / "t").unlink()
    (work / "t").mkdir()
    for file in (small / "t").iterdir():
        (work / "t" / file.name).symlink_to(file)
    (work / "t" / "größe 名前.txt").write_text("not read")
    code, out, err = run(work, "check", "t", env=env)
    assert (code, err) == (0, "")
    assert "not read" in out


def test_arguments_that_are_no_text(work: Path) -> None:
    command = ("review", "t", "--account", "名前", "--out", "r.html")
    code, out, err = run(work, *command, env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("leadsignal: the argument '\\udce5")
    assert "LC_ALL=C.UTF-8" in err
    code, out, err = run(work, "check", os.fsdecode(b"t\xff"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "'t\\udcff' is not text in utf-8" in err


def test_a_folder_for_temporary_files_that_is_not_there(work: Path) -> None:
    missing = str(work / "nowhere")
    code, out, err = run(work, "check", "t", env={"TMPDIR": missing})
    assert (code, out) == (2, "")
    assert missing in err
    assert err.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_for_temporary_files_that_is_not_ours(work: Path) -> None:
    (work / "tmp").chmod(0o500)
    code, _, err = run(work, "check", "t")
    (work / "tmp").chmod(0o700)
    assert code == 2
    assert "cannot be written to" in err
    assert "full" not in err


def store(work: Path) -> bool:
    return bool(os.listdir(work / "tmp"))


MOMENTS: dict[str, tuple[tuple[str, ...], str, Callable[[Path], bool], str]] = {
    "check reads": (("check", "t"), "", store, ""),
    "score reads": (SCORE, "", store, "s.csv"),
}  # fmt: skip
"""Command, what runs before it, the sign to wait for, and the output that has a run record."""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_a_command_with_one_line(number: int, moment: str, work: Path) -> None:
    command, code, sign, recorded = MOMENTS[moment]
    with ending(start(work, *command, "--quiet", code=code)) as process:
        while not sign(work):
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (128 + number, "")
    assert re.match(rf"{DATED}leadsignal {command[0]}: interrupted", err)
    assert err.count("\n") == 1
    assert nothing_left(work)
    assert sorted(os.listdir(work)) == sorted(
        ["t", "m", "tmp", *([f"{recorded}.run.json"] if recorded else [])]
    )
    if recorded:
        told = json.loads((work / f"{recorded}.run.json").read_text())
        assert told["outcome"] == "interrupted"
        assert told["error"]["exit_code"] == 128 + number
        assert f"{recorded} is unchanged" in err


GRID = ("--every", "84d", "--quiet")
WRITING: dict[str, tuple[tuple[str, ...], str]] = {
    "fit": (("fit", "t", *GRID, "--estimator", "logistic", "--out", "out"), "out"),
    "score": (("score", "t", *GRID, "--model", "m", "--out", "o.csv"), "o.csv"),
    "report": (
        ("report", "t", *GRID, "--model", "m", "--origins", "1", "--out", "o.html"),
        "o.html",
    ),
}
OLD = {"o.csv": "account_id,snapshot_on,risk\n", "o.html": "<!doctype html>style-src 'sha256-"}
"""What passes for an output of before; the old model is a copy of the one that scores."""
WAITS = """
import os, time
fsync, left = os.fsync, [{count}]
def waits(handle):
    left[0] -= 1
    if not left[0]:
        os.close(os.open("here", os.O_CREAT))
        time.sleep(120)
    fsync(handle)
os.fsync = waits
"""
"""Stops in the middle of the writing: where a part is about to be brought to the disk."""


@pytest.mark.parametrize(
    ("command", "count", "number"),
    [
        ("fit", 1, signal.SIGTERM),
        ("fit", 2, signal.SIGINT),
        ("score", 1, signal.SIGINT),
        ("score", 2, signal.SIGTERM),
        ("report", 1, signal.SIGTERM),
        ("report", 1, signal.SIGINT),
    ],
)
def test_a_signal_while_an_output_is_written_leaves_the_old_one(
    command: str, count: int, number: int, small: Path, work: Path
) -> None:
    """`benchmarks/kills.py` draws the moments; here each is a step of the writing."""
    arguments, out = WRITING[command]
    if command == "fit":
        shutil.copytree(small / "m", work / out)
    else:
        (work / out).write_text(OLD[out])
    before, here = content(work / out), work / "here"
    with ending(start(work, *arguments, code=WAITS.format(count=count))) as process:
        while not here.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        assert [name for name in os.listdir(work) if name.endswith(".part")]
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT)
    here.unlink()
    assert process.returncode == 128 + number
    line = re.escape(f"leadsignal {command}: interrupted; {out} is unchanged")
    assert re.fullmatch(f"{DATED}{line}\n", err)
    assert content(work / out) == before
    assert nothing_left(work)


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else path.iterdir()
    return {file.name: file.read_bytes() for file in files}
