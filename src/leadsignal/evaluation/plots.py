"""Pictures of the audit and the backtest: Axes in, Axes out; each has its numbers elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.config.toml_files import one_of
from leadsignal.errors import OptionError
from leadsignal.survival.plots import COLOURS, GREY, STYLES, axes_of, tidy

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from leadsignal.evaluation.audit import Audit
    from leadsignal.evaluation.backtest import Backtest

NAMED = 6
"""How many lines are named at their end; the others can be read from the frame."""


def audit_curves(audit: Audit, ax: Axes | None = None) -> Axes:
    """Draw the AUC by days before the end: called indicators in their family's colour."""
    axes = axes_of(ax, (9.2, 5.4))
    told = audit.frame[audit.frame["verdict"].isin(["leading", "lagging"])]
    families = list(dict.fromkeys(told["family"]))
    for name, curve in audit.curves.groupby("name", sort=False):
        if name not in set(told["name"]):
            axes.plot(curve["lead"], curve["auc"], color="#CCCCCC", linewidth=0.8, zorder=1)
    strongest = _strongest(told)
    ends = []
    for name in told["name"]:
        curve = audit.curves[audit.curves["name"] == name]
        family = curve["family"].iloc[0]
        colour = COLOURS[families.index(family) % len(COLOURS)]
        verdict = told.loc[told["name"] == name, "verdict"].iloc[0]
        style = "-" if verdict == "leading" else "--"
        axes.plot(curve["lead"], curve["auc"], color=colour, linestyle=style, linewidth=1.7)
        if name in strongest:
            axes.fill_between(
                curve["lead"], curve["low"], curve["high"], color=colour, alpha=0.13, linewidth=0
            )
            ends.append((float(curve["auc"].iloc[0]), str(name), colour))
    _name_lines(axes, ends)
    _audit_frame(axes, audit, families)
    return axes


def _strongest(told: pd.DataFrame) -> set[str]:
    """Return the strongest indicator of each family and verdict, a few in all."""
    far = (told["auc"].where(told["verdict"] == "leading", told["auc_last"]) - 0.5).abs()
    order = told.assign(far=far).sort_values("far", ascending=False)
    return set(order.drop_duplicates(["family", "verdict"])["name"].head(NAMED))


def _name_lines(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write names right of the lines, at least 0.022 apart."""
    height = -np.inf
    for auc, name, colour in sorted(ends):
        height = max(auc, height + 0.022)
        axes.annotate(
            name, (0, height), xytext=(6, 0), textcoords="offset points", color=colour,
            fontsize=8.5, va="center", annotation_clip=False,
        )  # fmt: skip


def _audit_frame(axes: Axes, audit: Audit, families: list[str]) -> None:
    from matplotlib.lines import Line2D

    axes.axhspan(0.47, 0.53, color=GREY, alpha=0.12, linewidth=0)
    axes.axvline(audit.warning_time, color=GREY, linestyle=":", linewidth=1.2)
    axes.annotate(
        f"warning time, {audit.warning_time} days", (audit.warning_time, 1), (-4, -4),
        xycoords=("data", "axes fraction"), textcoords="offset points", ha="right", va="top",
        fontsize=8.5, color=GREY,
    )  # fmt: skip
    counts = audit.frame["verdict"].value_counts()
    axes.set_title(
        f"What speaks before an end: of {len(audit.frame)} indicators "
        f"{counts.get('leading', 0)} lead, {counts.get('lagging', 0)} lag",
        loc="left", fontsize=11,
    )  # fmt: skip
    last = float(audit.curves["lead"].max())
    axes.set(
        xlim=(last, 0),
        xlabel="days before the end was known",
        ylabel="AUC against matched accounts\n(below 0.5: low values mark the end)",
    )
    handles = [
        Line2D([], [], color=COLOURS[n % len(COLOURS)], label=family)
        for n, family in enumerate(families)
    ]
    handles += [
        Line2D([], [], color="black", linestyle="-", label="leading"),
        Line2D([], [], color="black", linestyle="--", label="lagging"),
        Line2D([], [], color="#CCCCCC", label="neither, or undecided"),
    ]
    axes.legend(
        handles=handles, frameon=False, fontsize=8.5, ncols=5,
        loc="upper center", bbox_to_anchor=(0.5, -0.11),
    )  # fmt: skip
    tidy(axes)


def catch_by_method(backtest: Backtest, ax: Axes | None = None) -> Axes:
    """Draw the share of unexpected churners caught in time, by method, with 95 % intervals."""
    axes = axes_of(ax, (7.2, 0.9 + 0.45 * len(backtest.methods)))
    names = list(backtest.methods)
    share, low, high = (
        np.array([getattr(backtest.methods[name], backtest.headline + part) for name in names])
        for part in ("", "_low", "_high")
    )
    colours = [COLOURS[0] if backtest.beats_context(name) else GREY for name in names]
    y = np.arange(len(names))
    axes.barh(y, share, color=colours, alpha=0.85, height=0.62)
    axes.errorbar(
        share, y, xerr=np.maximum(np.vstack((share - low, high - share)), 0), fmt="none",
        ecolor="black", elinewidth=1.1,
    )  # fmt: skip
    for place, value in enumerate(share):
        axes.annotate(
            f"{value:.0%}", (high[place], place), (5, 0), textcoords="offset points",
            va="center", fontsize=9,
        )  # fmt: skip
    axes.set_yticks(y, names)
    axes.invert_yaxis()
    axes.set_xlim(0, min(1.0, 1.15 * float(np.nanmax(high)) + 0.02))
    axes.xaxis.set_major_formatter(_percent)
    whom = "unexpected churners" if backtest.counts["unexpected"] else "churners"
    axes.set_xlabel(
        f"{whom} alerted {backtest.warning_time} days before, {backtest.capacity:.0%} of accounts"
        " alerted\n(blue: more than context alone, beyond chance)"
    )
    axes.set_title("Caught in time, by what the list was made from", loc="left", fontsize=11)
    tidy(axes)
    return axes


def head_starts(backtest: Backtest, ax: Axes | None = None) -> Axes:
    """Draw, by method, the share of churners caught at least so many days before usage dropped."""
    axes = axes_of(ax, (7.2, 4.4))
    days = np.arange(0, backtest.horizon + 1)
    for place, name in enumerate(backtest.methods):
        mine = backtest.ends[backtest.ends["method"] == name]["head_start_days"].dropna()
        if not len(mine):
            continue
        share = [(mine.to_numpy() >= max(day, 1)).mean() for day in days]
        axes.plot(
            days, share, color=COLOURS[place % len(COLOURS)],
            linestyle=STYLES[place // len(COLOURS) % len(STYLES)], label=name, linewidth=1.8,
        )  # fmt: skip
    axes.set(
        xlim=(0, backtest.horizon),
        xlabel="days alerted before usage dropped (before the end was known, if it did not)",
        ylabel="share of churners",
    )
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_percent)
    axes.legend(frameon=False, ncols=2)
    axes.set_title("How long churners had been on the list", loc="left", fontsize=11)
    tidy(axes)
    return axes


def account_history(
    backtest: Backtest, account_id: str, method: str, ax: Axes | None = None
) -> Axes:
    """Draw one account's place on a method's list by snapshot, with alerts, drop and end."""
    if method not in backtest.methods:
        raise OptionError(f"{method!r} was not run", one_of(backtest.methods, method))
    place = backtest.alerts.groupby("snapshot_on")[f"{method}_risk"].rank(pct=True)
    mine = (backtest.alerts["account_id"] == account_id).to_numpy()
    if not mine.any():
        raise OptionError(f"account {account_id!r} was not judged", "Choose one of backtest.alerts")
    axes = axes_of(ax, (9.2, 2.6))
    rows, rank = backtest.alerts[mine], place[mine]
    alerted = rows[f"{method}_alert"].to_numpy(dtype=bool)
    axes.plot(rows["snapshot_on"], rank, color=GREY, linewidth=1.3, zorder=1)
    axes.scatter(rows["snapshot_on"], rank, s=16, color=GREY, zorder=2)
    axes.scatter(
        rows["snapshot_on"][alerted], rank[alerted], s=44, color=COLOURS[1], zorder=3,
        label="alerted",
    )  # fmt: skip
    end = backtest.ends[
        (backtest.ends["account_id"] == account_id) & (backtest.ends["method"] == method)
    ]
    for column, text, style in (
        ("usage_drop_on", "usage drops", "--"),
        ("known_on", "end known", ":"),
        ("ended_on", "end", "-"),
    ):
        if len(end) and end[column].notna().iloc[0]:
            axes.axvline(end[column].iloc[0], color="black", linestyle=style, label=text)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("place in the list\n(1: the riskiest)")
    axes.set_title(account_id, loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(axes)
    return axes


def _percent(value: float, _: Any) -> str:
    return f"{value:.0%}"
