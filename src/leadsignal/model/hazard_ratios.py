"""Hazard ratios of the panel's indicators, also by segment and over tenure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.account_sample import AccountSample
from leadsignal.arguments import checked, reads_weights
from leadsignal.errors import ModelError, OptionError, meant
from leadsignal.files.writing import json_fields, json_rows
from leadsignal.formats import level_in_name
from leadsignal.indicators import Indicator
from leadsignal.ingestion.check_report import DataWarning, affecting, warning_lines
from leadsignal.model.cox_design import (
    NO_VALUE,
    Causes,
    Column,
    CoxDesign,
    Design,
    LeftOut,
    decisions_of,
    design_of,
    names_of,
    one_of_each,
    with_careful_errors,
)
from leadsignal.panel import Panel
from leadsignal.plots import COLOURS, FAINT, GREY, SMALL, forest, write_title
from leadsignal.results import MAX_ROWS, Result, html_table
from leadsignal.stats import holm, normal_quantile, shrunken_means, two_sided_p
from leadsignal.survival.cox import CoxFit, fit_cox
from leadsignal.survival.inputs import Bools, Floats

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
            **json_fields(self.fit, "rows", "churns", rows="n_rows", churns="n_events"),
            **json_fields(self, "causes", "causes_left_out", "level", "notes", "warnings"),
            "ratios": json_rows(self.table.reset_index()),
            **json_fields(self, "left_out"),
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


TOTAL = "exp(coef) all churn"
"""Column with the ratios for all churn."""


def forest_by_family(ratios: pd.DataFrame, title: str, ax: Axes | None = None) -> Axes:
    """Plot one line per covariate in the table of `HazardRatios`, grouped by family.

    If only some causes count, the ratios for all churn are hollow points.
    """
    order = list(ratios["family"].unique())
    table = ratios.sort_values("family", kind="stable", key=lambda names: names.map(order.index))
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


ROLES = ("leading", "lagging", "context")
FEW_CHURNS_A_COLUMN = 5


@checked
@reads_weights
def hazard_ratios(
    panel: Panel,
    *,
    roles: Sequence[str] = ("leading", "context"),
    indicators: Sequence[str] | None = None,
    cause: Causes = None,
    without: Causes = None,
    strata: Causes = (),
    ridge: float = 0.25,
    by: str | None = None,
    level: float = 0.95,
    over_tenure: bool = True,
) -> HazardRatios:
    """Return the hazard ratio of churn for each indicator, the others held constant.

    A Cox model in days of tenure is fitted on all rows before notice, with churn dated by the day
    it became known. Ties are handled by Efron's method; standard errors are clustered by customer,
    or model-based if these are larger. ``roles`` selects the indicators (only one of those that
    count the same events) unless ``indicators`` names them. Lagging ones are left out by default,
    because they may be the first sign of a decision already made. ``cause`` names the churns to
    count, or ``without`` those not to count: the others are censored (a cause-specific hazard), and
    the ratios for all churn are listed next to them. ``strata`` are panel columns, each value of
    which has its own baseline hazard. ``ridge`` is a penalty ½ ridge β², that is, a normal prior
    with variance 1/ridge on each log hazard ratio (0: none). ``by`` is a category whose segments
    get their own ratios, shrunken towards the mean of segments. ``level`` is the confidence level.
    If ratios change over time, ``over_tenure`` also fits them by thirds of tenure, which takes
    about half as long again. In a sample of customers, rows have its weights (Binder 1992; Lin
    2000), and it is not tested whether ratios change.

    A ratio compares the ends of an interquartile range, a state with its reference, or "no value"
    with the median: see ``step`` and ``reference`` in the result. Raises OptionError for unknown
    names, and ModelError if fewer than 10 churns or no column are left. Cox (1972); Andersen & Gill
    (1982); Lin & Wei (1989); choices and reasons in ``docs/why.md``.

    >>> import leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> ratios = ls.model.hazard_ratios(panel, indicators=["tickets_open", "segment"])
    >>> ratios.to_frame()[["exp(coef)", "step", "reference"]].shape
    (3, 3)
    """
    chosen = _chosen(panel, roles, indicators, by, names_of(strata), level, ridge)
    read = [*(one.name for one in chosen), *names_of(strata), *([] if by is None else [by])]
    decisions = decisions_of(panel.narrowed(read), cause, without)
    chosen, redundant = one_of_each(chosen) if indicators is None else (chosen, [])
    design, left_out = design_of(decisions, chosen, names_of(strata), ridge)
    fit = design.fit()
    proportionality = proportionality_table(fit, design.columns, tested=not decisions.sampled)
    changing = list(proportionality.index[proportionality["changes"]])
    total = design.fit(decisions.churn) if decisions.left_out else None
    return HazardRatios(
        table=table_of(fit, design.columns, decisions, level, total),
        fit=fit,
        left_out=(*redundant, *left_out),
        proportionality=proportionality,
        over_tenure=by_thirds(design, changing, level) if changing and over_tenure else None,
        by_segment=None if by is None else by_segment(design, by, level),
        causes=decisions.causes,
        causes_left_out=decisions.left_out,
        level=level,
        notes=_notes(design),
        warnings=affecting(panel.warnings, "hazard_ratios"),
        sample=panel.sample,
    )


def _chosen(
    panel: Panel,
    roles: Sequence[str],
    indicators: Sequence[str] | None,
    by: str | None,
    strata: tuple[str, ...],
    level: float,
    ridge: float,
) -> list[Indicator]:
    """Return the indicators to use, after checking all arguments at once."""
    there = {indicator.name: indicator for indicator in panel.indicators}
    problems = [
        f"role {role!r} is not one of {', '.join(ROLES)}" for role in roles if role not in ROLES
    ]
    named = [*(indicators or ()), *strata, *([] if by is None else [by])]
    missing = [name for name in dict.fromkeys(named) if name not in there]
    problems += [f"the panel has no indicator {name!r}{meant(name, there)}" for name in missing]
    if by in there and by is not None and there[by].kind != "category":
        problems.append(f"by is {by!r}, a number; segments need a category")
    if not 0 < level < 1:
        problems.append(f"level is {level!r}; it must be between 0 and 1, for example 0.95")
    if not ridge >= 0:
        problems.append(f"ridge is {ridge!r}; it must be 0 or more")
    if problems:
        known = ", ".join(there)
        raise OptionError("; ".join(problems), f"The indicators of this panel are {known}")
    requested = panel.names() if indicators is None else list(dict.fromkeys(indicators))
    of_role = set(roles) if indicators is None else set(ROLES)
    return [there[n] for n in requested if n not in strata and there[n].role in of_role]


def _notes(design: Design) -> tuple[str, ...]:
    """Return the reservations about the table."""
    notes = []
    decisions, columns = design.decisions, len(design.columns)
    if decisions.churns < FEW_CHURNS_A_COLUMN * columns:
        notes.append(
            f"{columns} columns on {decisions.churns} churns: intervals are wide and depend on "
            "the ridge; name fewer indicators"
        )
    if decisions.pending:
        notes.append(f"given notice and not ended yet, counted as churn: {decisions.pending}")
    if decisions.unseen:
        notes.append(f"end known before their first row, so not counted: {decisions.unseen}")
    return tuple(notes)


MIN_CHURNS = 5
"""Minimum number of churns in a segment; with fewer, its standard error is unreliable."""
RIDGE = 0.1
"""Ridge penalty on a segment's own coefficients; only keeps them finite before shrinkage."""


def by_segment(design: Design, by: str, level: float) -> pd.DataFrame:
    """Return one row per covariate and segment: its own ratio, and the shrunken one with interval.

    One model per indicator is fitted, in which each segment has its own baseline hazard and
    coefficients of that indicator, and the rest is shared. Raises ModelError if fewer than two
    segments have 5 churns.
    """
    segment_of_row = design.decisions.frame[by].fillna(NO_VALUE).astype(str).to_numpy(dtype=str)
    names, codes = np.unique(segment_of_row, return_inverse=True)
    churns = np.bincount(codes[design.decisions.event], minlength=len(names))
    segments = [str(name) for name in names[churns >= MIN_CHURNS]]
    if len(segments) < 2:
        raise ModelError(
            f"{len(segments)} segment of {by} has {MIN_CHURNS} churns; comparing takes two",
            "Choose by= with larger segments",
        )
    counts = {str(name): int(count) for name, count in zip(names, churns, strict=True)}
    shown = dict.fromkeys(c.indicator.name for c in design.columns if c.shown)
    shown.pop(by, None)
    frames = []
    for indicator in shown:
        own = [c for c in design.columns if c.indicator.name == indicator]
        theta, error = _own_ratios(design, indicator, segment_of_row, segments)
        for column, coef, se in zip(own, theta, error, strict=True):
            if not column.shown or np.isfinite(coef).sum() < 2:
                continue
            shrunken = shrunken_means(coef, se)
            values = {
                "covariate": column.name,
                "segment": segments,
                "churns": [counts[segment] for segment in segments],
                "exp(coef) own": np.exp(coef),
                "se(coef) own": se,
                **_ratios(shrunken.estimate, shrunken.std_err, level),
                "mean of segments": np.exp(shrunken.mean),
                "spread": shrunken.spread,
            }
            frames.append(pd.DataFrame(values))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _own_ratios(
    design: Design, indicator: str, segment_of_row: NDArray[np.str_], segments: list[str]
) -> tuple[Floats, Floats]:
    """Return log hazard ratios and errors (columns × segments); NaN where not identified."""
    rows = np.isin(segment_of_row, segments)
    own = [c.coded[rows] for c in design.columns if c.indicator.name == indicator]
    rest = [c.coded[rows] for c in design.columns if c.indicator.name != indicator]
    members: list[Bools] = [segment_of_row[rows] == segment for segment in segments]
    split = [np.where(member, values, 0.0) for values in own for member in members]
    ridges = np.repeat([RIDGE, max(design.ridge, 1e-6)], [len(split), len(rest)])
    strata = segment_of_row[rows]
    if design.strata is not None:
        strata = np.char.add(design.strata.codes[rows].astype(str), strata)
    data = design.decisions
    fit = fit_cox(
        np.column_stack([*split, *rest]), data.stop[rows], data.event[rows],
        start=data.start[rows], strata=strata, cluster=data.customer[rows], ridge=ridges,
        weights=data.weight[rows],
    )  # fmt: skip
    careful = with_careful_errors(fit).robust_se
    error = (fit.se if careful is None else careful)[: len(split)]
    told_little = fit.se[: len(split)] ** -2 < 2 * RIDGE
    theta = np.where(told_little, np.nan, fit.coef[: len(split)])
    shape = (len(own), len(segments))
    return theta.reshape(shape), np.where(told_little, np.nan, error).reshape(shape)


SIGNIFICANT = 0.05


def proportionality_table(
    fit: CoxFit, columns: Sequence[Column], *, tested: bool = True
) -> pd.DataFrame:
    """Return one row per indicator: chisq, df, p, Holm's (1979) p, whether its ratio changes.

    The test does not allow for sampling of customers; without it, everything is NaN.
    """
    terms = [column.indicator.name for column in columns]
    table = fit.test_proportionality(terms=terms).to_frame().drop(index="GLOBAL")
    shown = list(dict.fromkeys(c.indicator.name for c in columns if c.shown))
    frame = table.loc[shown].rename_axis("indicator")
    if not tested:
        frame = frame.assign(chisq=np.nan, p=np.nan)
    frame["p (Holm)"] = holm(frame["p"].to_numpy())
    frame["changes"] = frame["p (Holm)"] < SIGNIFICANT
    return frame


def by_thirds(design: Design, changing: Sequence[str], level: float) -> pd.DataFrame:
    """Return the ratios of the ``changing`` indicators in each third of churns by tenure.

    They are fitted in one model with one coefficient per third; rows that span a cut are split.
    """
    rows = design.decisions
    ends = rows.stop[rows.event]
    cuts = np.unique(np.floor(np.quantile(ends, (1 / 3, 2 / 3))))
    row, start, stop = split_at(rows.start, rows.stop, cuts)
    last = stop == rows.stop[row]
    third = np.searchsorted(cuts, start, side="right")
    varying = [c.indicator.name in changing for c in design.columns]
    blocks, names = [], []
    for column, varies in zip(design.columns, varying, strict=True):
        for part in range(len(cuts) + 1) if varies else [-1]:
            values = column.coded[row]
            blocks.append(np.where(third == part, values, 0.0) if varies else values)
            names.append(f"{column.name} #{part}" if varies else column.name)
    fit = fit_cox(
        np.column_stack(blocks), stop, rows.event[row] & last, start=start,
        strata=None if design.strata is None else design.strata.codes[row],
        cluster=rows.customer[row], weights=rows.weight[row], ridge=max(design.ridge, 1e-6),
        names=names,
    )  # fmt: skip
    return _by_third(design, with_careful_errors(fit), changing, cuts, level)


def split_at(start: Floats, stop: Floats, cuts: Floats) -> tuple[np.ndarray, Floats, Floats]:
    """Split the rows (start, stop] at the cuts and return (row, start, stop).

    >>> split_at(np.array([0.0]), np.array([30.0]), np.array([10.0]))
    (array([0, 0]), array([ 0., 10.]), array([10., 30.]))
    """
    edges = np.concatenate(([-np.inf], cuts, [np.inf]))
    low = np.maximum(start[:, None], edges[None, :-1])
    high = np.minimum(stop[:, None], edges[None, 1:])
    row, part = np.nonzero(high > low)
    return row, low[row, part], high[row, part]


def _by_third(
    design: Design, fit: CoxFit, changing: Sequence[str], cuts: Floats, level: float
) -> pd.DataFrame:
    ends = design.decisions.stop[design.decisions.event]
    edges = np.concatenate(([0.0], cuts, [design.decisions.stop.max()]))
    churns = np.bincount(np.searchsorted(cuts, ends, side="left"), minlength=len(cuts) + 1)
    columns = [c for c in design.columns if c.shown and c.indicator.name in changing]
    places = [(column, part) for column in columns for part in range(len(cuts) + 1)]
    chosen = [fit.names.index(f"{column.name} #{part}") for column, part in places]
    coef, error = fit.coef[chosen], _errors(fit)[chosen]
    return pd.DataFrame(
        {
            "covariate": [column.name for column, _ in places],
            "from_day": [int(edges[part]) for _, part in places],
            "to_day": [int(edges[part + 1]) for _, part in places],
            "churns": [int(churns[part]) for _, part in places],
            **_ratios(np.where(np.isnan(error), np.nan, coef), error, level),
            "p": two_sided_p(coef / error),
        }
    )


def _ratios(coef: Floats, error: Floats, level: float) -> dict[str, Floats]:
    """Return the columns with the hazard ratios and their confidence limits."""
    margin, label = normal_quantile(level) * error, level_in_name(level)
    ends = {"lower": coef - margin, "upper": coef + margin}
    limits = {f"exp(coef) {side} {label}": np.exp(end) for side, end in ends.items()}
    return {"exp(coef)": np.exp(coef), **limits}


def _errors(fit: CoxFit) -> Floats:
    """Return the standard errors; NaN where only the ridge identifies a coefficient."""
    robust = fit.se if fit.robust_se is None else fit.robust_se
    silent = fit.se**-2 <= fit.ridge * (1 + 1e-6)
    errors: Floats = np.where(silent, np.nan, robust)
    return errors
