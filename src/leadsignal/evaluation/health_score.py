"""Audit of an existing health score: green churners, time of the change, false alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal import plots
from leadsignal.arguments import Duration, checked, days_in, reads_weights
from leadsignal.churn.events import RED, WARN_BY, churn_events
from leadsignal.evaluation.past_rows import (
    find_episodes,
    on_grid,
    rows_to_evaluate,
)
from leadsignal.files.writing import json_fields
from leadsignal.formats import share_between
from leadsignal.panel import Panel
from leadsignal.results import Result, or_dash
from leadsignal.stats import mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEADING, LAGGING, UNDECIDED, NEITHER = "leading", "lagging", "undecided", "neither"

GREEN = "green"
BANDS = {GREEN: 0.0, "yellow": 1.0, "red": 2.0}


BAND = "health_band"


UNSCORED = "no score"


@dataclass(frozen=True, repr=False, eq=False)
class HealthAudit(Result):
    """How well the bands of a health score predicted churn, as of each past snapshot.

    ``bands`` counts churned accounts by band (rows) at the warning time before the end was known
    (``early``) and at the last snapshot before it (``last``). ``turned`` has, for each account that
    was not green at the last snapshot, the number of days it had not been, in the order of the
    churns. ``red_episodes`` counts red episodes that began early enough to be evaluated;
    ``false_alarms`` is the share of them without churn within the horizon, with the 95 % interval
    ``false_low`` to ``false_high``, clustered by customer.
    """

    bands: pd.DataFrame
    turned: tuple[int, ...]
    red_episodes: int
    false_alarms: float
    false_low: float
    false_high: float
    warning_time: int
    horizon: int

    @property
    def churned(self) -> int:
        """Number of churned accounts with a snapshot early enough."""
        return int(self.bands["early"].sum())

    @property
    def green_at_warning_time(self) -> int:
        """Number of churned accounts that were green at the warning time."""
        return int(self.bands["early"].get(GREEN, 0))

    @property
    def green_at_last(self) -> int:
        """Number of churned accounts that were green at their last snapshot."""
        return int(self.bands["last"].get(GREEN, 0))

    @property
    def green_share(self) -> float:
        """Share of churned accounts that were green at the warning time."""
        return self.green_at_warning_time / max(self.churned, 1)

    @property
    def median_turn_days(self) -> float:
        """Median days from leaving green to the end, with 0 for accounts that never left it."""
        never = self.churned - len(self.turned)
        return float(np.median([*self.turned, *[0] * never])) if self.churned else float("nan")

    @property
    def _turn_text(self) -> str:
        """Return in words when half of the churned accounts were no longer green."""
        days = self.median_turn_days
        if days == 0:
            return "half never left green"
        return f"half left green {or_dash(days, '.0f')} days before or later"

    def _table(self) -> pd.DataFrame:
        return self.bands.rename_axis("band")

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        names = (
            "churned", "green_at_warning_time", "green_at_last", "median_turn_days",
            "red_episodes", "false_alarms", "false_alarms_low", "false_alarms_high",
        )  # fmt: skip
        renamed = {"false_alarms_low": "false_low", "false_alarms_high": "false_high"}
        return json_fields(self, *names, **renamed)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot churned accounts by band, at the warning time and at the last snapshot.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        Axes
        """
        order = [*BANDS, *(band for band in self.bands.index if band not in BANDS)]
        bands = self.bands.reindex([band for band in order if band in self.bands.index])
        axes = plots.axes_of(ax, (7.2, 1.2 + 0.62 * len(bands)))
        y, before = np.arange(len(bands)), f"{self.warning_time} days"
        for shift, column, colour, label in (
            (-0.19, "early", plots.COLOURS[0], f"{before} before the end was known"),
            (0.19, "last", plots.GREY, "at the last snapshot"),
        ):
            count = bands[column].to_numpy()
            axes.barh(y + shift, count, height=0.36, color=colour, label=label)
            for place, value in zip(y + shift, count, strict=True):
                plots.write_at(axes, f"{value:,}", (value, place), (4, 0), va="center")
        axes.set_yticks(y, [str(band) for band in bands.index])
        axes.set_ylim(len(bands) - 0.5, -0.5)
        plots.whole_numbers(axes.xaxis)
        axes.margins(x=0.1)
        axes.set_xlabel("churned accounts")
        plots.write_title(
            axes,
            f"{self.green_at_warning_time:,} of {self.churned:,} churned accounts were green"
            f" {before} before",
            room=24,
        )
        plots.legend_above(axes, ncols=2)
        return axes

    def __repr__(self) -> str:
        lines = [
            f"Health score: of {self.churned:,} churned accounts {self.green_at_warning_time:,}"
            f" were green {self.warning_time} days before the end was known,",
            f"{self.green_at_last:,} still at the last snapshot; {self._turn_text}",
        ]
        if self.red_episodes:
            false = share_between(self.false_alarms, self.false_low, self.false_high)
            lines.append(
                f"{self.red_episodes:,} times red, {false} of them without churn within"
                f" {self.horizon} days"
            )
        return "\n".join(lines)


@checked
@reads_weights
def audit_health(panel: Panel, *, warning_time: Duration | None = None) -> HealthAudit | None:
    """Evaluate the bands of an existing health score; return None if the tables have no bands.

    Bands are read as of each snapshot, so that later corrections of a score are ignored.

    >>> import leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> ls.evaluation.audit_health(panel).warning_time
    90
    """
    panel.refuse_sample("an audit of health scores", of_rows=True)
    if BAND not in panel.names():
        return None
    time = panel.project.warning_time if warning_time is None else days_in(warning_time)
    panel = panel.narrowed((BAND, *WARN_BY))
    rows = on_grid(panel)
    ends = churn_events(panel, warning_time=f"{time}d").churned
    mine = rows[rows["account_id"].isin(ends["account_id"])]
    mine = mine.assign(band=_band(mine))
    early = mine[mine["known_within"] >= time].groupby("account_id", sort=False).tail(1)
    mine = mine[mine["account_id"].isin(early["account_id"])]
    last = mine.groupby("account_id", sort=False).tail(1)
    bands = pd.DataFrame(
        {"early": early["band"].value_counts(), "last": last["band"].value_counts()}
    )
    red, false, low, high = _false_alarms(panel)
    return HealthAudit(
        bands.fillna(0).astype(int), _turned(mine), red, false, low, high, time,
        panel.project.horizon,
    )  # fmt: skip


def _band(rows: pd.DataFrame) -> pd.Series[Any]:
    return rows[BAND].fillna(UNSCORED)


def _turned(rows: pd.DataFrame) -> tuple[int, ...]:
    """Return the days since they were green, for accounts not green at their last row."""
    off = (~rows["band"].isin([GREEN, UNSCORED])).astype(np.int8)[::-1]
    unbroken = off.groupby(rows["account_id"][::-1], sort=False).cummin()[::-1] == 1
    since = rows[unbroken].groupby("account_id", sort=False)["known_within"].max()
    return tuple(int(days) for days in since)


def _false_alarms(panel: Panel) -> tuple[int, float, float, float]:
    evaluation = rows_to_evaluate(panel, panel.frame["snapshot_on"].min(), panel.project.horizon)
    red = (_band(evaluation.rows) == RED).to_numpy(dtype=bool)
    episodes = find_episodes(evaluation, red)
    if not len(episodes.first):
        return 0, float("nan"), float("nan"), float("nan")
    first = episodes.first
    wrong = mean_of((~evaluation.churned[first]).astype(np.float64), evaluation.weight[first])
    return len(first), wrong.estimate, *wrong.interval(evaluation.customer[first])
