"""Scores: the accounts active on a day, who is likely to leave, why, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.cohorts import process_effect
from leadsignal.errors import ModelError, OptionError
from leadsignal.panel import Panel, build_snapshot
from leadsignal.writing import whole_file

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.cohorts.numbers import Number
    from leadsignal.model import ChurnModel
    from leadsignal.success import Process, SuccessAnalysis
    from leadsignal.tables import Tables

REASONS = 3
LEAST_PART = 0.05
"""What raises the log-odds by less is no reason."""

ROWS_AT_ONCE = 100_000

MOST_COMPARED = 100_000
"""What is usual is learned from so many accounts at most, taken evenly."""

MOST_EXPLAINED = 5_000
"""Reasons are given for so many accounts, the riskiest; the others are fine without."""


@dataclass(frozen=True, repr=False, eq=False)
class Scores:
    """One row an active account, the riskiest first.

    ``notice_given`` counts the accounts left out because their end is already known;
    ``unseen`` the values of categories that the model had not seen, by indicator.
    """

    frame: pd.DataFrame
    as_of_date: date
    horizon: int
    model_version: str
    notice_given: int
    unseen: dict[str, int]

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
        for _, row in self.frame.head(5).iterrows():
            lines.append(f"  {row['account_id']}  {row['risk']:.0%}  {row['reason_1']}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        shown = self.frame.head(10)
        head = escape(repr(self).splitlines()[0])
        return f"<p>{head}</p>{shown.to_html(index=False, float_format='{:.3f}'.format)}"

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
            "model_version": self.model_version,
        }


def score_accounts(
    model: ChurnModel,
    tables: Tables,
    *,
    as_of: date | str | None = None,
    capacity: float | None = None,
    effects: Mapping[str, Number] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score the accounts active on ``as_of`` (default: the tables') that have not given notice.

    ``capacity`` is the share of accounts to alert (default: the project's). ``effects`` are the
    proven effects of processes, told with the next step (default: `proven_effects` of the
    tables). Raises ModelError where the tables lack what the model reads, or no account is active.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> model = ls.ChurnModel(estimator="logistic").fit(ls.build_panel(tables))
    >>> ls.score_accounts(model, tables).frame["risk"].is_monotonic_decreasing
    True
    """
    tables = tables if as_of is None else tables.as_of(as_of)
    panel = build_snapshot(tables, model.analysis_, progress=progress)
    if effects is None:
        effects = proven_effects(tables, model.analysis_)
    return score_panel(model, panel, capacity=capacity, effects=effects)


def score_panel(
    model: ChurnModel,
    panel: Panel,
    *,
    capacity: float | None = None,
    effects: Mapping[str, Number] | None = None,
) -> Scores:
    """Score the rows of a panel that stand on its as_of date, as `score_accounts` does.

    ``effects`` are told with the next step, if any are given. Raises ModelError where the panel
    lacks what the model reads, or no account is active.
    """
    current = panel.current()
    rows = current[~current["notice_given"]]
    if not len(rows):
        raise ModelError(f"no account is active on {panel.as_of_date}", "Choose another as_of")
    frame = _scored(model, panel, rows, effects or {})
    share = panel.project.capacity if capacity is None else capacity
    frame["alert"] = np.arange(len(frame)) < max(1, round(share * len(frame)))
    return Scores(
        frame[_columns(frame)],
        panel.as_of_date,
        int(model.hazards_.ends[-1]),
        model.version_,
        len(current) - len(rows),
        model.features_.unseen(rows),
    )


def proven_effects(tables: Tables, analysis: SuccessAnalysis) -> dict[str, Number]:
    """Return the corrected hazard ratio of each process whose interval lies below 1.

    Adopted against not, day by day, adjusted for the attributes that have no dated changes.
    """
    dated = set()
    if "account_changes" in tables.names:
        dated = set(tables.frame("account_changes")["attribute"])
    fixed = [name for name in tables.attributes if name not in dated]
    effects = {
        process.name: process_effect(tables, analysis, process.name, adjust=fixed)
        for process in analysis.processes
    }
    return {
        name: effect
        for name, effect in effects.items()
        if effect is not None and effect.excludes(1.0) and effect.estimate < 1
    }


def _scored(
    model: ChurnModel, panel: Panel, rows: pd.DataFrame, effects: Mapping[str, Number]
) -> pd.DataFrame:
    """Return the scored rows, the riskiest first; equal risks in the order of account_id."""
    frame = _forecast(model, rows)
    arr = rows["arr"].to_numpy(dtype=float, na_value=np.nan)
    frame["expected_arr_loss"] = frame["risk"] * arr
    riskiest = np.argsort(-frame["risk"].to_numpy(), kind="stable")[:MOST_EXPLAINED]
    for rank, texts in enumerate(_reasons(model, rows, np.sort(riskiest)), start=1):
        frame[f"reason_{rank}"] = texts
    processes = panel.analysis.processes
    frame["open_processes"], frame["next_step"] = _told_steps(rows, processes, effects)
    frame["model_version"] = model.version_
    return frame.sort_values(["risk", "account_id"], ascending=[False, True], ignore_index=True)


def _forecast(model: ChurnModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the forecast of all rows; a million of them at once would not fit into memory."""
    import pandas as pd

    parts = range(0, len(rows), ROWS_AT_ONCE)
    forecasts = [model.predict(rows.iloc[at : at + ROWS_AT_ONCE]).to_frame() for at in parts]
    return pd.concat(forecasts, ignore_index=True)


def _columns(frame: pd.DataFrame) -> list[str]:
    last = ["open_processes", "next_step", "model_version"]
    reasons = [f"reason_{rank}" for rank in range(1, REASONS + 1)]
    middle = ["expected_arr_loss", "alert", *reasons]
    first = [c for c in frame.columns if c not in {*last, *middle}]
    return [*first, *middle, *last]


def _reasons(
    model: ChurnModel, rows: pd.DataFrame, explained: np.ndarray[Any, Any]
) -> list[list[str]]:
    """Return the subjects that raise each explained account's risk most, as text, by rank."""
    usual = rows.iloc[:: -(-len(rows) // MOST_COMPARED)]
    told_of = rows.iloc[explained]
    shares = model.reasons(told_of, against=usual)
    raised = shares.to_numpy()
    order = np.argsort(-raised, axis=1, kind="stable")[:, :REASONS]
    told = {subject: _telling(model, told_of, usual, subject) for subject in shares.columns}
    ranked = [[""] * len(rows) for _ in range(REASONS)]
    for number, row in enumerate(explained):
        for rank, column in enumerate(order[number]):
            if raised[number, column] >= LEAST_PART:
                subject = shares.columns[column]
                ranked[rank][row] = f"{subject}: {told[subject][number]}"
    return ranked


def _telling(model: ChurnModel, rows: pd.DataFrame, usual: pd.DataFrame, subject: str) -> list[str]:
    """Return, for each row, the subject's indicator that differs most from the usual accounts."""
    names = [name for name in model.features_.names if model.subject(name) == subject]
    distance = np.column_stack([_distance(model, rows[name], usual[name]) for name in names])
    return [
        _shown(rows.iloc[row][names[column]], names[column])
        for row, column in enumerate(distance.argmax(axis=1))
    ]


def _distance(
    model: ChurnModel, values: pd.Series[Any], usual: pd.Series[Any]
) -> np.ndarray[Any, Any]:
    """Return how unusual each value is: 1 minus the share of values like it."""
    if values.name in model.features_.levels:
        shares = usual.value_counts(normalize=True, dropna=False)
        return np.asarray(1 - values.map(shares).fillna(1).to_numpy(dtype=float))
    own = values.to_numpy(dtype=float, na_value=np.nan)
    known = usual.to_numpy(dtype=float, na_value=np.nan)
    missing = float(np.isnan(known).mean())
    known = np.sort(known[~np.isnan(known)])
    below, up_to = np.searchsorted(known, own), np.searchsorted(known, own, side="right")
    ranks = (below + up_to + 1) / 2 / max(len(known), 1)
    return np.where(np.isnan(own), 1 - missing, np.abs(2 * ranks - 1))


def _shown(value: Any, name: str) -> str:
    if value is None or value != value:
        return f"{name} missing"
    return f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}"


def _told_steps(
    rows: pd.DataFrame, processes: tuple[Process, ...], effects: Mapping[str, Number]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return each row's open processes and its next step; rows alike in these are told alike."""
    states = [f"{p.name}_{what}" for p in processes for what in ("state", "days_in_state")]
    names = ["snapshot_on", *states]
    kind = rows.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    first = rows[names].iloc[np.unique(kind, return_index=True)[1]]
    told = [open_steps(row, processes, effects) for row in first.to_dict("records")]
    open_ones = ["; ".join(process for process, _ in step) for step in told]
    following = [step[0][1] if step else "" for step in told]
    return np.array(open_ones, dtype=object)[kind], np.array(following, dtype=object)[kind]


def open_steps(
    row: Mapping[Any, Any], processes: tuple[Process, ...], effects: Mapping[str, Number]
) -> list[tuple[str, str]]:
    """Return open processes with what to do about each.

    Those with a proven effect come first, and it is told; then overdue ones before lapsed before
    pending, and of several in one state the one that has waited longest.
    """
    told = []
    for process in processes:
        state, days = row[f"{process.name}_state"], row[f"{process.name}_days_in_state"]
        if state not in ("overdue", "lapsed", "pending"):
            continue
        since = row["snapshot_on"].date() - timedelta(days=int(days))
        rank = ("overdue", "lapsed", "pending").index(state)
        advice, effect = _advice(process, state, since), effects.get(process.name)
        if effect is not None:
            advice += (
                f"; accounts that practise it leave {effect.estimate:.2f} times as often"
                f" ({effect.low:.2f} to {effect.high:.2f})"
            )
        told.append((effect is None, rank, -days, f"{process.name} ({state})", advice))
    return [(what, step) for *_, what, step in sorted(told)]


def _advice(process: Process, state: str, since: date) -> str:
    if state == "overdue":
        return f"start {process.name}: it was due on {since}"
    if state == "lapsed":
        return f"resume {process.name}: it lapsed on {since}"
    if process.adopt_by is None:
        return f"start {process.name}"
    return f"adopt {process.name} by {since + timedelta(days=process.adopt_by)}"


def write_scores(scores: Scores, path: str | Path) -> None:
    """Write the scores as CSV or Parquet, whole or not at all, by the ending of ``path``.

    Raises OptionError for another ending, or where the folder is not there.
    """
    ending = Path(path).suffix
    if ending not in (".csv", ".parquet"):
        raise OptionError(f"{path} ends in {ending or 'nothing'}", "Write to .csv or .parquet")
    with whole_file(path) as part:
        if ending == ".csv":
            scores.frame.to_csv(part, index=False, lineterminator="\n", date_format="%Y-%m-%d")
        else:
            scores.frame.to_parquet(part, index=False)
