"""The charts of the report: inside their frame, to scale, and with labels that stand free."""

from __future__ import annotations

import re

import pytest

from leadsignal.formats import rate_text
from leadsignal.report.charts import Axis, Estimate, Part, Row, Stack, both, ranges, stacks
from leadsignal.report.churn_section import Column, Line, columns, lines


def test_charts_stay_inside_and_say_what_they_show() -> None:
    marks = [Estimate(0.001, 0.0, 1e9, "dot", "plain", "far out")]
    axis = Axis(0.1, 10.0, ((0.1, "a"), (1.0, "b"), (10.0, "c")), 1.0, logarithmic=True)
    drawn = both(ranges, [Row("a row", marks)], axis, title="What", description="a row: far out")
    assert drawn.count('role="img"') == 2
    assert drawn.count("What. a row: far out") == 2
    for view, strokes in re.findall(r'viewBox="0 0 (\d+) [\d.]+".*?(<line.*?)</svg>', drawn):
        places = [float(x) for x in re.findall(r'x[12]="([\d.-]+)"', strokes)]
        assert places
        assert all(0 <= x <= float(view) for x in places)


def test_columns_are_as_high_as_their_rates_from_left_to_right() -> None:
    rows = [Column(f"Q{n}", "2024", [Part(n / 100, "bad", "x")], f"{n} %") for n in (1, 2, 4)]
    drawn = columns(rows, title="t", description="u")
    bars = re.findall(r'<rect x="([\d.]+)"[^>]* height="([\d.]+)"', drawn)
    places, heights = ([float(bar[n]) for bar in bars] for n in (0, 1))
    assert places == sorted(places)
    assert heights[2] == pytest.approx(2 * heights[1], rel=0.02) == pytest.approx(4 * heights[0])
    narrow = columns(rows * 5, title="t", description="u", width=360)
    assert narrow.count("<rect") == 8


def test_lines_have_gaps_and_end_in_their_last_value() -> None:
    rows = [Line("net", "net", [0.9, None, 1.02, 1.05]), Line("gross", "gross", [None] * 4)]
    periods = [(name, name) for name in ("Jan", "Feb", "Mar", "Apr")]
    drawn = lines(rows, periods, rate_text, title="t", description="u")
    assert drawn.count("<polyline") == 2
    assert "105.0\xa0% net" in drawn
    assert "gross</text>" not in drawn
    close = [Line(name, name, [1.0, share]) for name, share in (("a", 0.9), ("b", 0.9001))]
    labels = lines(close, periods[:2], rate_text, title="t", description="u")
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" class="tick strong', labels)]
    assert heights[1] - heights[0] >= 14


def test_a_label_is_never_crossed_by_a_line_on_a_phone() -> None:
    marks = [Estimate(0.5, 0.4, 0.6, "dot", "plain", "x")]
    rows = [Row("a label that is so long that it takes two lines of a phone", marks, "holds")] * 2
    axis = Axis(0.0, 1.0, ((0.0, "a"), (0.5, "b"), (1.0, "c")), 0.5)
    drawn = ranges(rows, axis, title="t", description="u", width=360)
    labels = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*class="label"', drawn)]
    assert len(labels) == 4
    grid = re.findall(r'y1="([\d.]+)" y2="([\d.]+)" class="(?:grid|reference)"', drawn)
    assert len(grid) == 6
    for y in labels:
        assert not any(float(top) - 3 < y < float(end) + 11 for top, end in grid)


def test_stacks_are_as_long_as_their_counts() -> None:
    rows = [Stack("a", [Part(30, "bad", "x"), Part(10, "good", "y")]), Stack("b", [])]
    drawn = stacks(rows, title="t", description="u")
    wide = [float(w) for w in re.findall(r'<rect[^>]* width="([\d.]+)"', drawn)]
    assert wide[0] == pytest.approx(3 * wide[1], rel=0.02)
    assert ">40<" in drawn
    assert ">0<" in drawn
