"""Pictures of scores, overviews and retention: the finding as title, units, labels apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

import leadsignal as ls
from leadsignal.cohorts.overview import Line
from leadsignal.stats.estimates import Estimate


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def texts_collide(axes: Axes) -> list[tuple[str, str]]:
    """Return pairs of annotations and tick labels that overlap on the page."""
    canvas = FigureCanvasAgg(axes.figure.get_figure())  # type: ignore[arg-type]
    canvas.draw()  # type: ignore[no-untyped-call]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    shown = [t for t in [*axes.texts, *axes.get_yticklabels(), axes.title] if t.get_text()]
    shown += [t for t in axes.get_xticklabels() if t.get_text()]
    boxes = [(t.get_text(), t.get_window_extent(renderer).shrunk(0.98, 0.9)) for t in shown]
    return [
        (one, other)
        for place, (one, box) in enumerate(boxes)
        for other, second in boxes[place + 1 :]
        if box.overlaps(second)
    ]


def scores(count: int = 30) -> ls.Scores:
    frame = pd.DataFrame(
        {
            "account_id": [f"A-{number}" for number in range(count)],
            "risk": [0.5 - 0.01 * number for number in range(count)],
            "alert": [number < 4 for number in range(count)],
            "reason_1": ["usage is 0.4 of its best, usually 0.9"] * (count - 1) + [None],
        }
    )
    return ls.Scores(frame, date(2024, 1, 1), 180, "v", 0, {}, typical_risk=0.1)


def test_scores_are_drawn_with_their_reasons() -> None:
    axes = scores().plot()
    assert axes.get_title(loc="left") == (
        "11 of 30 accounts are expected to churn within 180 days; 4 are alerted"
    )
    assert "180 days" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["A-0", "A-1"]
    assert len(axes.texts) == 12
    assert axes.texts[0].get_text() == "50%  usage is 0.4 of its best, usually 0.9"
    assert texts_collide(axes) == []
    legend = axes.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["alert", "no alert", "typical account, 10%"]


def test_as_many_accounts_are_drawn_as_are_asked_for_on_the_axes_given() -> None:
    _, axes = plt.subplots()
    assert scores().plot(axes, accounts=3) is axes
    assert len(axes.texts) == 3
    one = scores(1)
    assert len(one.plot().texts) == 1


def overview(p: float = 0.0004) -> ls.Overview:
    strong = Estimate(0.4, 0.25, 0.6, p / 2)
    weak = Estimate(1.2, 0.5, 2.9, 0.6)
    lines = (
        Line("weekly_review", "adopted", "not adopted", Estimate(0.1, 0.05, 0.2, 0.0), strong,
             "time_dependent", p),
        Line("process:close", "kept", "not kept", None, weak, "landmark", 0.8),
    )  # fmt: skip
    return ls.Overview(lines, (), {})


def test_an_overview_shows_naive_and_corrected_ratios() -> None:
    axes = overview().plot()
    assert axes.get_title(loc="left") == "1 of 2 cohorts has a proven difference in churn"
    assert "hazard ratio" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "weekly review\nadopted against not adopted",
        "process: close\nkept against not kept",
    ]
    assert [text.get_text() for text in axes.texts] == [
        "0.40 (0.25 to 0.60), p < 0.001",
        "1.20 (0.50 to 2.90), p 0.800",
    ]
    assert texts_collide(axes) == []


def test_an_overview_of_many_shows_those_with_the_lowest_p() -> None:
    _, given = plt.subplots()
    axes = overview().plot(given, cohorts=1)
    assert axes is given
    assert len(axes.texts) == 1
    assert axes.get_xlabel().endswith("the cohorts with the lowest p")
    with pytest.raises(ls.ModelError, match="no hazard ratio to draw"):
        ls.Overview((), (), {}).plot()


def test_retention_is_drawn_with_the_last_quarter_as_its_title() -> None:
    accounts = pd.DataFrame(
        {
            "account_id": list("abcd"),
            "started_on": ["2021-01-10"] * 4,
            "ended_on": [None, None, None, "2023-08-05"],
            "arr": [100, 100, 100, 100],
        }
    )
    retention = ls.churn.retention_table(ls.read_tables({"accounts": accounts}, as_of="2023-10-02"))
    axes = retention.plot()
    title = axes.get_title(loc="left")
    assert title == "2023Q3: 3 of 4 accounts stayed, net revenue retention was 75.0%"
    assert {line.get_linestyle() for line in axes.lines} == {"-", "--", "-.", ":"}
    assert {text.get_text() for text in axes.texts} == {
        "net revenue 75.0%", "accounts 75.0%", "gross revenue 75.0%"
    }  # fmt: skip
    assert texts_collide(axes) == []
    assert "quarter" in axes.get_ylabel()


def test_retention_without_revenue_shows_the_accounts() -> None:
    accounts = pd.DataFrame({"account_id": ["a", "b"], "started_on": ["2022-01-10"] * 2})
    retention = ls.churn.retention_table(ls.read_tables({"accounts": accounts}, as_of="2023-10-02"))
    axes = retention.plot()
    assert axes.get_title(loc="left") == "2023Q3: 2 of 2 accounts stayed"
    assert [text.get_text() for text in axes.texts] == ["accounts 100.0%"]


def test_retention_behaves_like_its_table() -> None:
    accounts = pd.DataFrame({"account_id": ["a", "b"], "started_on": ["2022-01-10"] * 2})
    retention = ls.churn.retention_table(ls.read_tables({"accounts": accounts}, as_of="2023-10-02"))
    assert len(retention) == len(retention.frame)
    assert retention["accounts"].equals(retention.frame["accounts"])
    assert "<table" in retention._repr_html_()
