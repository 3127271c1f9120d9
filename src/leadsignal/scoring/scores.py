"""Scores: which active accounts are likely to leave, why, and what to do next."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.accounts import (
    NAMED,
    PEOPLE,
    account_names,
    next_renewals,
    shown_name,
    with_names,
)
from leadsignal.arguments import checked
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.evidence import controlled_effect
from leadsignal.errors import ModelError, OptionError
from leadsignal.evaluation.backtest import doubt_of_expected, last_horizon, last_horizon_of_panel
from leadsignal.files.outputs import SCORES
from leadsignal.files.writing import atomic_write, json_fields, safe_frame
from leadsignal.formats import count_of
from leadsignal.ingestion.check_report import DataWarning, affecting, warning_lines
from leadsignal.model.explanation import compared_with
from leadsignal.model.provenance import Recipe, refuse_other_analysis
from leadsignal.panel import Panel, build_snapshot
from leadsignal.plots import risk_picture
from leadsignal.results import Result, text_table, to_html
from leadsignal.scoring.feeds import (
    HELD_OUT,
    HINDSIGHT,
    Feed,
    find_feeds,
    hold_late,
    hold_out,
    in_hindsight,
    unknown_indicators,
    with_unknown,
    without_late_days,
)
from leadsignal.scoring.reasons import (
    REASONS,
    AccountSteps,
    Reason,
    account_reasons,
    account_steps,
    reason_table,
    reason_texts,
)
from leadsignal.workers import log_warnings, once_for

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.indicators.declare import Indicator
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.stats import Estimate
    from leadsignal.tables import Tables

CLIPPED, CLIPPED_INDICATORS = "clipped", "clipped_indicators"
TEXTS = ("account_id", *NAMED, "open_processes", "next_step", "model_version", CLIPPED_INDICATORS,
         *(f"reason_{rank}" for rank in range(1, REASONS + 1)))  # fmt: skip
"""Columns of scores that contain text, even if it looks like a number."""
MIN_EXPLAINED, MAX_EXPLAINED = 1_000, 5_000
"""Minimum and maximum number of accounts with reasons, in order of risk. Up to the maximum, all
alerted accounts have them."""

NOTEBOOK_COLUMNS = ("owner", "arr", "next_renewal", "risk", "expected_arr_loss", "reason_1",
                    "next_step")  # fmt: skip
"""Columns shown in a notebook, after the account."""

ROWS_AT_ONCE = 100_000
"""Number of accounts per prediction batch."""


@dataclass(frozen=True, repr=False, eq=False)
class Scores(Result):
    """Scores of the active accounts, one row each, in descending order of risk.

    ``frame`` has the name, owner and currency of an account (if the tables have them), its ARR and
    its next renewal. ``reasons`` and ``steps`` hold, by account, the data behind the text columns
    ``reason_1`` to ``reason_3``, ``open_processes`` and ``next_step``. A typical account has no
    reasons; an account with a much lower risk is not in ``reasons``.

    ``capacity`` is the share of accounts to alert, ``typical_risk`` the risk of the typical account
    (`ChurnModel.typical_risk`), ``effects`` the effects shown with the next steps, by process, and
    ``recipe`` the settings of the model. ``hindsight``, also a column, says whether the model was
    trained on data from after the scored date.

    ``notice_given`` is the number of accounts left out because their end is already known.
    ``unseen`` lists, by indicator, the categories not in the training data. ``feeds`` are the
    tables that are missing, empty or late. ``clipped`` counts, by indicator, the accounts with a
    value outside the range of the training data, which is replaced by the nearest value in the
    range. The column ``clipped`` counts these indicators by account, and ``clipped_indicators``
    names them. ``warnings`` are warnings about the data, or about far more or fewer expected churns
    than there were in the last horizon.
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
    reasons: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)
    steps: AccountSteps = field(default_factory=lambda: AccountSteps(np.array([])))
    warnings: tuple[DataWarning, ...] = ()

    @property
    def alerts(self) -> int:
        """Number of alerted accounts."""
        return int(self.frame["alert"].sum())

    @property
    def hindsight(self) -> bool:
        """Whether the model was trained on data from after the scored date."""
        return bool(self.frame[HINDSIGHT].any())

    def __repr__(self) -> str:
        lines = [
            *warning_lines(self.warnings),
            f"Scores of {len(self.frame):,} active accounts on {self.as_of_date}:"
            f" {self.frame['risk'].sum():,.1f} churns expected within {self.horizon} days,"
            f" {self.alerts:,} alerts",
        ]
        if self.notice_given:
            lines.append(f"{self.notice_given:,} more have given notice and are not scored")
        if HELD_OUT in self.frame:
            lines.append(f"{self.frame[HELD_OUT].sum():,} are held out and must not be contacted")
        lines += [str(feed) for feed in self.feeds]
        if self.clipped:
            most = [f"{name} ({count:,})" for name, count in self.clipped.items()][:REASONS]
            lines += [
                "The nearest value is used for"
                f" {count_of(int((self.frame[CLIPPED] > 0).sum()), 'account')} with values outside"
                " the range of the training data.",
                f"  Most often: {', '.join(most)}",
            ]
        riskiest = self._notebook_table()[["account", "risk", "reason_1"]].head(10)
        lines.append(text_table(riskiest, indent="  "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = repr(self).splitlines()[: 1 + len(self.warnings)]
        return to_html("\n".join(head), self._notebook_table())

    def _notebook_table(self) -> pd.DataFrame:
        import pandas as pd

        frame = self.frame
        names = frame["name"] if "name" in frame else frame["account_id"]
        who = map(shown_name, frame["account_id"], names)
        shown = pd.DataFrame({"account": list(who)}, index=frame.index)
        shown = shown.join(frame[[name for name in NOTEBOOK_COLUMNS if name in frame]])
        if "next_step" in shown:
            steps = shown["next_step"].astype("string").fillna("")
            shown["next_step"] = steps.str.replace("_", " ")
        money = list(frame["currency"].dropna().unique()) if "currency" in frame else []
        if len(money) == 1:
            amounts = {"arr": "ARR", "expected_arr_loss": "expected loss of ARR"}
            shown = shown.rename(columns={a: f"{b}, {money[0]} a year" for a, b in amounts.items()})
        return shown

    def plot(self, ax: Axes | None = None, *, accounts: int = 12) -> Axes:
        """Plot the riskiest accounts with their risk and first reason.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.
        accounts : int, default 12
            Number of accounts plotted.

        Returns
        -------
        Axes
        """
        title = (
            f"{self.frame['risk'].sum():,.0f} of {len(self):,} accounts are expected to churn"
            f" within {self.horizon} days; {self.alerts:,} are alerted"
        )
        return risk_picture(self.head(accounts), self.horizon, self.typical_risk, title, ax)

    def reason_table(self) -> pd.DataFrame:
        """Return the reasons as a table, one row per account and reason.

        Returns
        -------
        pandas.DataFrame
            Columns ``account_id, rank, subject, indicator, value, unit, reference, direction,
            effect, group``; ``effect`` is in log-odds, ``reference`` the usual value on that day,
            and ``group`` the correlated behaviours, if the reason is a group of them.
        """
        return reason_table(self.reasons)

    def step_table(self) -> pd.DataFrame:
        """Return the next steps as a table, one row per account and open process.

        Returns
        -------
        pandas.DataFrame
            Columns ``account_id, rank, process, state, days_in_state, text, day, effect, low,
            high``; ``effect`` is the proven hazard ratio of the process with its interval.
        """
        return self.steps.table()

    def to_dict(self) -> dict[str, Any]:
        """Return a numeric summary of the scores, ready for JSON."""
        return {
            "accounts": len(self.frame),
            "as_of": self.as_of_date.isoformat(),
            "horizon_days": self.horizon,
            "alerts": self.alerts,
            "alerted": self.frame.loc[self.frame["alert"].astype(bool), "account_id"].tolist(),
            "expected_churns": float(self.frame["risk"].sum()),
            "expected_arr_loss": float(self.frame["expected_arr_loss"].sum()),
            "notice_given": self.notice_given,
            "unseen_categories": self.unseen,
            "accounts_clipped": int((self.frame[CLIPPED] > 0).sum()),
            "clipped": self.clipped,
            "held_out": int(self.frame[HELD_OUT].sum()) if HELD_OUT in self.frame else None,
            **json_fields(self, "feeds", "capacity", "typical_risk", "effects", "model_version"),
            **json_fields(self, "hindsight", "warnings"),
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
    panel: Panel | None = None,
    context: AsOfContext | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score the accounts active on ``as_of`` (default: the tables') that have not given notice.

    ``capacity`` is the share of accounts to alert (default: the project's). ``holdout`` is the
    share of customers, chosen at random, not to contact (default: the project's); if it is above 0,
    a column ``held_out`` marks their accounts. ``effects`` are the proven effects of processes,
    shown with the next step (default: `proven_effects` of the tables). A ``panel`` of these tables
    with the model's analysis avoids building its last rows again; a ``context`` also holds further
    intermediate results. Neither is used if tables are late. Raises ModelError if the tables lack
    what the model needs or no account is active, and OptionError if ``panel`` or ``context`` has
    another day or analysis.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> panel = ls.build_panel(tables)
    >>> model = ls.ChurnModel(estimator="logistic").fit(panel)
    >>> ls.score_accounts(model, tables, panel=panel).frame["risk"].is_monotonic_decreasing
    True
    """
    whole = _on_day(model, tables, as_of, panel, context)
    feeds = find_feeds(model, whole.tables)
    on_day, kept = whole, model.origin_.behaviors
    known = without_late_days(whole.tables, feeds)
    shared = known is whole.tables and (whole is context or whole.panel is not None)
    if not shared or kept not in (None, whole.snapshot.behaviors):
        counted = known if kept is None else known.with_behaviors(kept)
        built = build_snapshot(counted, model.analysis_, progress=progress)
        on_day = AsOfContext(known, model.analysis_, built)
    snapshot = hold_late(on_day.snapshot, on_day.tables, feeds)
    rows = _active(snapshot)
    if effects is None:
        effects = proven_effects(on_day.tables, model.analysis_, on_day)
    scores = _scores(model, snapshot, rows, capacity, effects, feeds, holdout)
    scores = replace(scores, frame=with_names(scores.frame, account_names(on_day.tables)))
    last = last_horizon(on_day.tables, scores.horizon)
    return _with_warnings(scores, on_day.tables.warnings, last)


def _on_day(
    model: ChurnModel,
    tables: Tables,
    as_of: date | str | None,
    panel: Panel | None,
    context: AsOfContext | None,
) -> AsOfContext:
    """Return the context of the day to score: the given one, if it is of these tables."""
    if context is not None:
        refuse_other_analysis(model.analysis_, context.analysis, "context=")
        if as_of is None and context.tables is tables:
            return context
        panel = None
    if panel is not None:
        refuse_other_analysis(model.analysis_, panel.analysis, "panel=")
    return AsOfContext.at(as_of, tables, model.analysis_, panel)


@checked
def score_panel(
    model: ChurnModel,
    panel: Panel,
    *,
    capacity: float | None = None,
    holdout: float | None = None,
    effects: Mapping[str, Estimate] | None = None,
) -> Scores:
    """Score the rows of a panel on its as_of date, as `score_accounts` does.

    ``capacity`` and ``holdout`` are as there; ``effects``, if given, are shown with the next step.
    The panel is used without a check for late feeds. Raises ModelError if it lacks what the model
    needs or no account is active, and OptionError if it is a sample of the rows or has another
    success analysis than the model.
    """
    panel.refuse_sample("a scoring")
    refuse_other_analysis(model.analysis_, panel.analysis, "the panel")
    scores = _scores(model, panel, _active(panel), capacity, effects or {}, (), holdout)
    last = last_horizon_of_panel(panel, scores.horizon)
    return _with_warnings(scores, panel.warnings, last)


def _with_warnings(
    scores: Scores, warnings: tuple[DataWarning, ...], last: tuple[int, int] | None
) -> Scores:
    expected = float(scores.frame["risk"].sum())
    doubt = doubt_of_expected(expected, len(scores.frame), last, scores.horizon)
    known = (*affecting(warnings, "score"), *doubt)
    log_warnings(f"scores of {scores.as_of_date}", (*scores.feeds, *known))
    return replace(scores, warnings=known)


def _active(panel: Panel) -> pd.DataFrame:
    """Return the rows to score; raises ModelError if there are none."""
    rows = panel.current()
    rows = rows[~rows["notice_given"]]
    if not len(rows):
        raise ModelError(f"no account is active on {panel.as_of_date}", "Choose another as_of date")
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
    steps = account_steps(rows, panel.analysis.processes, effects)
    declared = {indicator.name: indicator for indicator in panel.indicators}
    frame, reasons = score_rows(model, rows, share, steps, declared)
    holdout = panel.project.holdout if holdout is None else holdout
    if holdout:
        customers = frame["account_id"].map(rows.set_index("account_id")["customer_id"])
        held_out = hold_out(customers, holdout, panel.project.holdout_seed)
        frame.insert(list(frame.columns).index("alert") + 1, HELD_OUT, held_out)
    clipped = model.features_.clipped_counts(rows)
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
        dict(sorted(clipped.items(), key=lambda one: (-one[1], one[0]))),
        reasons,
        steps,
    )


def proven_effects(
    tables: Tables, analysis: SuccessAnalysis, context: AsOfContext | None = None
) -> dict[str, Estimate]:
    """Return the hazard ratio of each process with a proven effect.

    An effect is proven if it reaches the third rung of `weigh_evidence`: time-dependent until the
    end was known, adjusted for attributes without dated changes, at every lag up to 90 days, and
    stronger than for the control behaviours. The ratio is the one at 90 days, corrected for the
    bias of the controls.
    """
    shared = AsOfContext.of(tables, analysis, context)
    key = ("proven effects", analysis.to_toml())
    return dict(once_for(tables, key, partial(_proven_effects, shared, analysis)))


def _proven_effects(shared: AsOfContext, analysis: SuccessAnalysis) -> dict[str, Estimate]:
    proven = {}
    for process in analysis.processes:
        try:
            effect = controlled_effect(shared, f"process:{process.name}")
        except ModelError:
            continue
        if effect is not None and effect.high < 1:
            proven[process.name] = effect
    return proven


def score_rows(
    model: ChurnModel,
    rows: pd.DataFrame,
    capacity: float,
    steps: AccountSteps,
    indicators: Mapping[str, Indicator] | None = None,
) -> tuple[pd.DataFrame, Mapping[str, tuple[Reason, ...]]]:
    """Return the scores of panel rows, and the reasons of those that are explained.

    ``indicators`` are the declarations used to word the reasons. Rows are in descending order of
    risk, with ties in the order of account_id.
    """
    frame = row_scores(model, rows, steps)
    alerts = alerts_of(capacity, len(frame))
    riskiest = np.lexsort((frame["account_id"].to_numpy(dtype=str), -frame["risk"]))
    explained_rows = rows.iloc[np.sort(riskiest[: explained_of(alerts)])]
    reasons = account_reasons(model, explained_rows, compared_with(rows), indicators)
    worded = {name: reason_texts(listed) for name, listed in reasons.items()}
    for rank in range(REASONS):
        texts = {name: listed[rank] for name, listed in worded.items() if rank < len(listed)}
        shown = [texts.get(account, "") for account in frame["account_id"]]
        frame[f"reason_{rank + 1}"] = np.array(shown, dtype=object)
    frame = frame.iloc[riskiest].reset_index(drop=True)
    frame["alert"] = np.arange(len(frame)) < alerts
    return frame[score_columns(frame.columns)], reasons


def alerts_of(capacity: float, accounts: int) -> int:
    """Return the number of alerts: a share of the accounts, and at least one."""
    return max(1, round(capacity * accounts))


def explained_of(alerts: int) -> int:
    """Return the number of accounts with reasons."""
    return min(max(alerts, MIN_EXPLAINED), MAX_EXPLAINED)


def row_scores(model: ChurnModel, rows: pd.DataFrame, steps: AccountSteps) -> pd.DataFrame:
    """Return the part of the scores that depends on each row alone, in the order of the rows."""
    frame = _forecast(model, rows)
    arr = rows["arr"].to_numpy(dtype=float, na_value=np.nan)
    frame["arr"], frame["next_renewal"] = arr, next_renewals(rows).to_numpy()
    frame["expected_arr_loss"] = frame["risk"] * arr
    beyond = model.features_.clipped(rows)
    frame[CLIPPED], frame[CLIPPED_INDICATORS] = beyond.sum(axis=1), _named(model, beyond)
    frame["open_processes"], frame["next_step"] = steps.texts()
    frame["model_version"] = model.version_
    frame[HINDSIGHT] = in_hindsight(frame["snapshot_on"], model.trained_through_)
    return frame


def _named(model: ChurnModel, beyond: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the names of the indicators marked in each row, as text."""
    names = np.array(model.features_.names, dtype=object)
    texts = np.full(len(beyond), "", dtype=object)
    for row in np.flatnonzero(beyond.any(axis=1)):
        texts[row] = "; ".join(names[beyond[row]])
    return texts


def _forecast(model: ChurnModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Forecast all rows in batches; a million rows at once would not fit into memory."""
    import pandas as pd

    parts = range(0, len(rows), ROWS_AT_ONCE)
    forecasts = [model.predict(rows.iloc[at : at + ROWS_AT_ONCE]).to_frame() for at in parts]
    return pd.concat(forecasts, ignore_index=True)


def score_columns(
    columns: Iterable[str], named: Iterable[str] = (), *, holdout: bool = False
) -> list[str]:
    """Return the columns of scores in order, given those of `row_scores` and of names."""
    last = [CLIPPED, CLIPPED_INDICATORS, "open_processes", "next_step", "model_version", HINDSIGHT]
    reasons = [f"reason_{rank}" for rank in range(1, REASONS + 1)]
    middle = ["arr", "next_renewal", "expected_arr_loss", "alert", *[HELD_OUT] * holdout, *reasons]
    first = [c for c in columns if c not in {*last, *middle}]
    for name in named:
        place = first.index("snapshot_on") if name in PEOPLE else len(first)
        first.insert(place, name)
    return [*first, *middle, *last]


def write_scores(scores: Scores, path: str | Path, *, force: bool = False) -> None:
    """Write the scores as CSV or Parquet, atomically; the extension selects the format.

    In a CSV, text that a spreadsheet would run as a formula is prefixed with ``'``. Raises
    OptionError for another extension, if the folder does not exist, or if the file exists and holds
    no scores (``force`` replaces it), and WriteError if writing fails.
    """
    check_ending(path)
    with atomic_write(path, SCORES, force=force) as part:
        write_rows(scores.frame, part, Path(path).suffix)


def check_ending(path: str | Path) -> None:
    """Raise an error if the extension is neither that of CSV nor of Parquet."""
    ending = Path(path).suffix
    if ending not in (".csv", ".parquet"):
        raise OptionError(f"{path} ends in {ending or 'nothing'}", "Write to .csv or .parquet")


def write_rows(frame: pd.DataFrame, path: Path, ending: str) -> None:
    """Write rows of scores to an existing file, as CSV or Parquet."""
    if ending == ".parquet":
        frame.to_parquet(path, index=False)
        return
    write_csv(frame, path)


def write_csv(frame: pd.DataFrame, path: Path, float_format: str | None = None) -> None:
    """Write rows to an existing file as CSV for spreadsheets."""
    # Quote all text: in some countries, spreadsheets treat a bare ; as the end of a cell.
    safe_frame(frame).to_csv(
        path,
        index=False,
        lineterminator="\n",
        date_format="%Y-%m-%d",
        float_format=float_format,
        quoting=csv.QUOTE_NONNUMERIC,
    )
