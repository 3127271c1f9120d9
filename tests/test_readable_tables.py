"""Tables as people read them: few rows and columns, units, bars, and no nan, inf or None."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from leadsignal.results import (
    MAX_COLUMNS,
    MAX_ROWS,
    cell_texts,
    heading,
    html_table,
    text_table,
    to_html,
)


def wide(rows: int, columns: int) -> pd.DataFrame:
    return pd.DataFrame({f"c{number}": range(rows) for number in range(columns)})


def test_a_notebook_shows_ten_rows_and_eight_columns_and_says_so() -> None:
    page = to_html("many", wide(276, 12))
    assert page.count("<tr>") == MAX_ROWS + 1
    assert page.count("<th ") == MAX_COLUMNS
    assert page.endswith("<p>10 of 276 rows, 8 of 12 columns</p>")
    assert to_html("few", wide(3, 2)).endswith("</table>")
    assert "<p>10 of 276 rows</p>" in to_html("long", wide(276, 2))


@pytest.mark.parametrize(
    ("name", "values", "texts"),
    [
        ("risk", [0.351, 0.004, None], ["35 %", "0 %", "–"]),
        ("net", [0.9704], ["97.0 %"]),
        ("accounts", [1200.0, 3.0, float("nan")], ["1,200", "3", "–"]),
        ("hazard_ratio", [0.4368443823659899, 12.345], ["0.437", "12.35"]),
        ("p_holm", [0.0000001, 0.25], ["< 0.001", "0.250"]),
        ("high", [float("inf"), 2.0], ["no limit", "2"]),
        ("alert", [True, False], ["yes", "no"]),
        ("left_on", [pd.Timestamp("2024-01-05"), pd.NaT], ["2024-01-05", "–"]),
        ("reason_1", ["a", None], ["a", "–"]),
        ("known", pd.array([1, None], dtype="Int64"), ["1", "–"]),
    ],
)
def test_each_kind_of_value_has_one_format(
    name: str, values: list[object], texts: list[str]
) -> None:
    column = pd.Series(values)
    assert cell_texts(name, column) == texts


def test_a_share_by_name_that_is_none_is_shown_as_a_number() -> None:
    assert cell_texts("share", pd.Series([153.0, 20.5])) == ["153.0", "20.50"]


def test_headings_are_words_with_units_and_the_name_is_the_tooltip() -> None:
    assert heading("expected_arr_loss") == "expected loss of ARR, a year"
    page = html_table(pd.DataFrame({"silent_days": [1], "<b>": [2]}), None)
    assert 'title="silent_days">silent, days</th>' in page
    assert "&lt;b&gt;</th>" in page
    assert "<b>" not in page


def test_shares_have_bars_that_are_as_long_as_they_are() -> None:
    page = html_table(pd.DataFrame({"risk": [0.25, 0.5], "auc": [0.3, 0.4]}), None)
    assert re.findall(r"#56B4E966 (\d+)%", page) == ["25", "50"]


def test_text_is_aligned_short_and_of_one_line() -> None:
    table = pd.DataFrame({"account": ["a\nb", "c" * 60], "arr": [10.0, 1234.0]})
    lines = text_table(table, short=20).splitlines()
    assert lines == [
        "account               ARR, a year",
        "a b                            10",
        "ccccccccccccccccccc…        1,234",
    ]
    assert "c" * 60 in text_table(table, short=None)
