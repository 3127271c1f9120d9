"""Selection of the most successful accounts by results relative to target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.arguments import checked
from leadsignal.as_of_context import AsOfContext
from leadsignal.config.success import SuccessAnalysis
from leadsignal.durations import Duration, days_in
from leadsignal.errors import OptionError
from leadsignal.files.records import json_rows
from leadsignal.indicators import Indicator
from leadsignal.results import Result
from leadsignal.success_analysis.criteria import CRITERIA, SelectionCriterion, compare_criterion
from leadsignal.success_analysis.plots import plot_criterion as draw_criterion
from leadsignal.success_analysis.plots import plot_successful
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TENTH = 0.1
COLUMNS = (
    "account_id", "customer_id", "metric", "value", "target", "higher_is_better", "measured_on",
    "results", "level", "mean_gap", "since", "days_on_target", "slope", "slope_low", "slope_high",
    "trend", "processes", "tenure_days", "score",
)  # fmt: skip


@dataclass(frozen=True, repr=False, eq=False)
class SuccessfulAccounts(Result):
    """The most successful accounts, best first, each with its evidence.

    ``frame`` has one row per chosen account: account_id, customer_id, metric, value and target of
    the latest result (``measured_on``); ``results``, the number of results in the last year, and
    ``level``, their mean distance to target (share of the target, positive is better); ``since``,
    the start of its current time on target, and ``days_on_target``; ``slope`` of the distance per
    90 days with its limits, and ``trend``; ``processes`` adopted; ``tenure_days``; ``score`` (0 to
    1). ``everyone`` has the same columns for all accounts with a current result, and why an account
    was not chosen (``left_out``). ``steps`` is the number of accounts left after each condition.
    ``criteria`` compare the selection with the happiest and the heaviest users.
    """

    frame: pd.DataFrame
    everyone: pd.DataFrame
    steps: Mapping[str, int]
    criteria: tuple[SelectionCriterion, ...]
    notes: tuple[str, ...]
    at_least: int
    as_of_date: date

    @property
    def accounts(self) -> tuple[str, ...]:
        """Ids of the chosen accounts, best first."""
        return tuple(self.frame["account_id"])

    def to_dict(self) -> dict[str, Any]:
        """Return the accounts, counts and comparisons, ready for JSON."""
        return {
            "as_of": self.as_of_date.isoformat(),
            "accounts": json_rows(self.frame),
            "steps": dict(self.steps),
            "criteria": [criterion.to_dict() for criterion in self.criteria],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        text = ", ".join(f"{count:,} {what}" for what, count in self.steps.items())
        lines = [f"The {len(self)} most successful accounts on {self.as_of_date} ({text}):"]
        for row in self.frame.head(10).to_dict("records"):
            lines.append(
                f"  {row['account_id']}: {row['metric'] or 'result'} {row['value']:g}, target"
                f" {row['target']:g}, on target since {row['since']:%Y-%m-%d}, {row['trend']}"
            )
        if len(self) > 10:
            lines.append(f"  … and {len(self) - 10} more")
        return "\n".join([*lines, *map(str, self.criteria), *self.notes])

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame[["account_id", "metric", "value", "target", "since", "trend"]]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot how far beyond target the chosen accounts are and since when; return the Axes."""
        return plot_successful(self.frame, self.as_of_date, ax)

    def plot_criterion(self, name: str = "happiest", ax: Axes | None = None) -> Axes:
        """Plot results against satisfaction or usage, one point per account; return the Axes."""
        found = [criterion for criterion in self.criteria if criterion.name == name]
        if not found:
            compared = ", ".join(criterion.name for criterion in self.criteria) or "none"
            raise OptionError(f"{name!r} was not compared", f"Compared here: {compared}")
        one = found[0]
        return draw_criterion(one.frame, one.name, one.miss, one.miss_all, ax)


@checked
def most_successful(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    at_least: int = 10,
    on_target_for: Duration = "90d",
    current: Duration = "120d",
    context: AsOfContext | None = None,
) -> SuccessfulAccounts:
    """Return the accounts that have been on target for a while and whose results are not falling.

    An active account that has not given notice qualifies if the mean of its last three results is
    on target, has been on target for ``on_target_for``, and the trend over the last year is not
    falling. Accounts are ranked by the mean of three ranks: mean distance to target over the last
    year, days on target, and trend. The best tenth of the accounts with a current result are
    chosen, and at least ``at_least`` if enough qualify. Satisfaction and usage are not considered.

    Parameters
    ----------
    tables : Tables
        Tables with results and targets.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the metrics and processes. Default: none.
    at_least : int, default 10
        Minimum number of accounts to choose, if enough qualify.
    on_target_for : Duration, default "90d"
        How long the mean of three results must have been on target.
    current : Duration, default "120d"
        Maximum age of the latest result.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    SuccessfulAccounts
        The chosen accounts, all accounts considered, and the counts at each step.

    Raises
    ------
    OptionError
        If the tables have no results with targets, or ``at_least`` is below 1.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    >>> len(ls.success_analysis.most_successful(tables, analysis)) >= 10
    True
    """
    if at_least < 1:
        raise OptionError(f"at_least is {at_least}; it must be 1 or more", "Choose 10 if you can")
    now = current_status(AsOfContext.of(tables, analysis, context), days_in(current))
    everyone, steps = now.frame, now.steps
    enough = days_in(on_target_for)
    reasons = {
        "below target": everyone["on_target"].ne(True),
        f"on target for less than {enough} days": ~(everyone["days_on_target"] >= enough),
        "falling": everyone["trend"].eq("falling"),
    }
    everyone["left_out"] = np.select(list(reasons.values()), list(reasons), default="")
    fit = everyone["left_out"].eq("")
    everyone["score"] = _score(everyone[fit]).reindex(everyone.index)
    steps["on target"] = int((~reasons["below target"]).sum())
    steps[f"for {enough} days, not falling"] = int(fit.sum())
    count = max(at_least, int(np.ceil(TENTH * len(everyone))))
    ranked = everyone.sort_values(["score", "account_id"], ascending=[False, True])
    frame = ranked[fit.reindex(ranked.index)].head(count).reset_index(drop=True)
    return SuccessfulAccounts(
        frame[list(COLUMNS)],
        everyone.reset_index(drop=True),
        steps,
        tuple(compare_criterion(everyone, name, at_least) for name in CRITERIA if name in everyone),
        _notes(tables, everyone, steps, len(frame), at_least),
        at_least,
        tables.as_of_date,
    )


@dataclass(frozen=True, eq=False)
class ResultStatus:
    """Active accounts with a current result, and how many were left after each of ``steps``.

    ``frame`` has the columns of ``standings``, the account's ``indicators`` on that day, the
    ``processes`` adopted, and the values of the other selection criteria, ``happiest`` and
    ``heaviest``.
    """

    frame: pd.DataFrame
    steps: dict[str, int]
    indicators: tuple[Indicator, ...]


def current_status(context: AsOfContext, current: int) -> ResultStatus:
    """Return the active accounts without notice whose result is no older than ``current`` days."""
    statuses, panel = context.standings, context.snapshot
    now = panel.frame
    here = now[~now["notice_given"]].set_index("account_id")
    steps = {"active": len(here)}
    own = statuses.drop(columns=statuses.columns.intersection(here.columns))
    both = own.join(here, how="inner")
    steps["with results against a target"] = len(both)
    both = both[both["days_old"] <= current]
    steps["with a current one"] = len(both)
    both = both.assign(**_others_choice(both))
    both["processes"] = _adopted(both, [process.name for process in context.analysis.processes])
    return ResultStatus(both.reset_index(), steps, panel.indicators)


def _adopted(now: pd.DataFrame, names: list[str]) -> pd.Series[Any]:
    """Return the names of the processes that each account has adopted, as tuples."""
    known = [name for name in names if f"{name}_state" in now]
    states = now[[f"{name}_state" for name in known]].to_numpy(dtype=object) == "adopted"
    listed = [tuple(name for name, yes in zip(known, row, strict=True) if yes) for row in states]
    return pd.Series(listed, index=now.index, dtype=object)


def _others_choice(now: pd.DataFrame) -> dict[str, Any]:
    """Return the values of the other selection criteria, satisfaction and usage."""
    choices = {}
    if "survey_score" in now:
        choices["happiest"] = now["survey_score"].where(now["survey_days_since"] <= 365)
    if "usage_amount" in now:
        share = now["usage_share_of_quarter"]
        amount = now["usage_amount"]
        # The share is undefined without usage in the quarter; otherwise a missing share is unknown.
        choices["heaviest"] = (amount / share).where(share > 0, amount.where(amount == 0))
    return choices


def _score(fit: pd.DataFrame) -> pd.Series[Any]:
    """Return the mean of three ranks between 0 and 1; an unknown trend gets a rank of 0.5."""
    ranks = [
        fit[column].rank(pct=True).fillna(0.5)
        for column in ("level", "days_on_target", "slope")
    ]  # fmt: skip
    return sum(ranks[1:], start=ranks[0]) / len(ranks)


def _notes(
    tables: Tables, everyone: pd.DataFrame, steps: Mapping[str, int], chosen: int, at_least: int
) -> tuple[str, ...]:
    notes = []
    if chosen < at_least:
        left = everyone["left_out"].value_counts()
        reasons = ", ".join(f"{n:,} {why}" for why, n in left.items() if why)
        notes.append(
            f"fewer than {at_least}: {steps['with a current one']:,} accounts have a current"
            f" result against a target{f' ({reasons})' if reasons else ''}; the list is not"
            " filled up with others"
        )
    if len(set(everyone["metric"])) > 1:
        notes.append(
            "accounts are measured by different metrics; each is compared with its own target"
        )
    if not any(everyone["processes"].map(len)) and len(everyone):
        notes.append("no account has adopted a process of the analysis, or there is none")
    notes += [f"there is no table {name}" for name in ("surveys", "usage")
              if name not in tables.names]  # fmt: skip
    return tuple(notes)
