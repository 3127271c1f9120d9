"""One guard against formulas in tables for people: what it changes, what it leaves, and back."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from hostile_strings import FORMULAS, HOSTILE
from leadsignal import results
from leadsignal.cohorts import wording as pasted
from leadsignal.files.writing import plain_frame, plain_text, safe_frame, safe_text
from leadsignal.scoring import scores as scoring

RUN = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "|calc", "%0", " =1+1", "\N{NO-BREAK SPACE}=1",
    "\t=1", "\tplain", "\rplain", "\nplain", "\x00=1", "\x01=1", "\x7f=1", "\x85=1",
    "\N{ZERO WIDTH SPACE}=1", "\N{ZERO WIDTH NO-BREAK SPACE}=1", "\N{WORD JOINER}=1",
    "\N{SOFT HYPHEN}=1", "\N{RIGHT-TO-LEFT MARK}=1", "\N{IDEOGRAPHIC SPACE}=1",
    "\N{HANGUL FILLER}=1", "\N{COMBINING GRAPHEME JOINER}=1", " \N{ZERO WIDTH SPACE}\t |calc",
    "\N{FULLWIDTH EQUALS SIGN}1+1", "\N{FULLWIDTH PLUS SIGN}1", "\N{FULLWIDTH HYPHEN-MINUS}1",
    "\N{FULLWIDTH COMMERCIAL AT}A1", "\N{FULLWIDTH PERCENT SIGN}0", "\N{FULLWIDTH VERTICAL LINE}x",
    "\N{SMALL HYPHEN-MINUS}2+3", "\N{SMALL EQUALS SIGN}1", "\N{SUPERSCRIPT PLUS SIGN}1",
    "-12+3", "-12%", "--12", "-1e5+cmd|'x'!A1", "-", "+", "-inf", "-1e", "-1.2.3",
]  # fmt: skip
LEFT = [
    "", " ", "plain", "A-1", "a=b", "50 %", "12", "-12", "+3.5", "-1e5", "-1.5E-7", "-.5", "-3,5",
    "+7.", "2024-01-01", "'tis", "'", "''", "'plain", "*", "\N{MINUS SIGN}5", "\N{EN DASH}",
    "\u00e9=1",
]  # fmt: skip


@pytest.mark.parametrize("text", RUN)
def test_what_could_run_becomes_text(text: str) -> None:
    assert safe_text(text) == f"'{text}"


@pytest.mark.parametrize("text", LEFT)
def test_what_is_plain_stays_as_it_is(text: str) -> None:
    assert safe_text(text) == text


@pytest.mark.parametrize("text", [*RUN, *LEFT, *HOSTILE, *FORMULAS, "'=1", "''=1", "'''\t"])
def test_every_text_is_read_back_as_it_was(text: str) -> None:
    assert plain_text(safe_text(text)) == text
    assert safe_text(text) in (text, f"'{text}")


def test_frames_are_guarded_in_every_text_column_and_header() -> None:
    frame = pd.DataFrame(
        {
            "=a": pd.Series(["=1", None, "-12"], dtype=object),
            "n": [-1.0, 2.0, float("nan")],
            "c": pd.Categorical(["@x", "y", "@x"]),
            "s": pd.array(["%0", "y", None], dtype="string"),
            "day": pd.to_datetime(["2024-01-01"] * 3),
            7: [True, False, True],
        }
    )
    safe = safe_frame(frame)
    assert list(safe.columns) == ["'=a", "n", "c", "s", "day", 7]
    assert safe["'=a"].tolist() == ["'=1", None, "-12"]
    assert safe["c"].tolist() == ["'@x", "y", "'@x"]
    assert safe["s"].tolist()[:2] == ["'%0", "y"]
    pd.testing.assert_frame_equal(safe[["n", "day", 7]], frame[["n", "day", 7]])
    back = plain_frame(safe)
    assert back["=a"].tolist() == frame["=a"].tolist()
    assert frame["=a"].tolist() == ["=1", None, "-12"]


def test_scores_and_comparisons_share_the_guard(
    business_model: ls.ChurnModel, business: ls.Tables, tmp_path: Path
) -> None:
    for writer in (scoring, results):
        assert vars(writer)["safe_frame"] is safe_frame
    assert vars(pasted)["write_rows"] is results.write_rows
    found = ls.compare_cohorts(business, "measured", methods=("naive",))
    (first, *rest) = found.contrasts
    odd = replace(found, contrasts=(replace(first, cohort=" =1+1", against="-12"), *rest))
    odd.write(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert (row["cohort"], row["against"]) == ("' =1+1", "-12")
    assert "=1+1" in odd.to_html()
    assert not re.search(r"<td[^>]*>\s*[=+@-]", odd.to_html())
    assert "| ' =1+1 | -12 |" in odd.to_markdown()


def test_an_account_called_na_is_read_back(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"account_id": ["NA", "007", "=1"], "snapshot_on": pd.Timestamp("2024-01-01"),
         "risk": [0.5, 0.25, float("nan")], "reason_1": ["", "null", "%0"]}
    )  # fmt: skip
    scoring.write_rows(frame, tmp_path / "scores.csv", ".csv")
    again = ls.read_scores(tmp_path / "scores.csv")
    assert again["account_id"].tolist() == ["NA", "007", "=1"]
    assert again["reason_1"].tolist() == ["", "null", "%0"]
    assert again["risk"].isna().tolist() == [False, False, True]
