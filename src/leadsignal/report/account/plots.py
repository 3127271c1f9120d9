"""A review as one picture: results against target over what happened, on one time axis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.files.records import plain_row
from leadsignal.report.account.review import DONE, DONE_LATE, LATE, OPEN, Review
from leadsignal.survival.plots import COLOURS, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED, GREEN = COLOURS[:3]
KEPT = {DONE: ("s", GREEN), DONE_LATE: ("s", COLOURS[5]), LATE: ("x", RED), OPEN: ("s", GREY)}
CHANGES = {"expansion": ("^", GREEN), "reduction": ("v", RED)}
LANE = 0.075
"""Height of a lane as a share of the picture."""

Spot = tuple[date, str, str]


def draw_review(made: Review, ax: Axes | None = None) -> Axes:
    """Draw results above and lanes of events below the same axis; return the Axes."""
    import matplotlib.pyplot as plt

    axes = ax if ax is not None else plt.subplots(figsize=(9, 5.2), layout="constrained")[1]
    lanes = [(name, bars, spots) for name, bars, spots in _lanes(made) if bars or spots]
    axes.set_title(f"{made.account_id}: what happened", loc="left", fontsize=11)
    _draw_results(made, axes)
    room = _make_room(axes, len(lanes))
    for n, (name, bars, spots) in enumerate(lanes):
        _draw_lane(axes, name, room * (1 - (n + 0.8) / len(lanes)), bars, spots)
    first, last = _number(made.facts["started_on"]), _number(made.last_day)
    axes.set_xlim(first, max(last, first + 1))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _make_room(axes: Axes, lanes: int) -> float:
    """Lengthen the axis downwards for the lanes; return the share of it that is theirs."""
    room = min(LANE * lanes, 0.7)
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    axes.set_ylim(low - (high - low) * room / (1 - room), high)
    axes.set_yticks(ticks)
    axes.spines["left"].set_bounds(low, high)
    return room


def _draw_results(made: Review, axes: Axes) -> None:
    standing = made.standing
    axes.xaxis_date()
    if standing is None:
        axes.set_yticks([])
        axes.annotate("nothing measured yet", (0.02, 0.5), xycoords="axes fraction", color=GREY)
        return
    frame = made.results
    axes.plot(frame["measured_on"], frame["value"], color=BLUE, linewidth=1.8)
    if frame["target"].notna().any():
        axes.step(frame["measured_on"], frame["target"], where="post", color="black",
                  linestyle="--", linewidth=1.2, label="target")  # fmt: skip
    for met, face, told in ((True, GREEN, "met"), (False, "white", "missed")):
        mine = frame[frame["met"].isin([met])]
        if len(mine):
            axes.scatter(mine["measured_on"], mine["value"], s=34, zorder=3, label=told,
                         facecolor=face, edgecolor=GREEN if met else RED)  # fmt: skip
    better = "higher" if standing.higher_is_better else "lower"
    measured = f"{standing.metric.replace('_', ' ')} ({better} is better)"
    axes.set_title(f"{made.account_id}: {measured}, and what happened", loc="left", fontsize=11)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)


def _draw_lane(
    axes: Axes, name: str, y: float, bars: list[tuple[date, date]], spots: list[Spot]
) -> None:
    place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    if bars:
        axes.broken_barh([(_number(a), _number(b) - _number(a)) for a, b in bars],
                         (y - 0.02, 0.04), color=BLUE, alpha=0.35, **place)  # fmt: skip
    for on, marker, colour in spots:
        axes.plot(
            [_number(on)], [y], marker=marker, color=colour, markersize=6, linestyle="", **place
        )
    axes.annotate(name, (0, y), xycoords="axes fraction", xytext=(-6, 0), ha="right", va="center",
                  textcoords="offset points", fontsize=9, annotation_clip=False)  # fmt: skip


def _lanes(made: Review) -> Iterator[tuple[str, list[tuple[date, date]], list[Spot]]]:
    last = made.last_day
    plans = map(plain_row, made.plans.to_dict("records"))
    yield "plan", [(row["agreed_on"], row["closed_on"] or last) for row in plans], []
    for process in made.processes:
        mine = made.episodes[made.episodes["process"] == process.name]
        rows = map(plain_row, mine.to_dict("records"))
        due = process.due_on if process.due_on and process.due_on <= last else None
        spots = [(due, "D", "black")] if due else []
        bars = [(row["adopted_on"], row["lapsed_on"] or last) for row in rows]
        yield process.name.replace("_", " "), bars, spots
    rows = map(plain_row, made.commitments.to_dict("records"))
    yield "commitments", [], [(r["due_on"], *KEPT[r["state"]]) for r in rows if r["due_on"] <= last]
    rows = map(plain_row, made.tickets.to_dict("records"))
    yield "tickets", [], [(row["opened_at"], "|", GREY) for row in rows]
    rows = map(plain_row, made.contract_changes.to_dict("records"))
    yield "contract", [], [
        (r["changed_at"], *CHANGES.get(r["kind"], ("D", GREY))) for r in rows
    ]  # fmt: skip


def _number(day: date) -> float:
    """Return a day as matplotlib counts them, from 1970."""
    return float(day.toordinal() - date(1970, 1, 1).toordinal())
