"""Alerts on past dates: those of a model, and the audit of an existing health score.

Functions take and return arrays. Every method has the same number of alerts at each snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal import plots
from leadsignal.arguments import Duration, checked, days_in, reads_weights
from leadsignal.churn.events import RED, UNEXPECTED, WARN_BY, ChurnEvents, churn_events
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.engine.duckdb import in_order
from leadsignal.formats import share_between
from leadsignal.panel import Panel
from leadsignal.results import Result, or_dash
from leadsignal.stats import mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


Days = NDArray[np.int64]


MONTH = 365.25 / 12
NOWHERE = -1


@dataclass(frozen=True, eq=False)
class EvaluationRows:
    """The evaluated rows, sorted by account and snapshot, with their outcomes.

    ``rows`` are panel rows on the calendar grid, before any notice, each followed for
    the whole ``horizon``. ``day``, ``account`` and ``customer`` are integer codes. ``stop`` is the
    number of days followed and ``outcome`` the state at the horizon: 0 still there, 1 churned, 2
    ended otherwise. ``weight`` is the number of rows that each represents: 1, unless the customers
    are a sample.
    """

    rows: pd.DataFrame
    day: Days
    account: Days
    customer: Days
    stop: Floats
    outcome: Days
    arr: Floats
    horizon: int
    every: int
    weight: Floats

    @property
    def churned(self) -> Bools:
        """Which rows are followed by churn within the horizon."""
        return np.asarray(self.outcome == 1)

    @property
    def months(self) -> float:
        """Number of months covered by the snapshots."""
        return len(np.unique(self.day)) * self.every / MONTH


def on_grid(panel: Panel) -> pd.DataFrame:
    """Return the rows on the calendar grid, of accounts that have not given notice."""
    frame = panel.frame
    mine = (_days(frame["snapshot_on"]) - 4) % panel.every == 0  # 1970-01-05 is day 4
    rows: pd.DataFrame = frame[mine & ~frame["notice_given"].to_numpy(dtype=bool)]
    return rows


def rows_to_evaluate(panel: Panel, first: Any, horizon: int) -> EvaluationRows:
    """Return the rows from ``first`` on that have been followed for the whole horizon."""
    rows = on_grid(panel)
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=horizon)
    rows = rows[(rows["snapshot_on"] >= pd.Timestamp(first)) & (rows["snapshot_on"] < last)]
    rows = in_order(rows)
    within = rows["ended_within"].to_numpy(dtype=float, na_value=np.inf)
    ended = within <= horizon
    churns = ~rows["end_cause"].isin(panel.project.not_churn).to_numpy()
    account, customer = (
        pd.factorize(rows[name])[0].astype(np.int64) for name in ("account_id", "customer_id")
    )
    stop, outcome = np.minimum(within, horizon + 1.0), np.where(ended, np.where(churns, 1, 2), 0)
    arr = rows["arr"].to_numpy(dtype=float, na_value=np.nan)
    weight = np.ones(len(rows)) if panel.weight is None else rows[SAMPLE_WEIGHT].to_numpy(float)
    return EvaluationRows(
        rows, _days(rows["snapshot_on"]), account, customer, stop, outcome.astype(np.int64), arr,
        horizon, panel.every, weight,
    )  # fmt: skip


def _days(dates: Any) -> Days:
    return np.asarray(dates.to_numpy().astype("datetime64[D]").astype(np.int64))


def raise_alerts(evaluation: EvaluationRows, risk: Floats, capacity: float) -> Bools:
    """Return which rows are alerted: a share ``capacity`` of each snapshot, at least one account.

    Ties are broken by a fixed random order of the accounts, so that no account is favoured and
    alerts are stable over time. A missing risk counts as the lowest.
    """
    known = np.where(np.isnan(risk), -np.inf, risk)
    draw = np.random.default_rng(0).permutation(int(evaluation.account.max(initial=-1)) + 1)
    order = np.lexsort((draw[evaluation.account], -known, evaluation.day))
    day = evaluation.day[order]
    first = np.flatnonzero(np.append(True, day[1:] != day[:-1]))
    size = np.diff(np.append(first, len(day)))
    weight = evaluation.weight[order]
    whole = np.add.reduceat(weight, first) if len(day) else weight
    allowed = np.maximum(1, np.round(capacity * whole))
    # A row represents as many rows as its weight; it is alerted if at least half of them are.
    before = np.cumsum(weight) - weight / 2
    before -= np.repeat(before[first] - weight[first] / 2, size)
    alerted = np.zeros(len(day), dtype=bool)
    alerted[order] = before < np.repeat(allowed, size)
    alerted[order[first]] = True
    return alerted


@dataclass(frozen=True, eq=False)
class Episodes:
    """Unbroken runs of alerted snapshots: first and last row of each, and the run of each row."""

    first: Days
    last: Days
    of_row: Days


def find_episodes(evaluation: EvaluationRows, alerted: Bools) -> Episodes:
    """Return the runs of ``alerted`` rows (n) within each account; other rows have −1."""
    before = np.append(False, alerted[:-1] & (evaluation.account[1:] == evaluation.account[:-1]))
    after = np.append(alerted[1:] & (evaluation.account[1:] == evaluation.account[:-1]), False)
    begins = alerted & ~before
    number = np.cumsum(begins) - 1
    return Episodes(
        np.flatnonzero(begins), np.flatnonzero(alerted & ~after), np.where(alerted, number, NOWHERE)
    )


@dataclass(frozen=True, eq=False)
class EvaluableChurns:
    """Churn events that an alert at one of the evaluation rows could have announced.

    Attributes
    ----------
    frame : DataFrame
        One row per churn event, with the columns of ``ChurnEvents.frame``.
    chance : array of int
        Evaluation row of the last snapshot at least one warning time before the churn was known.
    before_drop : array of int
        Evaluation row of the last snapshot strictly before usage dropped (or before the churn was
        known, if usage did not drop); −1 if that is before the first evaluation row.
    known, drop : array of int
        Days on which the churn became known and on which usage dropped.
    customer : array of int
        Cluster of each account.
    """

    frame: pd.DataFrame
    chance: Days
    before_drop: Days
    known: Days
    drop: Days
    customer: Days

    @property
    def unexpected(self) -> Bools:
        """Which churns no warning had announced."""
        return (self.frame["verdict"] == UNEXPECTED).to_numpy()

    @property
    def arr(self) -> Floats:
        """ARR of each account at its last snapshot."""
        return self.frame["arr"].to_numpy(dtype=float, na_value=np.nan)


def churns_to_evaluate(
    evaluation: EvaluationRows, panel: Panel, churns: ChurnEvents
) -> EvaluableChurns:
    """Find the two rows of each churned account at which it should have been alerted."""
    churned = churns.churned.reset_index(drop=True)
    known = _days(churned["known_on"])
    drop = np.minimum(_days(churned["usage_drop_on"].fillna(pd.Timestamp.max.floor("D"))), known)
    rows = on_grid(panel)
    rows = rows[rows["account_id"].isin(churned["account_id"])]
    place = pd.Index(churned["account_id"]).get_indexer(rows["account_id"])
    day = _days(rows["snapshot_on"])
    chance = _last_day(place, day, day <= known[place] - churns.warning_time, len(churned))
    before = _last_day(place, day, day < drop[place], len(churned))
    where = pd.MultiIndex.from_arrays([evaluation.rows["account_id"], evaluation.day])
    at = [
        where.get_indexer(pd.MultiIndex.from_arrays([churned["account_id"], when]))
        for when in (chance, before)
    ]
    kept = at[0] >= 0
    chance, before = (one[kept] for one in at)
    own, customer = churned[kept].reset_index(drop=True), evaluation.customer[chance]
    return EvaluableChurns(own, chance, before, known[kept], drop[kept], customer)


def _last_day(place: Days, day: Days, allowed: Bools, size: int) -> Days:
    last = np.full(size, np.iinfo(np.int32).min, dtype=np.int64)
    np.maximum.at(last, place[allowed], day[allowed])
    return last


@dataclass(frozen=True, eq=False)
class Catches:
    """What a method's alerts achieved for each evaluated churn.

    ``in_time`` and ``before_drop`` say whether it was caught (NaN if that cannot be evaluated).
    ``lead`` and ``head_start`` are in days, at most the horizon, and 0 if it was not caught.
    """

    in_time: Bools
    before_drop: Floats
    lead: Floats
    head_start: Floats


def catch(evaluation: EvaluationRows, episodes: Episodes, churns: EvaluableChurns) -> Catches:
    """Return which churns were caught by alert episodes, and how long before."""
    since = np.append(evaluation.day[episodes.first], 0)  # NOWHERE selects the last element
    in_time, lead = _caught(evaluation, episodes, churns.chance, churns.known, since)
    dropped, head = _caught(evaluation, episodes, churns.before_drop, churns.drop, since)
    evaluated = churns.before_drop >= 0
    return Catches(
        in_time, np.where(evaluated, dropped, np.nan), lead, np.where(evaluated, head, np.nan)
    )


def _caught(
    evaluation: EvaluationRows, episodes: Episodes, at: Days, event: Days, since: Days
) -> tuple[Bools, Floats]:
    number = np.where(at >= 0, episodes.of_row[at], NOWHERE)
    caught = number >= 0
    days = np.minimum(event - since[number], evaluation.horizon).astype(np.float64)
    return caught, np.where(caught, days, 0.0)


def churned_after(evaluation: EvaluationRows, episodes: Episodes) -> tuple[Bools, Bools]:
    """Return whether churn followed within the horizon of the start and of the end of each episode.

    The first array counts the horizon from the first snapshot of an episode, the second from the
    last.
    """
    return evaluation.churned[episodes.first], evaluation.churned[episodes.last]


GREEN = "green"
BANDS = (GREEN, "yellow", "red")
"""Bands of a health score, the best first."""
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
    def green_share(self) -> float:
        """Share of churned accounts that were green at the warning time."""
        return float(self.bands["early"].get(GREEN, 0) / max(self.churned, 1))

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
        known = self.red_episodes > 0
        return {
            "churned": self.churned,
            "green_at_warning_time": int(self.bands["early"].get(GREEN, 0)),
            "green_at_last": int(self.bands["last"].get(GREEN, 0)),
            "median_turn_days": self.median_turn_days if self.churned else None,
            "red_episodes": self.red_episodes,
            "false_alarms": self.false_alarms if known else None,
            "false_alarms_low": self.false_low if known else None,
            "false_alarms_high": self.false_high if known else None,
        }

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
        early = int(self.bands["early"].get(GREEN, 0))
        plots.write_title(
            axes,
            f"{early:,} of {self.churned:,} churned accounts were green {before} before",
            room=24,
        )
        plots.legend_above(axes, ncols=2)
        return axes

    def __repr__(self) -> str:
        early, last = (int(self.bands[when].get(GREEN, 0)) for when in ("early", "last"))
        lines = [
            f"Health score: of {self.churned:,} churned accounts {early:,} were green"
            f" {self.warning_time} days before the end was known,",
            f"{last:,} still at the last snapshot; {self._turn_text}",
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
    low, high = wrong.interval(evaluation.customer[episodes.first])
    return len(episodes.first), wrong.estimate, low, high
