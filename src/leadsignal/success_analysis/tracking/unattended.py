"""Unattended accounts: without a plan, results or a sponsor, or lost after a handoff."""

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
from leadsignal.phrases import share_text
from leadsignal.picture_style import COLOURS, LABEL, axes_of, write_title
from leadsignal.results import Result
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


NO_PLAN, NOT_MEASURED = "no plan", "nobody measuring"
NO_SPONSOR, LOST = "no sponsor contact", "handed off and not seen since"
REASONS = (NO_PLAN, NOT_MEASURED, NO_SPONSOR, LOST)
RECENT = 90
"""Number of days within which there must be a result, and a contact with the sponsor."""


@dataclass(frozen=True, repr=False, eq=False)
class UnattendedAccounts(Result):
    """Active accounts with at least one reason, those with most reasons first, then by revenue.

    ``frame`` has account_id, started_on, arr, ``count`` of reasons, ``reasons`` as text, and one
    column per reason: True, False, or missing if unknown. ``active`` is the number of active
    accounts; ``checked`` names the reasons that can be checked with these tables and this analysis.
    """

    frame: pd.DataFrame
    active: int
    checked: tuple[str, ...]
    as_of_date: date

    def counts(self) -> dict[str, int]:
        """Return the number of accounts with each reason."""
        return {reason: int(self.frame[reason].fillna(False).sum()) for reason in self.checked}

    def to_dict(self) -> dict[str, Any]:
        """Return counts and rows, ready for JSON."""
        return {
            "as_of": self.as_of_date.isoformat(),
            "active": self.active,
            "red": len(self.frame),
            "checked": list(self.checked),
            "reasons": self.counts(),
            "accounts": json_rows(self.frame),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the number of active accounts with each reason."""
        axes = axes_of(ax, (7, 2.8))
        counts = dict(reversed(self.counts().items()))
        bars = axes.barh(list(counts), list(counts.values()), color=COLOURS[1])
        shares = [f"{n:,} ({share_text(n / max(self.active, 1))})" for n in counts.values()]
        axes.bar_label(bars, labels=shares, padding=4, fontsize=LABEL)
        axes.set_xlim(0, max([*counts.values(), 1]) * 1.25)
        write_title(axes, f"Unattended accounts, of {self.active:,} active")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return axes

    def __repr__(self) -> str:
        text = ", ".join(f"{count:,} {reason}" for reason, count in self.counts().items())
        lines = [f"{len(self.frame):,} of {self.active:,} active accounts are unattended: {text}"]
        lines += [f"  {row.account_id}: {row.reasons}" for row in self.frame.head(5).itertuples()]
        return "\n".join(lines)

    def _notebook_table(self) -> pd.DataFrame:
        return self.frame[["account_id", "started_on", "arr", "reasons"]]


@checked
def unattended_accounts(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    grace: Duration = "30d",
    context: AsOfContext | None = None,
) -> UnattendedAccounts:
    """Return the active accounts that are unattended, each with its reasons.

    *No plan*: no plan is open. *Nobody measuring*: no result of the success metric in 90 days. *No
    sponsor contact*: no sponsor event in 90 days. *Handed off and not seen since*: no sponsor or
    diary event after the last handoff (no behaviour in 30 days if neither is tracked). The last two
    need ``[tracking]`` in the analysis. Accounts that have given notice are left out.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the behaviours of ``[tracking]`` and the success metrics.
    grace : Duration, default "30d"
        Minimum age of an account, and minimum time since a handoff, to be listed.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    UnattendedAccounts
        Accounts with at least one reason, those with most reasons first.

    Raises
    ------
    OptionError
        If none of the reasons can be checked with these tables.

    Examples
    --------
    >>> import leadsignal as ls
    >>> folder = ls.sample_folder()
    >>> tables, analysis = ls.read_tables(folder), ls.read_success_analysis(folder)
    >>> unattended_accounts(tables, analysis).checked
    ('no plan', 'nobody measuring', 'no sponsor contact')
    """
    wait = days_in(grace)
    panel = AsOfContext.of(tables, analysis, context).snapshot
    rows = panel.frame[~panel.frame["notice_given"]].reset_index(drop=True)
    listed = _reasons(rows, wait).items()
    found = {reason: applies for reason, applies in listed if applies is not None}
    if not found:
        raise OptionError(
            "the tables allow none of these reasons to be checked: " + ", ".join(REASONS),
            "Add plans or results, or name sponsor and handoff behaviours in [tracking]",
        )
    old = rows["start"] >= wait
    holds = {name: (on & old).mask(on.isna()).astype("boolean") for name, on in found.items()}
    is_red = pd.DataFrame(holds).fillna(False)
    frame = pd.DataFrame(
        {
            "account_id": rows["account_id"],
            "started_on": rows["snapshot_on"] - pd.to_timedelta(rows["start"], unit="D"),
            "arr": rows["arr"],
            "count": is_red.sum(axis=1),
            "reasons": [", ".join(r for r in found if row[r]) for row in is_red.to_dict("records")],
        }
    ).join(pd.DataFrame(holds))
    frame = frame[frame["count"] > 0].sort_values(
        ["count", "arr", "account_id"], ascending=[False, False, True], ignore_index=True
    )
    return UnattendedAccounts(frame, len(rows), tuple(found), tables.as_of_date)


def _reasons(rows: pd.DataFrame, wait: int) -> Mapping[str, pd.Series[Any] | None]:
    """Return, by reason, whether it holds (missing: unknown); None if it cannot be checked."""
    return {
        NO_PLAN: _is_zero(rows, "plans_open"),
        NOT_MEASURED: _is_zero(rows, f"results_{RECENT}d"),
        NO_SPONSOR: _is_zero(rows, f"sponsor_events_{RECENT}d"),
        LOST: _lost(rows, wait),
    }


def _is_zero(rows: pd.DataFrame, name: str) -> pd.Series[Any] | None:
    if name not in rows:
        return None
    return (rows[name] == 0).astype("boolean").mask(rows[name].isna())


def _lost(rows: pd.DataFrame, wait: int) -> pd.Series[Any] | None:
    """Whether the last handoff was at least ``wait`` days ago and nobody was seen since."""
    if "handoff_days_since" not in rows:
        return None
    handed = rows["handoff_days_since"].astype(float)
    kinds = [kind for kind in ("sponsor", "diary") if f"{kind}_days_since" in rows]
    if kinds:
        seen = rows[[f"{kind}_days_since" for kind in kinds]].astype(float).min(axis=1)
        quiet = seen.fillna(np.inf) >= handed
    else:
        quiet = rows["activity_events_30d"].astype(float) == 0
    return ((handed >= wait) & quiet).astype("boolean")
