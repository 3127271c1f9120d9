"""Scores: the accounts active on a day, who is likely to leave, why, and what to do next."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.arguments import checked
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.overview import process_effect
from leadsignal.durations import Duration, days_in
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.outputs import SCORES
from leadsignal.files.spreadsheets import safe_frame
from leadsignal.files.writing import whole_file
from leadsignal.model.explanation import compared_with, tell_subject
from leadsignal.model.persistence.recipe import Recipe, refuse_other_analysis
from leadsignal.panel import Panel, build_snapshot
from leadsignal.scoring.feeds import (
    Feed,
    find_feeds,
    unknown_indicators,
    with_unknown,
    without_late_days,
)
from leadsignal.scoring.hindsight import HINDSIGHT, in_hindsight
from leadsignal.scoring.holdout import HELD_OUT, hold_out
from leadsignal.scoring.last_known import hold_late

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.config.success import Process, SuccessAnalysis
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.stats.estimates import Estimate
    from leadsignal.tables import Tables

REASONS = 3
CLIPPED, CLIPPED_INDICATORS = "clipped", "clipped_indicators"
TEXTS = ("account_id", "open_processes", "next_step", "model_version", CLIPPED_INDICATORS,
         *(f"reason_{rank}" for rank in range(1, REASONS + 1)))  # fmt: skip
"""The columns of scores that hold texts, whatever these look like."""
PROVEN_AT = 0.99
"""An effect is told where the interval of this level excludes none."""
LAG = "90d"
"""So long before a day adoption is read for what is told of a process."""
OTHER_LAGS = ("60d", "30d", None)
"""What is told holds at these as well."""
OPEN = ("overdue", "lapsed", "pending")
"""States in which something is left to do about a process, the most urgent first."""
_Step = tuple[bool, int, int, str, str]
"""What it is sorted by (no proven effect, urgency, minus the days), what is open, what to do."""
MIN_PART = 0.05
"""What raises the log-odds by less is no reason."""

MIN_EXPLAINED, MAX_EXPLAINED = 1_000, 5_000
"""Reasons are given for the alerted accounts, and at least and at most for so many, the riskiest;
the others are fine without."""

MAX_DAYS = 1_000_000
"""No state lasts so many days."""

ROWS_AT_ONCE = 100_000
"""So many accounts are forecast in one go."""


@dataclass(frozen=True, repr=False, eq=False)
class Scores:
    """One row an active account, the riskiest first.

    ``notice_given`` counts the accounts left out because their end is already known;
    ``unseen`` the values of categories that the model had not seen, by indicator; ``feeds`` are
    the tables that were missing, empty or late: the scores were made without what they say.
    ``capacity`` is the share that was to be alerted, ``typical_risk`` the risk of the typical
    account (`ChurnModel.typical_risk`), ``effects`` are those told with the next steps, by process,
    and ``recipe`` says how the model is made.
    ``clipped`` counts the accounts whose number lies beyond what the model was fitted on, by
    indicator: it counts as the nearest that was (the columns ``clipped``, how many of an
    account's, and ``clipped_indicators``). ``hindsight`` says whether the model was trained through
    a later day than the one that is scored, as the column of that name does.
    """

    frame: pd.DataFrame
    as_of_date: date
    horizon: int
    model_version: str
    notice_given: int
    unseen: dict[str, int]
    feeds: tuple[Feed, ...] = ()
    capacity: float | None = None
    typical_risk: float | None = None
    effects: Mapping[str, Estimate] = field(default_factory=dict)
    recipe: Recipe | None = None
    clipped: dict[str, int] = field(default_factory=dict)

    @property
    def hindsight(self) -> bool:
        """Whether the model had seen what came after the day that is scored."""
        return bool(self.frame[HINDSIGHT].any())

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the rows."""
        return self.frame.copy()

    def __repr__(self) -> str:
        alerts = int(self.frame["alert"].sum())
        lines = [
            f"Scores of {len(self.frame):,} active accounts on {self.as_of_date}:"
            f" {self.frame['risk'].sum():,.1f} churns expected within {self.horizon} days,"
            f" {alerts:,} alerts",
        ]
        if self.notice_given:
            lines.append(f"{self.notice_given:,} more have given notice and are not scored")
        if HELD_OUT in self.frame:
            lines.append(f"{self.frame[HELD_OUT].sum():,} are held out and must not be contacted")
        lines += [str(feed) for feed in self.feeds]
        if self.clipped:
            most = [f"{name} ({count:,})" for name, count in self.clipped.items()][:REASONS]
            lines.append(
                f"{(self.frame[CLIPPED] > 0).sum():,} accounts have values beyond those that the"
                f" model was fitted on, which count as the nearest; most of {', '.join(most)}"
            )
        for _, row in self.frame.head(5).iterrows():
            lines.append(f"  {row['account_id']}  {row['risk']:.0%}  {row['reason_1']}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        rows = self.frame.head(10)
        head = escape(repr(self).splitlines()[0])
        return f"<p>{head}</p>{rows.to_html(index=False, float_format='{:.3f}'.format)}"

    def to_dict(self) -> dict[str, Any]:
        """Return what the scores hold in numbers, ready for JSON."""
        return {
            "accounts": len(self.frame),
            "as_of": self.as_of_date.isoformat(),
            "horizon_days": self.horizon,
            "alerts": int(self.frame["alert"].sum()),
            "expected_churns": float(self.frame["risk"].sum()),
            "expected_arr_loss": float(self.frame["expected_arr_loss"].sum()),
            "notice_given": self.notice_given,
            "unseen_categories": self.unseen,
            "accounts_clipped": int((self.frame[CLIPPED] > 0).sum()),
            "clipped": self.clipped,
            "held_out": int(self.frame[HELD_OUT].sum()) if HELD_OUT in self.frame else None,
            "feeds": [feed.to_dict() for feed in self.feeds],
            "capacity": self.capacity,
            "typical_risk": self.typical_risk,
            "effects": {name: effect.to_dict() for name, effect in self.effects.items()},
            "model_version": self.model_version,
            "hindsight": self.hindsight,
        }


@checked
def score_accounts(
    model: ChurnModel,
    tables: Tables,
    *,
    as_of: date | str | None = None,
    capacity: float | None = None,
    holdout: float | None = None,
    effects: Mapping[str, Estimate] | None = None,
    today: AsOfContext | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score the accounts active on ``as_of`` (default: the tables') that have not given notice.

    ``capacity`` is the share of accounts to alert (default: the project's). ``holdout`` is the
    share of accounts, drawn by lot, that are not to be acted on (default: the project's); where it
    is above 0, a column ``held_out`` records which. ``effects`` are the
    proven effects of processes, told with the next step (default: `proven_effects` of the
    tables). ``today`` holds what is made already of these tables and the model's analysis; it is
    not used where tables have come late. Raises ModelError where the tables lack what the model
    reads, or no account is active, and OptionError where ``today`` has another analysis.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> model = ls.ChurnModel(estimator="logistic").fit(ls.build_panel(tables))
    >>> ls.score_accounts(model, tables).frame["risk"].is_monotonic_decreasing
    True
    """
    if today is not None:
        refuse_other_analysis(model.analysis_, today.analysis, "today=")
    tables = tables if as_of is None else tables.as_of(as_of)
    feeds = find_feeds(model, tables)
    tables = without_late_days(tables, feeds)
    if today is None or today.tables is not tables or today.analysis != model.analysis_:
        snapshot = build_snapshot(tables, model.analysis_, progress=progress)
        today = AsOfContext(tables, model.analysis_, snapshot)
    panel = hold_late(today.snapshot, tables, feeds)
    rows = _active(panel)
    if effects is None:
        effects = proven_effects(tables, model.analysis_, today)
    return _scores(model, panel, rows, capacity, effects, feeds, holdout)


@checked
def score_panel(
    model: ChurnModel,
    panel: Panel,
    *,
    capacity: float | None = None,
    holdout: float | None = None,
    effects: Mapping[str, Estimate] | None = None,
) -> Scores:
    """Score the rows of a panel that stand on its as_of date, as `score_accounts` does.

    ``capacity`` and ``holdout`` are as there; ``effects`` are told with the next step, if any are
    given. Feeds that are late are not looked for: the panel is taken as it is. Raises ModelError
    where it lacks what the model reads, or no account is active, and OptionError where it is a
    sample of the rows or has another success analysis than the model.
    """
    panel.refuse_sample("a scoring")
    refuse_other_analysis(model.analysis_, panel.analysis, "the panel")
    return _scores(model, panel, _active(panel), capacity, effects or {}, (), holdout)


def _active(panel: Panel) -> pd.DataFrame:
    """Return the rows to score; raises ModelError where there are none."""
    rows = panel.current()
    rows = rows[~rows["notice_given"]]
    if not len(rows):
        raise ModelError(f"no account is active on {panel.as_of_date}", "Choose another as_of")
    return rows


def _scores(
    model: ChurnModel,
    panel: Panel,
    rows: pd.DataFrame,
    capacity: float | None,
    effects: Mapping[str, Estimate],
    feeds: tuple[Feed, ...],
    holdout: float | None = None,
) -> Scores:
    given_notice = len(panel.current()) - len(rows)
    rows = with_unknown(rows, unknown_indicators(model, feeds))
    share = panel.project.capacity if capacity is None else capacity
    frame = score_rows(model, rows, panel.analysis.processes, share, effects)
    held = panel.project.holdout if holdout is None else holdout
    if held:
        drawn = hold_out(frame["account_id"], held, panel.project.holdout_seed)
        frame.insert(list(frame.columns).index("alert") + 1, HELD_OUT, drawn)
    return Scores(
        frame,
        panel.as_of_date,
        int(model.hazards_.ends[-1]),
        model.version_,
        given_notice,
        model.features_.unseen(rows),
        feeds,
        share,
        model.typical_risk(compared_with(rows)),
        effects,
        model.recipe,
        _clipped_accounts(model, rows),
    )


def _clipped_accounts(model: ChurnModel, rows: pd.DataFrame) -> dict[str, int]:
    """Count the rows with a value beyond those of the fit, by indicator, the most first."""
    counts = model.features_.clipped(rows).sum(axis=0)
    named = zip(model.features_.names, counts.tolist(), strict=True)
    return dict(sorted((one for one in named if one[1]), key=lambda one: (-one[1], one[0])))


def proven_effects(
    tables: Tables, analysis: SuccessAnalysis, today: AsOfContext | None = None
) -> dict[str, Estimate]:
    """Return the hazard ratio of each process that is proven: those who had it ``LAG`` before.

    Adopted against not, day by day until the end was known, adjusted for the attributes that have
    no dated changes. It is proven where the 99 % interval lies below 1, at ``LAG`` and at
    each of ``OTHER_LAGS``: customers who have decided to leave stop doing things, and where no
    notice is recorded, nothing else says since when.
    """
    shared, dated = AsOfContext.of(tables, analysis, today), set()
    if "account_changes" in tables.names:
        dated = set(tables.frame("account_changes")["attribute"])
    fixed = [name for name in tables.attributes if name not in dated]

    def found(name: str, lag: Duration | None) -> Estimate | None:
        return process_effect(tables, analysis, name, adjust=fixed, lag=lag, today=shared)

    proven = {}
    for name in [process.name for process in analysis.processes]:
        effect = found(name, LAG)
        if effect and _proven(effect) and all(_proven(found(name, lag)) for lag in OTHER_LAGS):
            proven[name] = effect
    return proven


def _proven(effect: Estimate | None) -> bool:
    if effect is None:
        return False
    # What is told of each process, every week, is asked more than what is looked at once.
    return effect.at(PROVEN_AT).high < 1


def score_rows(
    model: ChurnModel,
    rows: pd.DataFrame,
    processes: tuple[Process, ...],
    capacity: float,
    effects: Mapping[str, Estimate],
) -> pd.DataFrame:
    """Return the scored panel rows, the riskiest first; equal risks in the order of account_id."""
    frame = _forecast(model, rows)
    arr = rows["arr"].to_numpy(dtype=float, na_value=np.nan)
    frame["expected_arr_loss"] = frame["risk"] * arr
    alerts = max(1, round(capacity * len(frame)))
    explained = min(max(alerts, MIN_EXPLAINED), MAX_EXPLAINED)
    riskiest = np.lexsort((frame["account_id"].to_numpy(dtype=str), -frame["risk"]))
    for rank, texts in enumerate(_reasons(model, rows, np.sort(riskiest[:explained])), start=1):
        frame[f"reason_{rank}"] = texts
    beyond = model.features_.clipped(rows)
    frame[CLIPPED], frame[CLIPPED_INDICATORS] = beyond.sum(axis=1), _named(model, beyond)
    frame["open_processes"], frame["next_step"] = _steps(rows, processes, effects)
    frame["model_version"] = model.version_
    frame[HINDSIGHT] = in_hindsight(frame["snapshot_on"], model.trained_through_)
    frame = frame.iloc[riskiest].reset_index(drop=True)
    frame["alert"] = np.arange(len(frame)) < alerts
    return frame[_columns(frame)]


def _named(model: ChurnModel, beyond: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the names of the indicators that are marked in each row, as text."""
    names = np.array(model.features_.names, dtype=object)
    texts = np.full(len(beyond), "", dtype=object)
    for row in np.flatnonzero(beyond.any(axis=1)):
        texts[row] = "; ".join(names[beyond[row]])
    return texts


def _forecast(model: ChurnModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the forecast of all rows; a million of them at once would not fit into memory."""
    import pandas as pd

    parts = range(0, len(rows), ROWS_AT_ONCE)
    forecasts = [model.predict(rows.iloc[at : at + ROWS_AT_ONCE]).to_frame() for at in parts]
    return pd.concat(forecasts, ignore_index=True)


def _columns(frame: pd.DataFrame) -> list[str]:
    last = [CLIPPED, CLIPPED_INDICATORS, "open_processes", "next_step", "model_version", HINDSIGHT]
    reasons = [f"reason_{rank}" for rank in range(1, REASONS + 1)]
    middle = ["expected_arr_loss", "alert", *reasons]
    first = [c for c in frame.columns if c not in {*last, *middle}]
    return [*first, *middle, *last]


def _reasons(
    model: ChurnModel, rows: pd.DataFrame, explained: np.ndarray[Any, Any]
) -> list[np.ndarray[Any, Any]]:
    """Return the subjects that raise each explained account's risk most, as text, by rank."""
    others = compared_with(rows)
    told_rows = rows.iloc[explained]
    shares = model.reasons(told_rows, against=others)
    raised = shares.to_numpy()
    order = np.argsort(-raised, axis=1, kind="stable")[:, :REASONS]
    reasons = [tell_subject(model, told_rows, others, subject) for subject in shares.columns]
    ranked = [np.full(len(rows), "", dtype=object) for _ in range(REASONS)]
    for number, row in enumerate(explained):
        for rank, column in enumerate(order[number]):
            if raised[number, column] >= MIN_PART:
                ranked[rank][row] = f"{shares.columns[column]}: {reasons[column][number]}"
    return ranked


def open_steps(
    row: Mapping[Any, Any], processes: tuple[Process, ...], effects: Mapping[str, Estimate]
) -> list[tuple[str, str]]:
    """Return one row's open processes with what to do about each, the first to do first."""
    import pandas as pd

    rows = pd.DataFrame([dict(row)])
    steps = [
        step for process in processes for step in _open(rows, process, effects.get(process.name))[0]
    ]
    return [(what, advice) for *_, what, advice in sorted(steps)]


def _steps(
    rows: pd.DataFrame, processes: tuple[Process, ...], effects: Mapping[str, Estimate]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return each row's open processes, and what to do first.

    Those with a proven effect come first, and it is told; then overdue ones before lapsed before
    pending, and of several in one state the one that has waited longest.
    """
    import pandas as pd

    opened = [_open(rows, process, effects.get(process.name)) for process in processes]
    every = sorted({step for steps, _ in opened for step in steps})
    rank = {step: place for place, step in enumerate(every)}
    none = len(every)
    ranks = [np.array([*(rank[step] for step in steps), none])[place] for steps, place in opened]
    in_order = np.sort(np.column_stack([*ranks, np.full(len(rows), none)]), axis=1)
    # Rows with the same processes open, in the same order, share one text.
    names = [*(what for *_, what, _ in every), ""]
    label = pd.factorize(np.array(names, dtype=object))[0]
    alike = np.zeros(len(rows), dtype=np.int64)
    for column in in_order.T:
        alike = pd.factorize(alike * (label.max() + 1) + label[column])[0]
    first = np.unique(alike, return_index=True)[1]
    texts = ["; ".join(names[place] for place in in_order[row] if place != none) for row in first]
    advice = np.array([*(step[4] for step in every), ""], dtype=object)
    return np.array(texts, dtype=object)[alike], advice[in_order[:, 0]]


def _open(
    rows: pd.DataFrame, process: Process, effect: Estimate | None
) -> tuple[list[_Step], np.ndarray[Any, Any]]:
    """Return the steps of a process where it is open, and each row's place among them, else -1."""
    import pandas as pd

    states = rows[f"{process.name}_state"].to_numpy(dtype=object)
    state = pd.Index(OPEN).get_indexer(pd.Index(states))
    days = rows[f"{process.name}_days_in_state"].to_numpy(dtype=float, na_value=np.nan)
    dates = rows["snapshot_on"].to_numpy().astype("datetime64[D]")
    place = np.full(len(rows), -1)
    is_open = np.flatnonzero(state >= 0)
    waited = days[is_open].astype(np.int64)
    key = (dates[is_open].astype(np.int64) * MAX_DAYS + waited) * len(OPEN) + state[is_open]
    place[is_open], _ = pd.factorize(key)
    first = is_open[np.unique(place[is_open], return_index=True)[1]]
    steps = [
        _step(process, states[row], int(days[row]), dates[row].item(), effect) for row in first
    ]
    return steps, place


def _step(process: Process, state: str, days: int, day: date, effect: Estimate | None) -> _Step:
    advice = _advice(process, state, day - timedelta(days=days))
    if effect is not None:
        advice += f"; {effect_text(effect)}"
    return effect is None, OPEN.index(state), -days, f"{process.name} ({state})", advice


def effect_text(effect: Estimate) -> str:
    """Return what is proven of those that practise a process, as it is told everywhere."""
    return (
        f"accounts that practise it leave {effect.estimate:.2f} times as often"
        f" ({effect.low:.2f} to {effect.high:.2f}), {days_in(LAG)} days later"
    )


def _advice(process: Process, state: str, since: date) -> str:
    if state == "overdue":
        return f"start {process.name}: it was due on {since}"
    if state == "lapsed":
        return f"resume {process.name}: it lapsed on {since}"
    if process.adopt_by is None:
        return f"start {process.name}"
    return f"adopt {process.name} by {since + timedelta(days=process.adopt_by)}"


def write_scores(scores: Scores, path: str | Path, *, force: bool = False) -> None:
    """Write the scores as CSV or Parquet, whole or not at all, by the ending of ``path``.

    The CSV is for people: a text that a spreadsheet would take for a formula gets a ``'`` before
    it. Raises OptionError for another ending, where the folder is not there, or where a file is
    that holds no scores (``force`` replaces it), and WriteError where the disk refuses.
    """
    check_ending(path)
    with whole_file(path, SCORES, force=force) as part:
        write_rows(scores.frame, part, Path(path).suffix)


def check_ending(path: str | Path) -> None:
    """Refuse a file that is neither CSV nor Parquet by its ending."""
    ending = Path(path).suffix
    if ending not in (".csv", ".parquet"):
        raise OptionError(f"{path} ends in {ending or 'nothing'}", "Write to .csv or .parquet")


def write_rows(frame: pd.DataFrame, path: Path, ending: str) -> None:
    """Write rows of scores to a file that is there, as CSV or Parquet."""
    if ending == ".parquet":
        frame.to_parquet(path, index=False)
        return
    # All texts in quotes: spreadsheets of some countries take a bare ; for the end of a cell.
    safe_frame(frame).to_csv(
        path,
        index=False,
        lineterminator="\n",
        date_format="%Y-%m-%d",
        quoting=csv.QUOTE_NONNUMERIC,
    )
