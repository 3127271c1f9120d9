"""Files and folders whole or not at all: faults injected at each system call, locks, orphans."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leadsignal.errors import BusyError, OptionError, WriteError
from leadsignal.files import writing as writing
from leadsignal.files.writing import (
    atomic_write,
    clean_orphans,
    exclusive_lock,
    hold,
    restore_folder,
    whole_files,
    whole_folder,
)

CALLS = ("open", "fsync", "rename", "replace", "link")
"""The calls to the operating system that writing makes, each of which may fail."""
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)


class Faulty:
    """The ``os`` module, whose n-th call of those that write fails."""

    def __init__(self, at: int, error: int) -> None:
        self.left, self.error, self.fired = at, error, ""

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._failing(name, real) if name in CALLS else real

    def _failing(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self.fired = name
                raise OSError(self.error, os.strerror(self.error))
            return real(*arguments, **options)

        return call


@contextmanager
def faults(
    monkeypatch: pytest.MonkeyPatch, at: int, error: int, *, exchange: bool
) -> Iterator[Faulty]:
    faulty = Faulty(at, error)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "os", faulty)
        if exchange:
            real = writing._exchange
            patch.setattr(writing, "_exchange", faulty._failing("exchange", real))
        else:
            patch.setattr(writing, "_renameat2", lambda: None)
        yield faulty


def write_file(place: Path) -> None:
    with atomic_write(place / "out") as part:
        part.write_text("new")


def write_two(place: Path) -> None:
    with whole_files([place / "out", place / "out.run.json"]) as (one, two):
        one.write_text("new")
        two.write_text("new")


def write_folder(place: Path) -> None:
    with whole_folder(place / "model") as part:
        (part / "a").write_text("new")
        (part / "b").write_text("new")


def content(place: Path) -> dict[str, str]:
    files = (path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_text() for path in files}


WRITERS = (write_file, write_two, write_folder)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_a_fault_at_each_call_leaves_what_was_there(
    write: Callable[[Path], None],
    error: int,
    exchange: bool,
    before: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if before:
        write(tmp_path)
        for path in tmp_path.rglob("*"):
            if path.is_file():
                path.write_text("old")
    old, fired = content(tmp_path), []
    for at in range(1, 200):
        with faults(monkeypatch, at, error, exchange=exchange) as faulty:
            try:
                write(tmp_path)
            except (WriteError, OptionError):
                assert content(tmp_path) == old, f"call {at}, {faulty.fired}"
        if not faulty.fired:
            break
        fired.append(faulty.fired)
        if content(tmp_path) != old:  # a call whose failure does no harm
            for path in tmp_path.rglob("*"):
                if path.is_file():
                    path.write_text("old") if before else path.unlink()
            if not before:
                for path in tmp_path.iterdir():
                    path.rmdir()
    assert {"open", "fsync"} <= set(fired)
    assert set(content(tmp_path).values()) == {"new"}
    assert not list(tmp_path.glob(".*"))


def test_a_fault_in_the_block_is_told_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    told = "cannot write .*out: No space left on device. Free disk space"
    with pytest.raises(WriteError, match=told), atomic_write(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(ValueError, match="mine"), atomic_write(tmp_path / "out"):
        raise ValueError("mine")
    assert content(tmp_path) == {"out": "old"}


def test_the_modes_are_what_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_file(tmp_path)
        write_folder(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o700


def test_what_the_dead_left_is_cleaned_and_the_living_keep_theirs(tmp_path: Path) -> None:
    dead, living = tmp_path / ".out.dead.part", tmp_path / ".out.living.part"
    dead.write_text("half")
    living.write_text("half")
    handle = hold(living)
    assert handle is not None
    write_file(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.living.part", "out"]
    os.close(handle)
    write_file(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_cleaning_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "leadsignal-x.store").symlink_to(outside)
    clean_orphans(inside, "leadsignal-", ".store")
    assert (outside / "kept").exists()


def test_a_folder_between_two_renames_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".model.old").mkdir()
    (tmp_path / ".model.old" / "a").write_text("old")
    restore_folder(tmp_path / "model")
    assert content(tmp_path) == {"model/a": "old"}
    write_folder(tmp_path)
    assert set(content(tmp_path).values()) == {"new"}


def test_the_loser_is_told_who_writes(tmp_path: Path) -> None:
    with (
        exclusive_lock(tmp_path / "out"),
        pytest.raises(BusyError, match=rf"out is being written by process {os.getpid()} on"),
        exclusive_lock(tmp_path / "out"),
    ):
        pass
    with exclusive_lock(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


RACER = """
import sys, time
from leadsignal.errors import BusyError
from leadsignal.files.writing import exclusive_lock
for place in sys.stdin:
    place = place.strip()
    try:
        with exclusive_lock(place):
            print("won", flush=True)
            sys.stdin.readline()
    except BusyError as error:
        print(str(error), flush=True)
        sys.stdin.readline()
"""


def test_of_two_schedulers_one_wins_a_hundred_times(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        for race in range(100):
            for racer in racers:
                racer.stdin.write(f"{tmp_path / str(race % 3)}\n")  # type: ignore[union-attr]
            for racer in racers:
                racer.stdin.flush()  # type: ignore[union-attr]
            told = [racer.stdout.readline().strip() for racer in racers]  # type: ignore[union-attr]
            lost = [line for line in told if line != "won"]
            assert len(lost) == 1, told
            assert "is being written by" in lost[0]
            for racer in racers:
                racer.stdin.write("go on\n")  # type: ignore[union-attr]
                racer.stdin.flush()  # type: ignore[union-attr]
    finally:
        for racer in racers:
            racer.communicate()
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, signal, sys
from leadsignal.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import pandas, sklearn.ensemble, leadsignal.scoring.batch, leadsignal.model.churn_model
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("most", [0, 2_000, 60_000])
def test_a_disk_that_ends_leaves_the_old_scores(
    most: int, business_folder: Path, business_model: Any, tmp_path: Path
) -> None:
    """A real refusal: no file of the process may grow beyond a size."""
    from leadsignal.model.saved_models import save_model

    model = save_model(business_model, tmp_path / "model")
    out = tmp_path / "scores.csv"
    old = '"account_id","snapshot_on","risk"\n'
    out.write_text(old)
    given = ["score", str(business_folder), "--model", str(model), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(most), *given], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "is there, and is not" not in done.stderr
    assert out.read_text() == old
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    record = tmp_path / "scores.csv.run.json"
    assert not record.exists() or json.loads(record.read_text())["outcome"] == "failed"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
