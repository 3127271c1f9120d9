"""The result of a comparison of cohorts: numbers, findings, cautions, files and plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal import plots
from leadsignal.account_sample import AccountSample
from leadsignal.cohorts.contrasts import TITLES, Cohort, Contrast, find_contrast
from leadsignal.cohorts.curves import SmallGroups, curve_frame, curves_picture, retention_grid
from leadsignal.cohorts.dated import DatedCohorts, rows_of
from leadsignal.cohorts.evidence import Evidence
from leadsignal.cohorts.verdict import (
    Row,
    main_frame,
    main_lines,
    main_rows,
    retention_line,
    title_of,
    verdict_of,
    verdict_of_groups,
)
from leadsignal.cohorts.wording import (
    cohort_line,
    contrast_lines,
    explanation_of,
    frame_of,
    markdown_of,
    write_table,
)
from leadsignal.errors import ModelError
from leadsignal.files.writing import json_fields
from leadsignal.formats import count_of, level_text, unbroken
from leadsignal.ingestion.check_report import DataWarning, warning_lines
from leadsignal.results import Result, html_table, to_html
from leadsignal.stats import Estimate
from leadsignal.survival.inputs import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _key(contrast: Contrast) -> tuple[str, str, bool]:
    return contrast.cohort, contrast.method, bool(contrast.adjusted_for)


def _beside(
    c: Contrast, name: str, number: Estimate, values: Floats, level: float
) -> dict[str, object]:
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return {
        "cohort": c.cohort, "method": c.method, "adjusted": bool(c.adjusted_for), "quantity": name,
        "estimate": number.estimate, "low": number.low, "high": number.high,
        "bootstrap_low": low, "bootstrap_high": high, "draws": len(values),
    }  # fmt: skip


def _resamples(
    cohorts: DatedCohorts, times: int, rng: np.random.Generator
) -> Iterator[DatedCohorts]:
    clusters = int(cohorts.cluster.max()) + 1
    for _ in range(times):
        picked = rng.integers(0, clusters, clusters)
        accounts, sizes = rows_of(cohorts.cluster, clusters, picked)
        yield replace(cohorts.chosen(accounts), cluster=np.repeat(np.arange(clusters), sizes))


MAX_COHORTS = 12
"""Maximum number of cohorts listed in the details of a comparison."""
MAX_CAUTIONS = 4
"""Maximum number of cautions in a printed comparison; the most important come first."""


@dataclass(frozen=True, repr=False, eq=False)
class Comparison(Result):
    """A comparison of cohorts: naive and corrected estimates with their intervals.

    Parameters
    ----------
    by : str
        Name of the comparison.
    cohorts : tuple of Cohort
        Numbers of each cohort.
    contrasts : tuple of Contrast
        Numbers of each pair of cohorts by each method.
    cautions : tuple of str
        Limitations of the conclusions; those that may change a conclusion come first.
    landmark : int
        Day of the landmark and the target trial, since ``dated.since``.
    horizon : float
        Last day of the restricted means, since ``dated.since``.
    level : float
        Confidence level of the intervals.
    adjusted_for : tuple of str
        Names of the covariates of the adjusted contrasts.
    groups : SmallGroups or None
        Shrunken rates, if the property has many values (such as sales reps).
    dated : DatedCohorts
        The data.
    recompute : callable
        Function that computes the contrasts of other data in the same way.
    evidence : tuple of Evidence
        Evidence for an effect of each cohort with dated changes: lags, control behaviours,
        agreement of the methods.
    warnings : tuple of DataWarning
        Warnings about the data.
    sample : AccountSample or None
        The sample of customers that was compared; counts are those of the sample, all other
        numbers are estimates for all customers. None if all customers were compared.
    """

    by: str
    cohorts: tuple[Cohort, ...]
    contrasts: tuple[Contrast, ...]
    cautions: tuple[str, ...]
    landmark: int
    horizon: float
    level: float
    adjusted_for: tuple[str, ...]
    groups: SmallGroups | None
    dated: DatedCohorts = field(compare=False)
    recompute: Callable[[DatedCohorts], tuple[Contrast, ...]] = field(compare=False)
    evidence: tuple[Evidence, ...] = ()
    warnings: tuple[DataWarning, ...] = ()
    sample: AccountSample | None = None

    def contrast(
        self, method: str, cohort: str | None = None, *, adjusted: bool = False
    ) -> Contrast | None:
        """Return the contrast of a method, or None; ``cohort`` defaults to the first cohort."""
        return find_contrast(self.contrasts, method, cohort, adjusted=adjusted)

    def evidence_of(self, cohort: str) -> Evidence | None:
        """Return the evidence for the effect of a cohort, or None if there is none."""
        return next((one for one in self.evidence if one.cohort == cohort), None)

    @property
    def verdict(self) -> str:
        """The main finding in one sentence, worded as strongly as the evidence allows."""
        if not self.contrasts:
            return verdict_of_groups([] if self.groups is None else self.groups.groups)
        return verdict_of(self.contrasts, self.evidence)

    @property
    def explanation(self) -> str:
        """The findings as ratios, with one paragraph per cohort."""
        return explanation_of(self.contrasts)

    @property
    def details(self) -> str:
        """The full text: cohorts, contrasts, explanation, evidence and cautions."""
        lines = [self._head]
        if self.contrasts:
            lines[0] += (
                f": landmark day {self.landmark}, horizon {self.horizon:g} days since"
                f" {self.dated.since}"
            )
        first = self.cohorts[0].name if self.contrasts else None
        lines += [cohort_line(cohort, first) for cohort in self.cohorts[:MAX_COHORTS]]
        if self.contrasts:
            lines += ["", *contrast_lines(self.contrasts)]
        if self.groups is not None:
            lines += ["", repr(self.groups)]
        lines += ["", self.verdict, self.explanation, *(one.sentence for one in self.evidence), ""]
        lines += [f"- {caution}" for caution in self.cautions]
        return "\n".join([*warning_lines(self.warnings), *lines])

    @property
    def _head(self) -> str:
        sample = f", {self.sample.line}" if self.sample else ""
        return f"Cohorts by {self.by}, until the end was known{sample}"

    def curves(self) -> pd.DataFrame:
        """Return the corrected retention curves, with those of the usual chart beside them.

        All accounts share one churn hazard by tenure, which is multiplied in each cohort by the
        hazard ratio of the verdict, so that the curves always agree with the verdict. Their limits
        are those of the ratio.

        Returns
        -------
        DataFrame
            Columns cohort, day (since ``dated.since``), retention, low, high, and usual: the
            Kaplan-Meier curve by the cohort in which each account ended up.

        Raises
        ------
        ModelError
            If there is no hazard ratio, or some cohort never has ten accounts at risk.
        """
        return curve_frame(self.dated, self.contrasts)

    def retention_grid(self) -> pd.DataFrame | None:
        """Return the share of accounts still there after 3 to 36 months, by start quarter.

        Returns
        -------
        DataFrame or None
            Columns quarter, accounts, and one for each number of months. A cell is missing if
            some accounts of the quarter have not been followed that long. None if the starts are
            unknown.
        """
        return retention_grid(self.dated)

    def _table(self) -> pd.DataFrame:
        return frame_of(self.contrasts)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain dictionaries, ready for JSON."""
        days = {"landmark_days": "landmark", "horizon_days": "horizon"}
        return {
            **json_fields(self, "by", "landmark_days", "horizon_days", "level", **days),
            "time_zero": self.dated.since,
            **json_fields(self, "cohorts", "contrasts"),
            "small_groups": [] if self.groups is None else self.groups.to_dict()["groups"],
            **json_fields(self, "cautions", "verdict", "explanation", "evidence"),
            **json_fields(self, "warnings", "sample"),
        }

    def to_markdown(self) -> str:
        """Return the verdict and the table of contrasts as Markdown."""
        above = [*warning_lines(self.warnings), *([self._head] if self.sample else [])]
        return markdown_of(self.contrasts, self._findings, self.cautions, above)

    def to_html(self) -> str:
        """Return the HTML shown in a notebook: verdict, numbers and main limitations.

        `leadsignal.report.write_comparison` writes the full page with plots.
        """
        above = [*warning_lines(self.warnings), self._head]
        rest = len(self.cautions) - MAX_CAUTIONS
        more = [f"{count_of(rest, 'more caution')} in .details"] if rest > 0 else []
        return (
            to_html("\n".join(above))
            + f"<p><strong>{escape(unbroken(self.verdict))}</strong></p>"
            + html_table(main_frame(*self._rows), None)
            + to_html("\n".join(retention_line(self.dated, self.contrasts)).strip())
            + to_html("\n".join(f"– {one}" for one in self.cautions[:MAX_CAUTIONS] + tuple(more)))
        )

    @property
    def _rows(self) -> tuple[str, list[Row]]:
        return main_rows(self.contrasts, self.groups, self.landmark)

    @property
    def _findings(self) -> str:
        return f"{self.verdict}\n{self.explanation}"

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the table to a file; the extension selects the format.

        Parameters
        ----------
        path : str or Path
            A name that ends in ``.md``, ``.csv`` or ``.xlsx``. Text that a spreadsheet would run as
            a formula is escaped. `leadsignal.report.write_comparison` writes an HTML page.
        force : bool, default False
            Whether to replace a file that was not written by this method.

        Returns
        -------
        Path
            Path of the file.

        Raises
        ------
        OptionError
            If the extension is unknown, if openpyxl is missing for ``.xlsx``, or if the file
            exists, was not written by this method and ``force`` is False.
        """
        return write_table(self.to_frame(), self.to_markdown(), path, force=force)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot corrected retention, with thin lines for the usual chart, and return the Axes."""
        return curves_picture(
            self.curves(), self.dated.since, title_of(self.contrasts, self.by), ax
        )

    def plot_forest(self, ax: Axes | None = None) -> Axes:
        """Plot the naive and corrected hazard ratios, one row per cohort, and return the Axes."""
        rows = self._table()
        if len(rows):
            rows = rows[rows["hazard_ratio"].notna() & (rows["adjusted_for"] == "")]
        if not len(rows):
            raise ModelError(
                f"{self.by}: there is no hazard ratio to draw",
                "Plot its groups with plot() instead",
            )
        cohorts, methods = (list(rows[name].unique()) for name in ("cohort", "method"))
        axes = plots.axes_of(ax, (7.6, 1.7 + 0.85 * len(cohorts)))
        for row in rows.to_dict("records"):
            place = methods.index(row["method"])
            y = cohorts.index(row["cohort"]) + (place - (len(methods) - 1) / 2) * 0.17
            _draw_ratio(axes, y, row, place)
        plots.ratios_between(axes, rows[["hazard_ratio_low", "hazard_ratio_high"]])
        against = rows["against"].iloc[0]
        plots.name_rows(axes, [f"{name}\nagainst {against}" for name in cohorts], 0.45, 0.55)
        axes.set_xlabel(f"hazard ratio, {level_text(self.level)} interval (below 1: fewer leave)")
        title = f"By {self.by.replace('_', ' ')}: churn, naive beside corrected"
        plots.write_title(axes, title, room=24)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        plots.legend_above(axes, unique.values(), unique.keys(), ncols=min(len(unique), 4),
                           handletextpad=0.2)  # fmt: skip
        return axes

    def bootstrap(self, times: int = 200, *, seed: int = 0) -> pd.DataFrame:
        """Return percentile intervals from a cluster bootstrap, beside the analytic intervals.

        Parameters
        ----------
        times : int, default 200
            Number of bootstrap samples.
        seed : int, default 0
            Random seed.

        Returns
        -------
        DataFrame
            One row per contrast and quantity.
        """
        rng = np.random.default_rng(seed)
        resampled: dict[tuple[str, str, bool], list[tuple[float, float]]] = {}
        for sample in _resamples(self.dated, times, rng):
            try:
                again = self.recompute(sample)
            except ModelError:  # a sample without one of the cohorts has no contrast
                continue
            for c in again:
                if c.hazard_ratio is not None:
                    days = np.nan if c.rmst_days is None else c.rmst_days.estimate
                    resampled.setdefault(_key(c), []).append((c.hazard_ratio.estimate, days))
        rows = []
        for c in self.contrasts:
            values = np.array(resampled.get(_key(c), [(np.nan, np.nan)]))
            for place, name in enumerate(("hazard_ratio", "rmst_days")):
                number = getattr(c, name)
                if number is not None:
                    rows.append(_beside(c, name, number, values[:, place], self.level))
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        lines = [*warning_lines(self.warnings), self._head, "", self.verdict, ""]
        lines += main_lines(*self._rows)
        lines += [*retention_line(self.dated, self.contrasts), ""]
        lines += [f"- {caution}" for caution in self.cautions[:MAX_CAUTIONS]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.to_html()


MARKS = {
    "naive": "o", "at_renewals": "v", "time_dependent": "s", "landmark": "^", "target_trial": "D",
}  # fmt: skip


def _draw_ratio(axes: Axes, y: float, row: dict[Any, Any], place: int) -> None:
    """Draw the hazard ratio of one contrast in the colour and with the marker of its method."""
    method, naive = row["method"], row["method"] == "naive"
    colour = plots.GREY if naive else plots.COLOURS[place % len(plots.COLOURS)]
    ratio, low, high = (row[f"hazard_ratio{part}"] for part in ("", "_low", "_high"))
    axes.errorbar(ratio, y, xerr=plots.reach(ratio, low, high), fmt=MARKS[method], color=colour,
                  markersize=6, elinewidth=1.6, label=TITLES[method],
                  markerfacecolor="white" if naive else colour)  # fmt: skip
    plots.write_beside(axes, y, f"{ratio:.2f} ({low:.2f} to {high:.2f})")
