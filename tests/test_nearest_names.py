"""A name that is misspelt, or nearly ours, is met with the one that was meant."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from hand_panels import indicator, lives, panel_of
from leadsignal.cli import main


@pytest.mark.parametrize("theirs", ["End", "end_date", "EndDate", "ended"])
def test_an_optional_column_with_another_word_for_its_date_is_pointed_out(theirs: str) -> None:
    accounts = {"account_id": ["a"], "started_on": ["2024-01-01"], theirs: ["2024-03-01"]}
    report = ls.check_tables({"accounts": pd.DataFrame(accounts)}, as_of="2024-07-01")
    hint = f"column {theirs!r} is not read; if it is ended_on, map it under [tables.accounts]"
    assert hint in repr(report)
    mapped = ls.read_tables(
        {"accounts": pd.DataFrame(accounts)},
        as_of="2024-07-01",
        columns={"accounts": {"ended_on": theirs}},
    )
    assert mapped.frame("accounts")["ended_on"].notna().all()


def test_a_required_column_with_another_word_for_its_date_is_named() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "Start": ["2024-01-01"]})
    with pytest.raises(ls.TablesError, match="the column is missing; is it 'Start'"):
        ls.read_tables({"accounts": accounts}, as_of="2024-07-01")


def test_another_column_is_not_taken_for_a_date() -> None:
    accounts = {"account_id": ["a"], "started_on": ["2024-01-01"], "endless": [1]}
    report = ls.check_tables({"accounts": pd.DataFrame(accounts)}, as_of="2024-07-01")
    assert "is not read" not in repr(report)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["repot", "x"], "(did you mean 'report'?)"),
        (["backtest", "x", "--estimator", "logistik"], "(did you mean 'logistic'?)"),
        (["backtest", "x", "--orgins", "2"], "(did you mean '--origins'?)"),
    ],
)
def test_a_misspelt_command_or_option_is_met_with_the_nearest(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(hint)


def test_a_misspelt_indicator_is_met_with_the_nearest() -> None:
    frame = lives(
        np.random.default_rng(0), 60, lambda account, step: {"load": step * 1.0},
        lambda rows: np.zeros(len(rows)),
    )  # fmt: skip
    panel = panel_of(frame, indicator("load"))
    with pytest.raises(ls.OptionError, match=r"no indicator 'laod' \(did you mean 'load'\?\)"):
        ls.model.hazard_ratios(panel, indicators=["laod"])
