"""Rescued accounts at the second renewal after, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import Project


def tables_of(as_of: str) -> ls.Tables:
    """Terms of 12 months from 1 January 2020; flags cleared on 1 June 2020."""
    accounts = pd.DataFrame({"account_id": list("abcde"), "started_on": "2020-01-01"})
    # The two renewals after the clearing: 1 January 2021 and 2022.
    accounts["ended_on"] = [None, "2021-01-01", "2021-09-01", "2022-01-01", "2022-02-01"]
    accounts["term_months"] = 12
    flags = pd.DataFrame(
        {"account_id": list("abcde"), "flagged_on": "2020-04-01", "cleared_on": "2020-06-01"}
    )
    again = pd.DataFrame({"account_id": ["a"], "flagged_on": ["2021-03-01"], "cleared_on": [None]})
    frames = {"accounts": accounts, "flags": pd.concat([flags, again])}
    return ls.read_tables(frames, project=Project(), as_of=as_of)


def outcomes(as_of: str) -> dict[str, str]:
    tables = tables_of(as_of)
    frame = ls.churn.find_rescues(tables, ls.build_panel(tables)).frame
    return dict(zip(frame["account_id"], frame["outcome"], strict=True))


def test_each_outcome() -> None:
    first, second = "left by the first renewal", "left by the second"
    # b ends on the first renewal, d on the second: neither renewed. e leaves a month after it.
    assert outcomes("2022-06-01") == {
        "a": "stayed", "b": first, "c": second, "d": second, "e": "stayed",
    }  # fmt: skip


def test_what_has_not_come_yet_is_not_known() -> None:
    told = outcomes("2021-06-01")
    assert told["b"] == "left by the first renewal"
    assert {told[name] for name in "acde"} == {"not yet known"}


def test_shares_and_printing() -> None:
    tables = tables_of("2022-06-01")
    rescues = ls.churn.find_rescues(tables, ls.build_panel(tables))
    share, low, high = rescues.stayed()
    assert share == 0.4
    assert 0 <= low < share < high <= 1
    assert rescues.frame["flagged_again"].sum() == 1
    assert "5 flags cleared: 2 stayed" in repr(rescues)
    assert rescues.to_dict()["outcomes"]["left by the second"] == 2
    assert "<table" in rescues._repr_html_()


def test_without_flags_it_is_refused() -> None:
    tables = ls.read_tables(
        {"accounts": pd.DataFrame({"account_id": ["a"], "started_on": ["2020-01-01"]})},
        as_of="2021-01-01",
    )
    with pytest.raises(ls.OptionError, match="no table flags"):
        ls.churn.find_rescues(tables, ls.build_panel(tables))


def test_without_terms_there_is_no_renewal() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": ["2020-01-01"]})
    flags = pd.DataFrame(
        {"account_id": ["a"], "flagged_on": ["2020-02-01"], "cleared_on": ["2020-03-01"]}
    )
    tables = ls.read_tables({"accounts": accounts, "flags": flags}, as_of="2021-01-01")
    rescues = ls.churn.find_rescues(tables, ls.build_panel(tables))
    assert rescues.frame["outcome"].tolist() == ["no renewal date"]
