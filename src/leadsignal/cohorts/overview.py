"""``compare_cohorts`` for tables, all ready comparisons, segments, and one process's effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal import plots
from leadsignal.account_sample import AccountSample
from leadsignal.arguments import Duration, checked, days_in, reads_weights
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.comparison import Comparison
from leadsignal.cohorts.contrasts import CORRECTED, Contrast, best_of, cohorts_of
from leadsignal.cohorts.evidence import Evidence, evidence_for_claim, weigh_evidence
from leadsignal.cohorts.from_tables import dated_cohorts, is_dated
from leadsignal.cohorts.named_comparisons import ready_comparisons
from leadsignal.cohorts.side_by_side import MAX_LEVELS, compare_dated
from leadsignal.cohorts.verdict import in_digits
from leadsignal.cohorts.wording import aligned
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.writing import json_fields
from leadsignal.formats import how_often, p_phrase, p_text
from leadsignal.ingestion.check_report import DataWarning, affecting, warning_lines
from leadsignal.results import Result, to_html
from leadsignal.stats import Estimate, holm
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MAX_LINES = 12
"""Maximum number of cohorts in a printed overview; those with the lowest p-values are shown."""
MAX_P = 0.05
"""Significance level for p-values corrected for the number of cohorts."""


@checked
@reads_weights
def compare_cohorts(
    tables: Tables,
    by: str | pd.DataFrame = "measured",
    analysis: SuccessAnalysis | None = None,
    *,
    methods: Sequence[str] | None = None,
    adjust: Sequence[str] = (),
    mediators: Sequence[str] = (),
    landmark: str | None = None,
    horizon: Duration | None = None,
    level: float = 0.95,
    context: AsOfContext | None = None,
) -> Comparison:
    """Compare cohorts of accounts by naive and corrected methods.

    Parameters
    ----------
    tables : Tables
        The tables.
    by : str or DataFrame, default "measured"
        A ready comparison (see `comparison_names`), an attribute, ``"behavior:NAME"``, or
        ``"process:NAME"`` or ``"attribute:NAME"`` if another comparison has the same name. A frame
        has the columns account_id, on and, for several cohorts, state.
    analysis : SuccessAnalysis, optional
        The success analysis; each of its processes is a comparison.
    methods : sequence of str, optional
        Some of naive, time_dependent, landmark and target_trial. Default: all. Comparisons of
        contract changes always include at_renewals.
    adjust : sequence of str, default ()
        Attributes, or columns of accounts, to adjust for.
    mediators : sequence of str, default ()
        Members of ``adjust`` that are measured after the start and may be effects of the exposure.
    landmark : str, optional
        Time from the start to the landmark. Default: 90d; 30d for plans, 180d for results, 365d for
        contract changes, and the milestone for a process.
    horizon : str, int or Timedelta, optional
        Time over which restricted means are computed. Default: the longest that all methods
        support.
    level : float, default 0.95
        Confidence level.
    context : AsOfContext, optional
        Intermediate results to reuse.

    Returns
    -------
    Comparison

    Raises
    ------
    OptionError
        If a name is unknown.
    ModelError
        If there is only one cohort.

    Examples
    --------
    >>> import leadsignal as ls
    >>> comparison = compare_cohorts(ls.read_tables(ls.sample_folder()), by="measured")
    >>> comparison.contrast("naive").artefact, comparison.contrast("time_dependent").artefact
    (False, True)
    """
    context = AsOfContext.of(tables, analysis, context)
    weigh = partial(weigh_evidence, tables, analysis=context.analysis, context=context)
    options = {**_days(landmark, horizon), "methods": methods, "mediators": mediators}
    return _compared(context, by, weigh, adjust=adjust, level=level, **options)


def _days(landmark: Duration | None, horizon: Duration | None) -> dict[str, Any]:
    """Return landmark and horizon in days; None where they are left to the comparison."""
    times = {"landmark": landmark, "horizon": horizon}
    return {name: None if time is None else days_in(time) for name, time in times.items()}


WITHOUT_EVIDENCE = ("rescued",)
"""Comparisons whose time zero is an event of its own, for which no behaviour is a control."""


def _compared(
    context: AsOfContext, by: str | pd.DataFrame, weigh: Callable[..., Evidence],
    *, adjust: Sequence[str], **options: Any,
) -> Comparison:  # fmt: skip
    """Return a comparison, with the evidence that ``weigh`` returns for each cohort."""
    tables, analysis = context.tables, context.analysis
    later = tuple(name for name in adjust if is_dated(tables, analysis, name))
    cohorts = dated_cohorts(tables, by, analysis, dated_covariates=later, context=context)
    comparison = compare_dated(cohorts, adjust=adjust, **options)
    comparison = replace(
        comparison, warnings=affecting(tables.warnings, "compare"), sample=tables.sample
    )
    own = not isinstance(by, str) or by in WITHOUT_EVIDENCE
    if own or cohorts.in_quarters or cohorts.since_the_start:
        return comparison
    return replace(comparison, evidence=tuple(_evidence(comparison, weigh)))


def _evidence(comparison: Comparison, weigh: Callable[..., Evidence]) -> Iterator[Evidence]:
    """Yield the evidence for each cohort with an estimated hazard ratio."""
    for cohort in cohorts_of(comparison.contrasts):
        mine = [c for c in comparison.contrasts if c.cohort == cohort and not c.adjusted_for]
        others = {
            c.method: c.hazard_ratio for c in mine if c.method in CORRECTED and c.hazard_ratio
        }
        if not others:
            continue
        try:
            yield weigh(by=comparison.by, cohort=cohort, methods=others)
        except ModelError:
            continue


@checked
@reads_weights
def comparison_names(tables: Tables, analysis: SuccessAnalysis | None = None) -> tuple[str, ...]:
    """Return the names of the ready comparisons for which the tables have the columns.

    Parameters
    ----------
    tables : Tables
        The tables.
    analysis : SuccessAnalysis, optional
        The success analysis; each of its processes is a comparison.

    Returns
    -------
    tuple of str
        Names that `compare_cohorts` accepts as ``by``.

    Examples
    --------
    >>> import leadsignal as ls
    >>> "measured" in ls.cohorts.comparison_names(ls.read_tables(ls.sample_folder()))
    True
    """
    return tuple(ready_comparisons(tables, analysis or SuccessAnalysis(())))


@dataclass(frozen=True)
class Line:
    """One cohort of the overview: naive and corrected hazard ratio, and adjusted p-value.

    ``evidence`` says how well an effect is supported; None for properties fixed since the start.
    """

    by: str
    cohort: str
    against: str
    naive: Estimate | None
    corrected: Estimate
    method: str
    p_holm: float
    evidence: Evidence | None = None

    @property
    def holds(self) -> bool:
        """Whether the difference is significant after correction for the number of cohorts."""
        return self.p_holm < MAX_P

    @property
    def title(self) -> str:
        """Name of the comparison and of the cohort; only one if they are the same."""
        by = self.by.replace("_", " ")
        return by if by == self.cohort else f"{by}: {self.cohort}"

    def to_dict(self) -> dict[str, Any]:
        """Return the line as a plain dictionary, ready for JSON."""
        names = ("by", "cohort", "against", "naive", "hazard_ratio", "method")
        found = self.evidence
        return {
            **json_fields(self, *names, hazard_ratio="corrected"),
            "p": self.corrected.p,
            "p_holm": self.p_holm,
            "rung": None if found is None else int(found.rung),
            "evidence": "" if found is None else found.wording,
            "disagreement": "" if found is None else found.disagreement,
        }


@dataclass(frozen=True, repr=False, eq=False)
class Overview(Result):
    """All ready comparisons: one line per cohort, with p-values corrected by Holm's method.

    ``comparisons`` holds the full results. ``left_out`` maps each comparison without a result to
    the reason. ``warnings`` are warnings about the data. ``sample`` is the sample of customers that
    was compared, None if all were.
    """

    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, str]
    warnings: tuple[DataWarning, ...] = ()
    sample: AccountSample | None = None

    def _table(self) -> pd.DataFrame:
        rows = []
        for line in self.lines:
            plain = line.to_dict()
            for name in ("naive", "hazard_ratio"):
                number = plain.pop(name) or {"estimate": None, "low": None, "high": None}
                plain |= {f"{name}_{key}": value for key, value in number.items()}
            rows.append(plain)
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return lines and comparisons as plain dictionaries, ready for JSON."""
        names = ("overview", "comparisons", "left_out", "warnings", "sample")
        shared = {"by": "all", "cohorts": [], "contrasts": []}
        return {**shared, **json_fields(self, *names, overview="lines")}

    def plot(self, ax: Axes | None = None, *, cohorts: int = 12) -> Axes:
        """Plot the hazard ratios of the cohorts, naive and corrected.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.
        cohorts : int, default 12
            Maximum number of cohorts plotted; those with the lowest p-values are chosen.

        Returns
        -------
        Axes

        Raises
        ------
        ModelError
            If no cohort has a hazard ratio.
        """
        if not self.lines:
            raise ModelError("there is no hazard ratio to draw", "Provide tables with more churns")
        lines = sorted(self.lines, key=lambda line: line.p_holm)[:cohorts]
        axes = plots.axes_of(ax, (9.0, 1.5 + 0.42 * len(lines)))
        at = np.arange(len(lines))
        ratio, low, high = np.array(
            [(c.estimate, c.low, c.high) for c in (line.corrected for line in lines)]
        ).T
        naive = np.array([np.nan if one.naive is None else one.naive.estimate for one in lines])
        axes.errorbar(ratio, at, xerr=plots.reach(ratio, low, high), fmt="s", markersize=5.5,
                      color=plots.COLOURS[0], elinewidth=1.6, label="corrected")  # fmt: skip
        axes.plot(naive, at - 0.22, "o", color=plots.GREY, markerfacecolor="white", label="naive")
        for place, line in enumerate(lines):
            plots.write_beside(axes, place, f"{in_digits(line.corrected)}, {p_phrase(line.p_holm)}")
        plots.ratios_between(axes, np.concatenate([low, high, naive]))
        names = [
            f"{line.by.replace('_', ' ').replace(':', ': ')}\n{line.cohort} against {line.against}"
            for line in lines
        ]
        plots.name_rows(axes, names, above=0.6, fontsize=plots.SMALL)
        label = "hazard ratio of churn, 95 % interval; p corrected for all (Holm)"
        if len(lines) < len(self.lines):
            label += "\nthe cohorts with the lowest p"
        axes.set_xlabel(label)
        proven = sum(line.holds for line in self.lines)
        have = "has" if proven == 1 else "have"
        title = f"{proven} of {len(self.lines)} cohorts {have} a proven difference in churn"
        plots.write_title(axes, title, room=24)
        plots.legend_above(axes, ncols=2)
        return axes

    @property
    def verdict(self) -> str:
        """How many of the differences are significant, in one sentence."""
        holding = sum(line.holds for line in self.lines)
        return (
            f"{holding} of {len(self.lines)} cohorts leave more or less often beyond chance,"
            " corrected for their number" + (f", {self.sample.line}" if self.sample else "")
        )

    @property
    def details(self) -> str:
        """One line of text per cohort, then the comparisons left out, with the reasons."""
        left_out = [f"left out: {by}: {reason}" for by, reason in self.left_out.items()]
        left_out += [
            f"not listed: {comparison.by}: {len(comparison.cohorts)} values, compared by shrunken"
            " rates in its own result"
            for comparison in self.comparisons
            if not comparison.contrasts
        ]
        lines = [f"{self.verdict}.", "", *self._lines(self.lines), "", *left_out]
        return "\n".join([*warning_lines(self.warnings), *lines])

    def _lines(self, lines: Sequence[Line]) -> list[str]:
        rows = [("cohort", "against", "usual chart", "corrected", "accounts leave", "p of all",
                 "evidence")]  # fmt: skip
        for line in lines:
            naive = "" if line.naive is None else f"{line.naive.estimate:.2f}"
            rows.append(
                (line.title, line.against, naive, in_digits(line.corrected),
                 how_often(line.corrected.estimate), p_text(line.p_holm),
                 "" if line.evidence is None else line.evidence.wording)
            )  # fmt: skip
        return aligned(rows)

    def __repr__(self) -> str:
        first = sorted(self.lines, key=lambda line: line.p_holm)[:MAX_LINES]
        lines = [f"{self.verdict}; hazard ratios:", "", *self._lines(first)]
        if more := len(self.lines) - len(first):
            lines += ["", f"  {more} more cohorts, with higher p-values"]
        return "\n".join([*warning_lines(self.warnings), *lines])

    def _repr_html_(self) -> str:
        columns = ["by", "cohort", "against", "naive_estimate", "hazard_ratio_estimate",
                   "hazard_ratio_low", "hazard_ratio_high", "p_holm"]  # fmt: skip
        frame = self.to_frame()
        head = "\n".join([*warning_lines(self.warnings), f"{self.verdict}."])
        return to_html(head, frame[columns].round(3) if len(frame) else None)


@checked
@reads_weights
def compare_all(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    methods: Sequence[str] | None = None,
    adjust: Sequence[str] = (),
    landmark: str | None = None,
    horizon: Duration | None = None,
    context: AsOfContext | None = None,
) -> Overview:
    """Run every ready comparison, and correct the p-values for their number.

    Control behaviours are compared only for cohorts that pass all other checks;
    `compare_cohorts` and `weigh_evidence` always compare them.

    Parameters
    ----------
    tables : Tables
        The tables.
    analysis : SuccessAnalysis, optional
        The success analysis; each of its processes is a comparison.
    methods, adjust, landmark, horizon, context
        As in `compare_cohorts`.

    Returns
    -------
    Overview

    Examples
    --------
    >>> import leadsignal as ls
    >>> overview = compare_all(ls.read_tables(ls.sample_folder()))
    >>> {"measured", "contract", "rescued"} <= {line.by for line in overview.lines}
    True
    """
    shared = AsOfContext.of(tables, analysis, context)
    weigh = partial(evidence_for_claim, shared)
    options = {"methods": methods, **_days(landmark, horizon)}
    comparisons: list[Comparison] = []
    left_out: dict[str, str] = {}
    for name in comparison_names(tables, analysis):
        try:
            others = [column for column in adjust if column != name.removeprefix("attribute:")]
            comparisons.append(_compared(shared, name, weigh, adjust=others, **options))
        except ModelError as error:
            left_out[name] = str(error)
    warnings = affecting(tables.warnings, "compare")
    return Overview(_lines(comparisons), tuple(comparisons), left_out, warnings, tables.sample)


def _lines(comparisons: Sequence[Comparison]) -> tuple[Line, ...]:
    quoted = [
        (comparison, best)
        for comparison in comparisons
        for cohort in cohorts_of(comparison.contrasts)
        if (best := best_of(comparison.contrasts, cohort)) is not None
        and best.hazard_ratio is not None
    ]
    p = holm(np.array([_ratio(best).p for _, best in quoted]))
    lines = []
    for (comparison, best), corrected in zip(quoted, p.tolist(), strict=True):
        wrong = comparison.contrast("naive", best.cohort)
        naive = None if wrong is None else wrong.hazard_ratio
        lines.append(
            Line(
                comparison.by, best.cohort, best.against, naive, _ratio(best), best.method,
                corrected, comparison.evidence_of(best.cohort),
            )
        )  # fmt: skip
    return tuple(lines)


def _ratio(contrast: Contrast) -> Estimate:
    if contrast.hazard_ratio is None:
        raise ModelError(f"the hazard ratio of {contrast.cohort} cannot be estimated")
    return contrast.hazard_ratio


@checked
@reads_weights
def process_effect(
    tables: Tables,
    analysis: SuccessAnalysis,
    process: str,
    *,
    adjust: Sequence[str] = (),
    lag: Duration | None = None,
    context: AsOfContext | None = None,
) -> Estimate | None:
    """Return the corrected hazard ratio of having adopted a process.

    Adoption is time-dependent, and ends with a lapse. Accounts are at risk until their end became
    known.

    Parameters
    ----------
    tables : Tables
        The tables.
    analysis : SuccessAnalysis
        The success analysis that defines the process.
    process : str
        Name of the process.
    adjust : sequence of str, default ()
        Attributes, or columns of accounts, to adjust for.
    lag : str, int or Timedelta, optional
        Duration by which adoption is measured earlier. Default: 0.
    context : AsOfContext, optional
        Intermediate results to reuse.

    Returns
    -------
    Estimate or None
        The hazard ratio; None if it cannot be estimated.

    Raises
    ------
    OptionError
        If the analysis does not define the process.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    >>> process_effect(tables, analysis, "weekly_reconciliation").estimate < 1
    True
    """
    names = [known.name for known in analysis.processes]
    if process not in names:
        raise OptionError(f"{process!r} is not a process", f"Choose from {', '.join(names)}")
    days = 0 if lag is None else days_in(lag)
    try:
        cohorts = dated_cohorts(tables, f"process:{process}", analysis, lag=days, context=context)
        comparison = compare_dated(cohorts, methods=("time_dependent",), adjust=adjust)
    except ModelError:
        return None
    found = comparison.contrast("time_dependent", adjusted=bool(adjust))
    return None if found is None else found.hazard_ratio


MIN_SEGMENT = 30
"""Minimum number of accounts in a segment that is compared."""
SEGMENT_METHODS = ("naive", "time_dependent")
"""Methods that are computed within segments."""


@dataclass(frozen=True)
class Segment:
    """Accounts with one value of an attribute at their start, and their comparison."""

    attribute: str
    value: str
    comparison: Comparison

    @property
    def title(self) -> str:
        """The attribute and its value."""
        return f"{self.attribute.replace('_', ' ')}: {self.value}"


def compare_segments(comparison: Comparison) -> Iterator[Segment]:
    """Yield a comparison within each value of every attribute with two to six values.

    Values with fewer than 30 accounts, or with nothing to compare, are skipped. So are numeric
    attributes and the compared attribute itself.
    """
    dated = comparison.dated
    if not comparison.contrasts:
        return
    for attribute, values in dated.covariates.items():
        if values.dtype.kind not in "OUST" or attribute in (comparison.by, dated.name):
            continue
        texts = values.astype(str)
        found = np.unique(texts[[value == value and value is not None for value in values]])
        if not 2 <= len(found) <= MAX_LEVELS:
            continue
        for value in found.tolist():
            inside = texts == value
            if inside.sum() < MIN_SEGMENT:
                continue
            try:
                own = dated.chosen(inside).with_levels_present()
                yield Segment(attribute, value, compare_dated(own, methods=SEGMENT_METHODS))
            except ModelError:
                continue
