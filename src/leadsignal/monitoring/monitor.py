"""Monitoring: whether past scores were right, and whether their feeds still arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.arguments import checked
from leadsignal.errors import OptionError
from leadsignal.evaluation.past_rows import on_grid
from leadsignal.files.writing import json_fields
from leadsignal.formats import count_of, share_text
from leadsignal.ingestion.check_report import DataWarning, affecting, warning_lines
from leadsignal.ingestion.feed_health import FeedHealth, chance_of_silence
from leadsignal.model.provenance import tables_of
from leadsignal.monitoring.realised import (
    Arms,
    LastingChange,
    Outcomes,
    Realised,
    alert_volume,
    churn_changes,
    evaluate_arms,
    evaluate_outcomes,
    find_outcomes,
    outcomes_by_quarter,
)
from leadsignal.monitoring.shifts import (
    Levels,
    RatedShift,
    Shift,
    assess_feeds,
    feed_losses,
    find_shifts,
    levels_of,
)
from leadsignal.panel import Panel
from leadsignal.plots import COLOURS, FAINT, GREY, SMALL, axes_of, name_rows, write_title
from leadsignal.results import Result, to_html
from leadsignal.scoring.feeds import HELD_OUT, check_contacts
from leadsignal.scoring.record import FindingKind as Kind
from leadsignal.scoring.scores import CLIPPED, CLIPPED_INDICATORS
from leadsignal.stats import normal_quantile
from leadsignal.tables import Tables
from leadsignal.workers import log_warnings

if TYPE_CHECKING:
    from matplotlib.axes import Axes


INDICATORS, SCORES, OUTCOMES, LASTING = 0.375, 0.125, 0.125, 0.0625
"""Shares of the allowed false alarms; LASTING is used for churn and again for
feeds."""
LONG_WEEKS = 13
"""A note names feeds whose loss is detected after more weeks than this."""
MIN_SHIFT = 0.25
"""Minimum change of a finding, in standard deviations between accounts."""
MIN_RATIO = 1.25
"""Minimum factor between observed and expected churns of a finding."""
MIN_EXPECTED = 10
"""Minimum number of expected churns to evaluate outcomes."""
MAX_CONTACTED = 0.1
"""Maximum share of held-out accounts that may be contacted before the hold-out loses its value."""
MAX_CLIPPED = 0.1
"""Maximum share of accounts with values outside the range of the training data."""
NEEDED = ("account_id", "snapshot_on", "risk", "alert", "model_version")
SHOWN = 12


@dataclass(frozen=True)
class Finding:
    """One change: its ``kind``, its ``subject`` and a sentence.

    ``value`` is the observed value and ``expected`` the usual one: records for a feed, standard
    deviations for an indicator or a score, churns for calibration, otherwise shares.
    """

    kind: Kind
    subject: str
    message: str
    value: float
    expected: float

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a plain dictionary, ready for JSON."""
        numbers = {"value": self.value, "expected": self.expected}
        return {**asdict(self), **{k: v if np.isfinite(v) else None for k, v in numbers.items()}}


@dataclass(frozen=True, repr=False, eq=False)
class Monitoring(Result):
    """Findings on ``as_of_date``, and the figures behind them.

    ``findings`` are few by design: with weekly runs of a stable business at most one false finding
    is expected per year. ``feeds`` is the health of each table. ``drift`` has one row per indicator
    series: the change since the last run beyond the usual one, its ``tolerance``, and whether it
    was ``assessed`` and ``found``. ``alerts`` has one row per run of the scores. ``realised`` are
    the outcomes of scores whose horizon has passed, for all accounts and for held-out accounts.
    ``arms`` is the result of the hold-out, None without one. ``lasting`` are the CUSUMs of churn
    and of each feed, found or not. ``calibration_by_quarter`` is the expected and observed churn of
    ``realised`` by calendar quarter of the run. ``notes`` say what could not be assessed, and
    ``warnings`` describe problems in the tables.
    """

    findings: tuple[Finding, ...]
    as_of_date: date
    feeds: tuple[FeedHealth, ...]
    drift: pd.DataFrame
    alerts: pd.DataFrame
    realised: tuple[Realised, ...]
    arms: Arms | None
    lasting: tuple[LastingChange, ...]
    calibration_by_quarter: pd.DataFrame
    notes: tuple[str, ...] = ()
    warnings: tuple[DataWarning, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def _table(self) -> pd.DataFrame:
        """Return one row per finding."""
        columns = ["kind", "subject", "message", "value", "expected"]
        return pd.DataFrame([one.to_dict() for one in self.findings], columns=columns)

    def feed_table(self) -> pd.DataFrame:
        """Return the health of the feeds, one row per table."""
        columns = ["table", "state", "last_record", "silent_days", "usual_days", "detected_after"]
        return pd.DataFrame([health.to_dict() for health in self.feeds], columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return findings and figures, ready for JSON."""
        names = ("ok", "as_of", "findings", "feeds", "drift", "alerts", "realised", "holdout",
                 "lasting", "calibration_by_quarter", "notes", "warnings")  # fmt: skip
        return json_fields(self, *names, as_of="as_of_date", holdout="arms")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the changes since the last run that came closest to their tolerance or exceed it."""
        return draw_drift(self.drift, SHOWN, self.as_of_date, ax)

    def __repr__(self) -> str:
        assessed = int(self.drift["assessed"].sum())
        head = "no findings" if self.ok else count_of(len(self.findings), "finding")
        lines = [
            f"Monitoring on {self.as_of_date}: {head}; {len(self.feeds)} feeds,"
            f" {assessed} of {len(self.drift)} series and {len(self.alerts)} runs looked at"
        ]
        lines += [f"  {finding}" for finding in self.findings]
        if len(self.alerts):
            last = self.alerts.iloc[-1]
            first_run = last["new_alerts"] != last["new_alerts"]
            new = "" if first_run else f", {last['new_alerts']:.0f} new"
            lines.append(f"{last['alerts']:,} of {last['accounts']:,} accounts alerted{new}")
        lines += [str(one) for one in self.realised]
        lines += _quarters(self.calibration_by_quarter)
        lines += [str(self.arms)] if self.arms is not None else []
        return "\n".join([*warning_lines(self.warnings), *lines, *self.notes])

    def _repr_html_(self) -> str:
        return to_html(repr(self), None if self.ok else self._table(), max_rows=None)


@checked
def monitor_scores(
    panel: Panel,
    tables: Tables,
    scores: pd.DataFrame,
    *,
    contacts: pd.DataFrame | None = None,
    known_tables: Collection[str] = (),
    false_alarms: float = 1.0,
) -> Monitoring:
    """Compare the run on the tables' as_of with earlier runs, and past scores with outcomes.

    ``panel`` is of the same tables, with a snapshot per run (``every="7d"`` for weekly runs); its
    last snapshot is the run that is assessed, since other weekdays differ. ``scores`` are all past
    scores, as returned by `read_scores`. ``contacts`` (account_id, contacted_on) lists the accounts
    that were contacted, and ``known_tables`` the tables that earlier runs read. ``false_alarms`` is
    the number allowed per year on average. Raises OptionError if the panel is not of that day, or
    the scores lack columns.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> panel = ls.build_panel(tables, every="7d")
    >>> model = ls.ChurnModel(estimator="logistic").fit(panel)
    >>> ls.monitor_scores(panel, tables, ls.score_accounts(model, tables).to_frame()).arms is None
    True
    """
    _check(panel, tables, scores, false_alarms)
    scores = _before(scores, tables.as_of_date)
    contacts = None if contacts is None else check_contacts(contacts)
    a_run = false_alarms * panel.every / 365.25
    chance = chance_of_silence(len(tables.names) - 1, false_alarms=false_alarms, every=panel.every)
    feeds = assess_feeds(tables, chance=chance, known=known_tables)
    names = _followed(panel, feeds)
    levels = levels_of(on_grid(panel), names, panel.every)
    drift = find_shifts(levels, len(levels.days) - 1, alarms=INDICATORS * a_run, least=MIN_SHIFT)
    outcomes = find_outcomes(tables, scores)
    realised = evaluate_outcomes(outcomes, tables.project.warning_time)
    volume, arms = alert_volume(scores), evaluate_arms(outcomes, contacts)
    lasting = _lasting(tables, scores, outcomes, feeds, LASTING * false_alarms)
    clipped, off_grid = _of_clipped(scores), not _on_weekday_of(scores, levels)
    findings = [
        *(_of_feed(health) for health in feeds if health.broken),
        *(_of_lasting(change) for change in lasting if change.found),
        *(_of_shift("indicator", shift, panel.every) for shift in drift.shifts),
        *_of_scores(scores, volume, panel.every, SCORES * a_run),
        *([] if off_grid else clipped),
        *_of_outcomes(realised, OUTCOMES * a_run),
        *_of_arms(arms),
    ]
    log_warnings(f"monitoring on {tables.as_of_date}", findings)
    notes = (
        *_detection_notes(feeds, panel.every),
        *_of_late_losses(lasting),
        *_notes(levels, drift, outcomes, scores, contacts),
        *(one.message for one in clipped if off_grid),
    )
    return Monitoring(
        tuple(findings), tables.as_of_date, feeds, _drift_frame(levels, drift), volume, realised,
        arms, lasting, outcomes_by_quarter(outcomes), notes, affecting(tables.warnings, "monitor"),
    )  # fmt: skip


def _check(panel: Panel, tables: Tables, scores: pd.DataFrame, false_alarms: float) -> None:
    problems = []
    if panel.as_of_date != tables.as_of_date:
        problems.append(f"the panel is of {panel.as_of_date}, the tables of {tables.as_of_date}")
    if missing := [name for name in NEEDED if name not in scores.columns]:
        problems.append(f"the scores have no {', '.join(missing)}")
    elif not any(str(name).startswith("still_active_") for name in scores.columns):
        problems.append("the scores have no still_active_…d, which says their horizon")
    if not false_alarms > 0:
        problems.append(f"false_alarms is {false_alarms!r}, and must be above 0")
    if problems:
        raise OptionError(
            "; ".join(problems), "Give a panel of these tables, and what `score` wrote"
        )


def _before(scores: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """Return the scores up to as_of, with ids as text, in a fixed order."""
    days = pd.to_datetime(scores["snapshot_on"])
    typed = scores.astype({"account_id": str, "alert": bool}).assign(snapshot_on=days)
    kept = typed[days <= pd.Timestamp(as_of)]
    if not len(kept):
        raise OptionError(f"no scores are of {as_of} or before", "Give a later as_of, or score")
    return kept.sort_values(["snapshot_on", "account_id"], ignore_index=True)


def _followed(panel: Panel, feeds: Collection[FeedHealth]) -> list[str]:
    """Return the indicators to monitor, without those of a broken feed, which is itself a finding.

    Indicators of a feed too young to have a usual rate are left out too, as they have not settled.
    """
    aside = {health.table for health in feeds if health.broken or not health.settled}
    return [one.name for one in panel.indicators if not aside.intersection(tables_of(one))]


def _quarters(table: pd.DataFrame) -> list[str]:
    """Return a line with the expected and observed churn of the last four quarters."""
    texts = [
        f"{row['quarter']} {row['expected']:,.1f}, {row['observed']:,}"
        for row in table.tail(4).to_dict("records")
    ]
    return [f"churns expected, observed by quarter of the run: {'; '.join(texts)}"] if texts else []


def _lasting(
    tables: Tables, scores: pd.DataFrame, outcomes: Outcomes, feeds: Collection[FeedHealth],
    alarms: float,
) -> tuple[LastingChange, ...]:  # fmt: skip
    """Return the CUSUMs of churn, and of the feeds that are not already reported as broken."""
    names = [one.table for one in feeds if not one.broken and one.state != "ended"]
    return (*churn_changes(scores, outcomes, alarms), *feed_losses(tables, names, alarms))


def _of_lasting(change: LastingChange) -> Finding:
    return Finding(change.kind, change.subject, str(change), change.observed, change.expected)


def _of_late_losses(lasting: Collection[LastingChange]) -> list[str]:
    late = [f"{one.subject} {one.detected_after} weeks" for one in lasting
            if (one.detected_after or 0) > LONG_WEEKS]  # fmt: skip
    listed = f"counts vary: a feed that loses 60 % of its records is found after {', '.join(late)}"
    return [listed] if late else []


def _of_feed(health: FeedHealth) -> Finding:
    value = health.share if health.state == "thin" else 0.0
    expected = 1.0 if health.state == "thin" else health.expected
    return Finding("feed", health.table, str(health), value, expected)


def _of_shift(kind: Kind, shift: Shift, every: int) -> Finding:
    since = f"within {shift.lag * every} days"
    message = (
        f"{shift.series} has moved by {shift.change:+.2f} standard deviations {since}; usual is"
        f" {shift.usual:+.2f}, and up to {shift.tolerance:.2f} from it"
    )
    return Finding(kind, shift.series.indicator, message, shift.change, shift.usual)


def _of_scores(
    scores: pd.DataFrame, volume: pd.DataFrame, every: int, alarms: float
) -> list[Finding]:
    """Return shifts of the risk and of new alerts between runs of the same model."""
    versions = dict(zip(volume["snapshot_on"], volume["model_version"], strict=True))
    alerted = scores.groupby("account_id")["alert"].shift(1)
    rows = scores[["snapshot_on", "risk", "alert"]].astype({"risk": float, "alert": float})
    rows["new_alert"] = (scores["alert"] & (alerted == False)).astype(float)  # noqa: E712
    eras = {day: versions[pd.Timestamp(day)] for day in np.unique(rows["snapshot_on"].to_numpy())}
    levels = levels_of(rows, ["risk", "alert", "new_alert"], every, eras)
    rated = find_shifts(levels, len(levels.days) - 1, alarms=alarms, least=MIN_SHIFT)
    kinds: dict[str, Kind] = {"risk": "score", "alert": "alerts", "new_alert": "alerts"}
    return [_of_shift(kinds[one.series.indicator], one, every) for one in rated.shifts]


def _on_weekday_of(scores: pd.DataFrame, levels: Levels) -> bool:
    """Whether the last run is on the weekday of the panel's grid; other runs are not comparable."""
    days = pd.DatetimeIndex(levels.days)
    return bool(scores["snapshot_on"].max().weekday() in set(days.weekday))


def _of_clipped(scores: pd.DataFrame) -> list[Finding]:
    """Report that many accounts of the last run have values outside the training data."""
    if CLIPPED not in scores:
        return []
    last = scores[scores["snapshot_on"] == scores["snapshot_on"].max()]
    many = int((last[CLIPPED] > 0).sum())
    if many <= MAX_CLIPPED * len(last):
        return []
    listed = last[CLIPPED_INDICATORS].fillna("") if CLIPPED_INDICATORS in last else []
    named = Counter(name for text in listed for name in text.split("; ") if name)
    most = sorted(named.items(), key=lambda one: (-one[1], one[0]))[:3]
    names = ", ".join(f"{name} ({count:,})" for name, count in most)
    message = (
        f"{many:,} of {len(last):,} accounts have values outside the range of the training data"
        f"{f', most often of {names}' if names else ''}; the nearest value is used. Fit the model"
        " again"
    )
    subject = most[0][0] if most else CLIPPED
    return [Finding("clipped", subject, message, many / len(last), MAX_CLIPPED)]


def _of_outcomes(realised: Collection[Realised], alarms: float) -> list[Finding]:
    """Assess outcomes, if possible of held-out accounts, since acting changes those of others."""
    enough = [one for one in realised if one.expected >= MIN_EXPECTED]
    found: list[Finding] = []
    for one in enough[-1:]:
        tolerance = normal_quantile(1 - alarms / 2) * one.std_err
        apart = abs(one.observed - one.expected) > tolerance
        if apart and not 1 / MIN_RATIO < one.ratio < MIN_RATIO:
            message = (
                f"{one.observed:,} churns where {one.expected:,.1f} were expected"
                f" ({one.arm} accounts, {one.runs} runs); {tolerance:,.0f} apart would be chance"
            )
            found.append(Finding("calibration", one.arm, message, one.observed, one.expected))
        if one.caught.of >= MIN_EXPECTED and one.chance_of_catch() < alarms / 2:
            message = (
                f"{one.caught!r} of the churners were alerted in time; randomly chosen alerts would"
                f" have caught {share_text(one.alert_share)}"
            )
            found.append(Finding("catch", one.arm, message, one.caught.estimate, one.alert_share))
    return found


def _of_arms(arms: Arms | None) -> list[Finding]:
    met = None if arms is None else arms.contacted_though_held_out
    if met is None or not met.of or met.estimate <= MAX_CONTACTED:
        return []
    message = f"{met.count:,} of {met.of:,} alerted accounts held out were contacted all the same"
    return [Finding("holdout", HELD_OUT, message, met.estimate, 0.0)]


def _drift_frame(levels: Levels, drift: RatedShift) -> pd.DataFrame:
    found = {shift.series for shift in drift.shifts}
    rows = [(str(one), one.indicator) for one in levels.series]
    return pd.DataFrame(rows, columns=["series", "indicator"]).assign(
        change=drift.change, tolerance=drift.tolerance, assessed=drift.assessed,
        found=[one in found for one in levels.series],
    )  # fmt: skip


def _detection_notes(feeds: Collection[FeedHealth], every: int) -> list[str]:
    """Return notes on feeds whose stop is detected after more than two runs, or never."""
    late = [one for one in feeds if one.detected_after and one.detected_after > 2 * every]
    late_tables = [f"{one.table} {one.detected_after} days" for one in late if not one.broken]
    never = [one.table for one in feeds if one.detected_after is None and one.state == "too young"]
    notes = []
    if late_tables:
        notes.append(f"records are rare: silence is reported after {', '.join(late_tables)}")
    if never:
        notes.append(f"too few records to recognise silence: {', '.join(never)}")
    return notes


def _notes(
    levels: Levels, drift: RatedShift, outcomes: Outcomes, scores: pd.DataFrame,
    contacts: pd.DataFrame | None,
) -> list[str]:  # fmt: skip
    notes = []
    if not drift.assessed.any():
        notes.append(f"{len(levels.days)} runs are too few to judge drift")
    if not outcomes.frame["passed"].any():
        notes.append(f"no scores are {outcomes.horizon} days old: nothing has come of them yet")
    if outcomes.strangers:
        notes.append(f"{outcomes.strangers:,} scores are of accounts that the tables do not hold")
    if contacts is not None and HELD_OUT not in scores:
        notes.append(
            "accounts were contacted and none held out: whoever was saved looks like a false"
            " alarm (score with --holdout to avoid this)"
        )
    return notes


def draw_drift(drift: pd.DataFrame, shown: int, as_of: date, ax: Axes | None = None) -> Axes:
    """Plot changes relative to their tolerance as dots, the largest first."""
    rows = drift[drift["change"].notna() & drift["tolerance"].notna()]
    order = (rows["change"].abs() / rows["tolerance"]).sort_values(ascending=False, kind="stable")
    rows = rows.loc[order.index].head(shown)
    size = (7.2, 1.3 + 0.34 * max(len(rows), 1))
    axes = axes_of(ax, size)
    y = np.arange(len(rows))
    tolerance, change = rows["tolerance"].to_numpy(), rows["change"].to_numpy()
    axes.barh(y, 2 * tolerance, left=-tolerance, height=0.5, color=FAINT, label="within its past")
    found = rows["found"].to_numpy(dtype=bool) | (np.abs(change) > tolerance)
    for mine, colour, marker, label in (
        (~found, GREY, "o", "change since the last run"),
        (found, COLOURS[1], "D", "finding"),
    ):
        if mine.any():
            axes.scatter(change[mine], y[mine], color=colour, marker=marker, label=label, zorder=3)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    name_rows(axes, list(rows["series"]), 0.4, 0.6)
    widest = max([0.3, *tolerance, *np.abs(change)])
    axes.set_xlim(-1.08 * widest, 1.08 * widest)
    axes.set_xlabel("change beyond the usual, in standard deviations between accounts")
    write_title(axes, f"Drift on {as_of}")
    if len(rows):
        axes.legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes
