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
from leadsignal.stats import Estimate


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
    assert axes.texts[0].get_text() == "50 %  usage is 0.4 of its best, usually 0.9"
    assert texts_collide(axes) == []
    legend = axes.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["alert", "no alert", "typical account, 10 %"]


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
        "1.20 (0.50 to 2.90), p = 0.800",
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
    assert title == "2023Q3: 3 of 4 accounts stayed, net revenue retention was 75.0 %"
    assert {line.get_linestyle() for line in axes.lines} == {"-", "--", "-.", ":"}
    assert {text.get_text() for text in axes.texts} == {
        "net revenue 75.0 %", "accounts 75.0 %", "gross revenue 75.0 %"
    }  # fmt: skip
    assert texts_collide(axes) == []
    assert "quarter" in axes.get_ylabel()


def test_retention_without_revenue_shows_the_accounts() -> None:
    accounts = pd.DataFrame({"account_id": ["a", "b"], "started_on": ["2022-01-10"] * 2})
    retention = ls.churn.retention_table(ls.read_tables({"accounts": accounts}, as_of="2023-10-02"))
    axes = retention.plot()
    assert axes.get_title(loc="left") == "2023Q3: 2 of 2 accounts stayed"
    assert [text.get_text() for text in axes.texts] == ["accounts 100.0 %"]


def churns(quarters: int = 14) -> ls.ChurnEvents:
    days = pd.date_range("2021-01-15", periods=quarters, freq="QS") + pd.Timedelta(days=14)
    frame = pd.DataFrame(
        {
            "account_id": [f"A-{number}" for number in range(quarters)],
            "known_on": days,
            "churn": True,
            "verdict": ["signalled", *["unexpected"] * (quarters - 1)],
            "arr": 100.0,
            "cause": "churn",
        }
    )
    return ls.ChurnEvents(frame, ("low usage",), 90)


def test_churns_are_drawn_by_quarter_with_the_finding_as_title() -> None:
    axes = churns().plot()
    title = axes.get_title(loc="left")
    assert title == "13 of 14 churned accounts gave no warning 90 days before"
    assert len(axes.get_xticklabels()) == 12
    assert all(tick == int(tick) for tick in axes.get_yticks())
    assert texts_collide(axes) == []
    without = ls.ChurnEvents(churns().frame.assign(verdict="unknown"), (), 90)
    assert without.plot().get_title(loc="left") == "14 accounts churned"


def test_a_health_audit_is_drawn_by_band_the_best_first() -> None:
    bands = pd.DataFrame(
        {"early": [2, 9, 1], "last": [3, 8, 1]}, index=["red", "green", "no score"]
    )
    audit = ls.evaluation.HealthAudit(
        bands, (), 0, float("nan"), float("nan"), float("nan"), 90, 180
    )
    axes = audit.plot()
    assert axes.get_title(loc="left") == "9 of 12 churned accounts were green 90 days before"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["green", "red", "no score"]
    assert [text.get_text() for text in axes.texts] == ["9", "2", "1", "8", "3", "1"]
    assert texts_collide(axes) == []


def test_the_adoption_of_all_processes_is_drawn() -> None:
    rows = [
        {"process": process, "start_quarter": f"2023Q{quarter}",
         "accounts": 10 if quarter < 4 else 2, "by_milestone": quarter, "later": 1, "left": 0,
         "overdue": 0, "open": 0, "share_by_milestone": share, "share_at_most": share,
         "share_ever": 0.5}
        for process, share in (("weekly_close", 0.4), ("no_milestone", float("nan")))
        for quarter in (1, 2, 3, 4)
    ]  # fmt: skip
    adoption = ls.success_analysis.Adoption(pd.DataFrame(rows), 0)
    axes = adoption.plot()
    assert [line.get_label() for line in axes.lines] == [
        "weekly close, in time",
        "no milestone, so far",
    ]
    title = axes.get_title(loc="left")
    assert title == "Adopted: weekly close, in time 31 %; no milestone, so far 44 %"
    drawn = pd.Series(axes.lines[0].get_ydata())
    assert drawn.notna().tolist() == [True, True, True, False]
    assert texts_collide(axes) == []
    assert "what became of" in adoption.plot("weekly_close").get_title(loc="left")


def test_retention_behaves_like_its_table() -> None:
    accounts = pd.DataFrame({"account_id": ["a", "b"], "started_on": ["2022-01-10"] * 2})
    retention = ls.churn.retention_table(ls.read_tables({"accounts": accounts}, as_of="2023-10-02"))
    assert len(retention) == len(retention.frame)
    assert retention["accounts"].equals(retention.frame["accounts"])
    assert "<table" in retention._repr_html_()
