"""The result of a comparison of cohorts: numbers, findings, cautions, files and plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.account_sample import AccountSample
from leadsignal.cohorts.contrasts import TITLES, Cohort, Contrast, find_contrast
from leadsignal.cohorts.curves import curve_frame
from leadsignal.cohorts.dated import DatedCohorts
from leadsignal.cohorts.evidence import Evidence
from leadsignal.cohorts.export import frame_of, markdown_of, write_table
from leadsignal.cohorts.plots import curves_picture, forest_picture
from leadsignal.cohorts.resampling import bootstrapped
from leadsignal.cohorts.small_groups import SmallGroups
from leadsignal.cohorts.start_quarters import retention_grid
from leadsignal.cohorts.text_lines import Row, main_frame, main_lines, main_rows, retention_line
from leadsignal.cohorts.verdict import title_of, verdict_of, verdict_of_groups
from leadsignal.cohorts.wording import cohort_line, contrast_lines, explanation_of
from leadsignal.ingestion.data_warnings import DataWarning, warning_lines
from leadsignal.phrases import count_of, unbroken
from leadsignal.readable_tables import html_table
from leadsignal.results import Result, to_html

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAX_COHORTS = 12
"""Number of cohorts that the details of a comparison list."""
MAX_CAUTIONS = 4
"""Number of cautions that a printed comparison shows, those that matter first."""


@dataclass(frozen=True, repr=False, eq=False)
class Comparison(Result):
    """A comparison of cohorts: the naive numbers beside the corrected ones, with intervals.

    Parameters
    ----------
    by : str
        Name of the comparison.
    cohorts : tuple of Cohort
        Numbers of each cohort.
    contrasts : tuple of Contrast
        Numbers of each method and pair of cohorts.
    cautions : tuple of str
        What limits the conclusions; what may change them comes first.
    landmark : int
        Day of the landmark and the target trial, since ``dated.since``.
    horizon : float
        Last day of the restricted means, since ``dated.since``.
    level : float
        Confidence level of the intervals.
    adjusted_for : tuple of str
        Names of the covariates of the adjusted contrasts.
    groups : SmallGroups or None
        Shrunken rates, if the property has many values (sales reps, reasons to buy).
    dated : DatedCohorts
        The data.
    recompute : callable
        Function that computes the contrasts of other data in the same way.
    evidence : tuple of Evidence
        What speaks for an effect of each cohort with dated changes: lags, control behaviours,
        agreement of the methods.
    warnings : tuple of DataWarning
        What is odd in the tables.
    sample : AccountSample or None
        The sample of customers that was compared: counts are of the sample, all else are estimates
        for all customers.
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
        """Return the contrast of a method (of the first cohort, if none is named), or None."""
        return find_contrast(self.contrasts, method, cohort, adjusted=adjusted)

    def evidence_of(self, cohort: str) -> Evidence | None:
        """Return the evidence for the effect of a cohort, or None."""
        return next((one for one in self.evidence if one.cohort == cohort), None)

    @property
    def verdict(self) -> str:
        """The finding in one sentence, as strong as the evidence allows."""
        if not self.contrasts:
            return verdict_of_groups([] if self.groups is None else self.groups.groups)
        return verdict_of(self.contrasts, self.evidence)

    @property
    def explanation(self) -> str:
        """The findings in ratios, in a paragraph a cohort."""
        return explanation_of(self.contrasts)

    @property
    def details(self) -> str:
        """Everything as text: cohorts, every contrast, explanation, evidence, all cautions."""
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
        """Return the retention curves of the corrected comparison, beside those of the usual chart.

        All accounts share one churn hazard by tenure, which in each cohort is multiplied by the
        hazard ratio of the verdict: the curves differ as the verdict says. Limits are those of the
        ratio.

        Returns
        -------
        DataFrame
            Columns cohort, day (since ``dated.since``), retention, low, high and usual, which is
            the Kaplan-Meier curve of the cohorts in which accounts ended up.

        Raises
        ------
        ModelError
            If there is no hazard ratio, or a cohort never has ten accounts at risk.
        """
        return curve_frame(self.dated, self.contrasts)

    def retention_grid(self) -> pd.DataFrame | None:
        """Return the share of accounts still there 3 to 36 months after the start, by quarter.

        Returns
        -------
        DataFrame or None
            Columns quarter, accounts and one a number of months, missing where not all accounts of
            the quarter have been followed that long; None where the starts are not known.
        """
        return retention_grid(self.dated)

    def _table(self) -> pd.DataFrame:
        return frame_of(self.contrasts)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain dictionaries, ready for JSON."""
        return {
            "by": self.by,
            "landmark_days": self.landmark,
            "horizon_days": self.horizon,
            "level": self.level,
            "time_zero": self.dated.since,
            "cohorts": [cohort.to_dict() for cohort in self.cohorts],
            "contrasts": [contrast.to_dict() for contrast in self.contrasts],
            "small_groups": [] if self.groups is None else self.groups.to_dict()["groups"],
            "cautions": list(self.cautions),
            "verdict": self.verdict,
            "explanation": self.explanation,
            "evidence": [one.to_dict() for one in self.evidence],
            "warnings": [one.to_dict() for one in self.warnings],
            "sample": None if self.sample is None else self.sample.to_dict(),
        }

    def to_markdown(self) -> str:
        """Return the table of contrasts as Markdown, with the verdict."""
        above = [*warning_lines(self.warnings), *([self._head] if self.sample else [])]
        return markdown_of(self.contrasts, self._findings, self.cautions, above)

    def to_html(self) -> str:
        """Return what a notebook shows: the verdict, its numbers, what limits it first.

        `leadsignal.report.write_comparison` writes the page with the pictures.
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
        """Write the table to a file whose ending names its format.

        Parameters
        ----------
        path : str or Path
            A name that ends in ``.md``, ``.csv`` or ``.xlsx``. Texts that a spreadsheet would run
            as formulas are written as text. `leadsignal.report.write_comparison` writes the page.
        force : bool, default False
            Replace a file that is no comparison.

        Returns
        -------
        Path
            Where the table is.

        Raises
        ------
        OptionError
            For another ending, for ``.xlsx`` without openpyxl, and for a file that is no
            comparison and not to be replaced.
        """
        return write_table(self.to_frame(), self.to_markdown(), path, force=force)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw corrected retention, and thin that of the usual chart; return the Axes."""
        return curves_picture(
            self.curves(), self.dated.since, title_of(self.contrasts, self.by), ax
        )

    def plot_forest(self, ax: Axes | None = None) -> Axes:
        """Draw naive and corrected ratios of each cohort in one row; return the Axes."""
        return forest_picture(self.by, self._table(), TITLES, self.level, ax)

    def bootstrap(self, times: int = 200, *, seed: int = 0) -> pd.DataFrame:
        """Return percentile intervals from resampled clusters, beside those of the influence.

        Parameters
        ----------
        times : int, default 200
            Number of resamples.
        seed : int, default 0
            Seed of the random numbers.

        Returns
        -------
        DataFrame
            One row a contrast and quantity.
        """
        return bootstrapped(self.dated, self.contrasts, self.recompute, times, seed, self.level)

    def __repr__(self) -> str:
        lines = [*warning_lines(self.warnings), self._head, "", self.verdict, ""]
        lines += main_lines(*self._rows)
        lines += [*retention_line(self.dated, self.contrasts), ""]
        lines += [f"- {caution}" for caution in self.cautions[:MAX_CAUTIONS]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.to_html()
