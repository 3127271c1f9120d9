"""The result of `hazard_ratios`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.account_sample import AccountSample
from leadsignal.files.records import json_rows
from leadsignal.ingestion.loaded_table import DataWarning, warning_lines
from leadsignal.model.effects.columns import Column, LeftOut
from leadsignal.model.effects.cox_design import CoxDesign
from leadsignal.phrases import level_in_name
from leadsignal.picture_style import COLOURS, FAINT, GREY, SMALL, write_title
from leadsignal.readable_tables import html_table
from leadsignal.results import MAX_ROWS, Result
from leadsignal.survival.cox import CoxFit
from leadsignal.survival.plots import forest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BRIEF = ("family", "exp(coef)", "lower", "upper", "p", "step", "reference")
MAX_PRINTED = 25
CAUTION = "Ratios describe who leaves; they do not say what a change would do."


@dataclass(frozen=True, eq=False, repr=False)
class HazardRatios(Result):
    """Hazard ratios of churn, with everything needed to interpret them.

    Attributes: ``table``, one row per covariate: lifelines' columns, then indicator, family, role,
    unit, step (one unit of the ratio), reference, rows and churns (of the state, or with a value),
    meaning, and, if causes are selected, the ratio for all churn. ``fit`` is the Cox model,
    including columns that are only adjusted for. ``left_out`` has a reason for each part left out.
    ``proportionality`` has one test per indicator; ``over_tenure`` has the ratios that change, by
    thirds of churns (None if none do). ``by_segment`` has ratios by segment, if requested.
    ``causes`` are counted and ``causes_left_out`` are not; ``level`` is the confidence level;
    ``notes`` should be read first; ``warnings`` are plausibility warnings about the tables.
    ``sample`` is the sample of customers that was used, None for all of them; numbers of rows,
    customers and churns are those of the sample.
    """

    table: pd.DataFrame
    fit: CoxFit
    left_out: tuple[LeftOut, ...]
    proportionality: pd.DataFrame
    over_tenure: pd.DataFrame | None
    by_segment: pd.DataFrame | None
    causes: tuple[str, ...]
    causes_left_out: tuple[str, ...]
    level: float
    notes: tuple[str, ...]
    warnings: tuple[DataWarning, ...] = ()
    sample: AccountSample | None = None

    def _table(self) -> pd.DataFrame:
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the fit as a plain dictionary, ready for JSON."""
        return {
            "rows": self.fit.n_rows,
            "churns": self.fit.n_events,
            "causes": list(self.causes),
            "causes_left_out": list(self.causes_left_out),
            "level": self.level,
            "notes": list(self.notes),
            "warnings": [one.to_dict() for one in self.warnings],
            "ratios": json_rows(self.table.reset_index()),
            "left_out": [asdict(part) for part in self.left_out],
            "proportionality": json_rows(self.proportionality.reset_index()),
            "over_tenure": [] if self.over_tenure is None else json_rows(self.over_tenure),
            "sample": self.sample.to_dict() if self.sample else None,
            "by_segment": [] if self.by_segment is None else json_rows(self.by_segment),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the ratios with intervals by family (a forest plot) and return the Axes."""
        return forest_by_family(self.table, self.title, ax)

    @property
    def title(self) -> str:
        """One-line title with rows, churns and causes."""
        fit = self.fit
        clusters = 0 if fit.rows.cluster is None else len(fit.rows.cluster)
        head = f"Hazard ratios: {fit.n_rows:,} rows of {clusters:,} customers"
        if not self.causes_left_out:
            return f"{head}, {fit.n_events:,} churns"
        return (
            f"{head}, {fit.n_events:,} churns by {', '.join(self.causes)} "
            f"(left out: {', '.join(self.causes_left_out)}; all churn next to it)"
        )

    def _remarks(self) -> list[str]:
        remarks = [*([self.sample.line] if self.sample else []), CAUTION, *self.notes]
        changing = list(self.proportionality.index[self.proportionality["changes"]])
        if changing:
            see = "" if self.over_tenure is None else ", see over_tenure"
            remarks.append(f"Changes over tenure{see}: {_some(changing)}.")
        if self.left_out:
            remarks.append(f"Left out, see left_out: {_some([p.name for p in self.left_out])}.")
        return remarks

    def _brief(self) -> pd.DataFrame:
        label = level_in_name(self.level)
        brief = self.table.rename(
            columns={f"exp(coef) {side} {label}": side for side in ("lower", "upper")}
        )
        beside = ["exp(coef) all churn"] if "exp(coef) all churn" in brief else []
        return brief[[*BRIEF[:4], *beside, *BRIEF[4:]]]

    def __repr__(self) -> str:
        table = self._brief().head(MAX_PRINTED).to_string(float_format=lambda x: f"{x:.3g}")
        more = len(self.table) - MAX_PRINTED
        rest = [f"… and {more} more, see to_frame()"] if more > 0 else []
        above = warning_lines(self.warnings)
        return "\n".join([*above, self.title, table, *rest, *self._remarks()])

    def _repr_html_(self) -> str:
        table = html_table(self._brief().rename_axis("covariate").reset_index(), MAX_ROWS)
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in self._remarks())
        above = "".join(f"<p>{escape(line)}</p>" for line in warning_lines(self.warnings))
        return f"{above}<p><b>{escape(self.title)}</b></p>{table}<ul>{remarks}</ul>"


def _some(names: Sequence[str]) -> str:
    """Return up to six names, and the number of further ones."""
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"{', '.join(names[:6])}{more}"


def table_of(
    fit: CoxFit, columns: Sequence[Column], decisions: CoxDesign, level: float, total: CoxFit | None
) -> pd.DataFrame:
    """Return lifelines' columns of the shown covariates, what they compare, and all churn."""
    summary = fit.summary_at(level)
    if total is not None:
        ratios = total.summary_at(level).filter(like="exp(coef)")
        summary = summary.join(ratios.rename(columns=lambda name: f"{name} all churn"))
    described = pd.DataFrame(
        [_described(column, decisions) for column in columns], index=summary.index
    )
    return summary.join(described)[[column.shown for column in columns]]


def _described(column: Column, decisions: CoxDesign) -> dict[str, object]:
    indicator = column.indicator
    of_state = column.coded == 1 if column.state else decisions.frame[indicator.name].notna()
    rows = np.asarray(of_state)
    return {
        "indicator": indicator.name,
        "family": indicator.family,
        "role": indicator.role,
        "unit": indicator.unit,
        "step": column.step,
        "reference": column.reference,
        "rows": int(rows.sum()),
        "churns": int((decisions.event & rows).sum()),
        "meaning": indicator.meaning,
    }


"""Colour of the lines between families."""
TOTAL = "exp(coef) all churn"
"""Column with the ratios for all churn."""


def forest_by_family(ratios: pd.DataFrame, title: str, ax: Axes | None = None) -> Axes:
    """Plot one line per covariate in the table of `HazardRatios`, grouped by family.

    If only some causes count, the ratios for all churn are hollow points.
    """
    table = ratios.sort_values(
        "family", kind="stable", key=lambda names: names.map(_order(list(ratios["family"])))
    )
    families = list(table["family"])
    labels = [_label(str(name), row) for name, row in table.iterrows()]
    axes = forest(table.set_axis(labels), ax, (12.5, 1.6 + 0.36 * len(table)))
    if TOTAL in table:
        axes.plot(
            table[TOTAL], np.arange(len(table)) + 0.25, "o", markersize=5, markerfacecolor="white",
            color=COLOURS[1], label="all churn",
        )  # fmt: skip
        axes.legend(frameon=False, loc="lower right")
    for line in range(1, len(families)):
        if families[line] != families[line - 1]:
            axes.axhline(line - 0.5, color=FAINT, linewidth=1, zorder=0)
    for family in dict.fromkeys(families):
        axes.annotate(
            family, (0.01, families.index(family) - 0.38), xycoords=("axes fraction", "data"),
            fontsize=SMALL, color=GREY, va="center", style="italic",
        )  # fmt: skip
    write_title(axes, title.replace(" (", "\n("))
    return axes


def _label(name: str, row: pd.Series[Any]) -> str:
    """Return the covariate's name with what its ratio compares."""
    return f"{name}  against {row['reference']}" if ":" in name else f"{name}  {row['step']}"


def _order(families: list[str]) -> dict[str, int]:
    return {family: place for place, family in enumerate(dict.fromkeys(families))}
