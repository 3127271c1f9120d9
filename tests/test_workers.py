"""The same results with one process and with two."""

from __future__ import annotations

import operator
import os
import time
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal import workers

Results = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def process_of(_: int) -> int:
    return os.getpid()


def wait(number: int) -> int:
    if number > 1:
        time.sleep(1)
    return refuse(number)


def refuse(number: int) -> int:
    raise ls.ModelError(f"task {number} cannot be done", "Give another")


def test_tasks_are_done_in_order_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSIGNAL_THREADS", "2")
    reported: list[tuple[int, int]] = []
    tasks = [(number, 10) for number in range(5)]
    made = workers.each(
        operator.mul, tasks, values=10**9, progress=lambda done, of: reported.append((done, of))
    )
    assert list(made) == [0, 10, 20, 30, 40]
    assert reported == [(done, 5) for done in range(1, 6)]


@pytest.mark.parametrize(
    ("threads", "values", "elsewhere"), [("2", 10**9, True), ("2", 10, False), ("1", 10**9, False)]
)
def test_processes_are_started_where_they_save_time(
    threads: str, values: int, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSIGNAL_THREADS", threads)
    done_by = set(workers.each(process_of, [(1,), (2,)], values=values))
    assert (os.getpid() not in done_by) == elsewhere


def test_an_error_in_a_process_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSIGNAL_THREADS", "2")
    with pytest.raises(ls.ModelError, match=r"task 1 cannot be done\. Give another"):
        list(workers.each(refuse, [(1,), (2,)], values=10**9))


def test_after_an_error_the_tasks_that_are_left_are_cancelled_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEADSIGNAL_THREADS", "2")
    with pytest.raises(ls.ModelError, match="task 1 cannot be done"):
        list(workers.each(wait, [(1,), (2,), (3,), (4,)], values=10**9))
    assert list(workers.each(operator.neg, [(1,), (2,)], values=10**9)) == [-1, -2]


@pytest.mark.parametrize(("threads", "elsewhere"), [("2", True), ("1", False)])
def test_calls_beside_others_are_made_in_one_more_process(
    threads: str, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSIGNAL_THREADS", threads)
    with workers.beside() as call:
        found = [call(process_of, number) for number in (1, 2)]
        assert len({wait() for wait in found}) == 1
        assert (found[0]() != os.getpid()) == elsewhere
    with (
        pytest.raises(ls.ModelError, match="task 1 cannot be done"),
        workers.beside() as call,
    ):
        call(refuse, 1)()


def test_one_and_two_processes_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = ls.build_panel(ls.read_tables(ls.simulate(300, seed=3).write(tmp_path)))
    panel = built.narrowed(built.names(role="context"))
    candidates = [{"step": "30d"}, {"step": "60d"}]
    model = ls.ChurnModel(estimator="logistic").fit(panel)

    def results() -> Results:
        backtest = ls.run_backtest(panel, methods=["context"], origins=2, estimator="logistic")
        tuned = ls.evaluation.tune_model(
            panel, candidates, model=ls.ChurnModel(estimator="logistic"), folds=1
        )
        bands = ls.model.risk_bands(model, panel, panel.current(), resamples=10)
        return backtest.to_frame(), tuned.to_frame(), bands.to_frame()

    one = results()
    monkeypatch.setenv("LEADSIGNAL_THREADS", "2")
    monkeypatch.setattr(workers, "WORTH_IT", 0)
    for frame, again in zip(one, results(), strict=True):
        pd.testing.assert_frame_equal(frame, again, check_exact=True)
