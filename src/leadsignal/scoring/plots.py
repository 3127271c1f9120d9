"""Plot of scores: the riskiest accounts, and which of them are alerted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leadsignal.formats import (
    COLOURS,
    GREY,
    LABEL,
    SMALL,
    axes_of,
    percent_axis,
    share_text,
    write_title,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAX_REASON = 60
"""Maximum length of a reason, in characters."""


def risk_picture(
    scores: pd.DataFrame, horizon: int, typical: float | None, title: str, ax: Axes | None = None
) -> Axes:
    """Plot the risks of accounts in descending order, each with its value and first reason.

    ``scores`` are rows of `Scores`; ``typical`` is the risk of the typical account.
    """
    axes = axes_of(ax, (9.2, 1.5 + 0.27 * len(scores)))
    at, risk = np.arange(len(scores)), scores["risk"].to_numpy(dtype=float)
    alert = scores["alert"].to_numpy(dtype=bool)
    for chosen, colour, face, label in (
        (alert, COLOURS[1], COLOURS[1], "alert"),
        (~alert, GREY, "white", "no alert"),
    ):
        axes.hlines(at[chosen], 0, risk[chosen], color=colour, linewidth=1.6)
        if chosen.any():
            axes.plot(
                risk[chosen], at[chosen], "o", color=colour, markerfacecolor=face, label=label
            )
    if typical is not None:
        label = f"typical account, {share_text(typical)}"
        axes.axvline(typical, color=GREY, linestyle="--", linewidth=1, label=label, zorder=0)
    reasons = scores["reason_1"].fillna("").astype(str)
    for place, (value, reason) in enumerate(zip(risk, reasons, strict=True)):
        axes.annotate(
            f"{share_text(value)}  {_short(reason)}", (value, place), xytext=(8, 0),
            textcoords="offset points", va="center", fontsize=SMALL,
        )  # fmt: skip
    axes.set_yticks(at, _labels(scores), fontsize=LABEL)
    axes.set_ylim(len(scores) - 0.4, -0.6)
    # The reasons stand to the right of the risks, and need about as much room.
    axes.set_xlim(0, 2.1 * float(risk.max(initial=typical or 0.0)) or 1.0)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= min(1.0, 1.05 * risk.max())])
    axes.spines["bottom"].set_bounds(0, axes.get_xticks()[-1])
    percent_axis(axes.xaxis)
    axes.set_xlabel(f"risk of churn within {horizon} days, and its first reason", loc="left")
    write_title(axes, title, room=24)
    axes.legend(frameon=False, fontsize=LABEL, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return axes


def _labels(scores: pd.DataFrame) -> list[str]:
    """Return the names of accounts, or the id if there is no name."""
    names = scores["name"] if "name" in scores else scores["account_id"]
    named = zip(scores["account_id"].astype(str), names.astype(str), strict=True)
    return [name or account for account, name in named]


def _short(reason: str) -> str:
    """Return a reason with readable names, and without its comparison if it is too long."""
    words = reason.replace("_", " ")
    if len(words) > MAX_REASON:
        words = words.partition(", usually ")[0]
    return words if len(words) <= MAX_REASON else f"{words[: MAX_REASON - 1].rstrip()}…"
