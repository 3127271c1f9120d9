"""Hazard ratios of the panel's indicators: a time-varying Cox model on the tenure scale."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.account_sample import AccountSample
from leadsignal.arguments import checked, reads_weights
from leadsignal.errors import ModelError, OptionError, meant
from leadsignal.files.writing import json_rows
from leadsignal.formats import level_in_name, share_text
from leadsignal.indicators import Indicator
from leadsignal.indicators.behaviors import PROCESSES, process_columns
from leadsignal.indicators.declare import DaysSince, Latest, ProcessState, Trailing
from leadsignal.ingestion.check_report import DataWarning, affecting, warning_lines
from leadsignal.model.cox_design import (
    NO_VALUE,
    Causes,
    Column,
    CoxDesign,
    Design,
    DesignEncoder,
    LeftOut,
    decisions_of,
    names_of,
)
from leadsignal.model.varying_ratios import by_segment, by_thirds, proportionality_table
from leadsignal.panel import Panel
from leadsignal.plots import COLOURS, FAINT, GREY, SMALL, forest, write_title
from leadsignal.results import MAX_ROWS, Result, html_table
from leadsignal.survival.cox import CoxFit
from leadsignal.survival.inputs import Floats, Labels
from leadsignal.survival.partial_likelihood import PartialLikelihood
from leadsignal.survival.risk_sets import RiskSets

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
    design, left_out = _designed(decisions, chosen, names_of(strata), ridge)
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


def _designed(
    decisions: CoxDesign, chosen: list[Indicator], strata: tuple[str, ...], ridge: float
) -> tuple[Design, list[LeftOut]]:
    encoder = DesignEncoder(decisions)
    coded = [part for indicator in chosen for part in encoder.code(indicator)]
    columns = [part for part in coded if isinstance(part, Column)]
    left_out = [part for part in coded if isinstance(part, LeftOut)]
    stratum = _stratum(decisions, strata)
    kept: list[Column] = []
    if columns:
        # "No value" comes last, because an equivalent state has the better name.
        ordered = sorted(columns, key=lambda column: column.state == NO_VALUE)
        kept, collinear = without_collinear(ordered, decisions, stratum)
        hidden = {column.name for column in columns if not column.shown}
        left_out += [part for part in collinear if part.name not in hidden]
    if not any(column.shown for column in kept):
        reasons = "; ".join(f"{part.name}: {part.reason}" for part in left_out)
        raise ModelError(
            f"no indicator is left to estimate ({reasons or 'none was named'})",
            "Name other indicators or roles, or give a longer history",
        )
    return Design(decisions, tuple(sorted(kept, key=columns.index)), stratum, ridge), left_out


def _stratum(decisions: CoxDesign, strata: tuple[str, ...]) -> Labels | None:
    if not strata:
        return None
    values = decisions.frame[list(strata)].astype(object).fillna(NO_VALUE).astype(str)
    return Labels.of(values.agg(" / ".join, axis=1).to_numpy(dtype=str))


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


# One covariate from each set that counts the same events


BEST_WINDOW = 90
"""Of several windows over the same rows, the one closest to this number of days is used."""


def one_of_each(indicators: Sequence[Indicator]) -> tuple[list[Indicator], list[LeftOut]]:
    """Return the indicators to use, and those that duplicate another, with its name.

    A ratio holds the other columns constant, and with its own count of events held constant, a
    lapsed process is no longer lapsed. So only the state of a process is used, and only one
    trailing window for each kind of row. Results are used relative to their target, because values
    of different metrics have no common unit. Naming indicators overrides this.
    """
    stands_for = _states(indicators) | _windows(indicators) | _against_targets(indicators)
    kept = [indicator for indicator in indicators if indicator.name not in stands_for]
    left_out = [
        LeftOut(name, f"it counts the same events as {other}; name it in indicators= to use it")
        for name, other in stands_for.items()
    ]
    return kept, left_out


def _states(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return the detail indicators of processes, each with its state indicator."""
    states = {i.name: i.rule.process for i in indicators if isinstance(i.rule, ProcessState)}
    return {
        i.name: state
        for i in indicators
        for state, process in states.items()
        if i.family == PROCESSES and i.name != state and i.name in process_columns(process)
    }


def _windows(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return windows and days-since over rows that another window counts, with that window."""
    best: dict[Hashable, Indicator] = {}
    for indicator in indicators:
        if isinstance(indicator.rule, Trailing) and indicator.family != PROCESSES:
            key = _rows(indicator.rule)
            if key not in best or _off(indicator) < _off(best[key]):
                best[key] = indicator
    return {
        i.name: best[_rows(i.rule)].name
        for i in indicators
        if isinstance(i.rule, Trailing | DaysSince)
        and i.family != PROCESSES
        and best.get(_rows(i.rule), i) is not i
    }


def _against_targets(indicators: Sequence[Indicator]) -> dict[str, str]:
    """Return latest values of rows whose distance to the target is used as well."""
    latest = [(i, i.rule) for i in indicators if isinstance(i.rule, Latest)]
    gaps = {_rows(rule): i.name for i, rule in latest if rule.column == "gap"}
    return {
        i.name: gaps[_rows(rule)]
        for i, rule in latest
        if rule.column == "value" and _rows(rule) in gaps
    }


def _rows(rule: Trailing | DaysSince | Latest) -> Hashable:
    return (rule.table, rule.day, rule.where)


def _off(indicator: Indicator) -> int:
    window = indicator.rule.window if isinstance(indicator.rule, Trailing) else 0
    return abs(window - BEST_WINDOW)


MAX_SHARED = 0.8
"""Maximum R² of a column on earlier ones (a variance inflation factor of 5)."""
MIN_WITHIN = 0.05
"""Minimum share of a column's variance that is between accounts of equal tenure."""


def without_collinear(
    columns: Sequence[Column], decisions: CoxDesign, strata: Labels | None
) -> tuple[list[Column], list[LeftOut]]:
    """Return the columns with information of their own, in order, and those left out.

    The criterion is the information at hazard ratios of one, that is, within risk sets, where a Cox
    model makes its comparisons. Of a collinear set, the first columns are kept.
    """
    kept: list[int] = []
    left_out = []
    information = information_at_one(columns, decisions, strata)
    variance = np.diag(information)
    for j, column in enumerate(columns):
        overall = _variance(column.coded, decisions.weight) * decisions.churns
        if variance[j] <= MIN_WITHIN * overall:
            left_out.append(LeftOut(column.name, "accounts of equal tenure (and stratum) share it"))
            continue
        share, weights = _explained_by(information, kept, j)
        if share > MAX_SHARED:
            most = [columns[kept[k]].name for k in np.argsort(-weights)[:3] if weights[k] > 0.2]
            by = ", ".join(most) or "the others together"
            reason = f"{share_text(share, 1)} of its variance is explained by {by}"
            left_out.append(LeftOut(column.name, f"collinear: {reason}"))
            continue
        kept.append(j)
    return [columns[j] for j in kept], left_out


def _variance(values: Floats, weight: Floats) -> float:
    return float(np.average((values - np.average(values, weights=weight)) ** 2, weights=weight))


def information_at_one(
    columns: Sequence[Column], decisions: CoxDesign, strata: Labels | None
) -> Floats:
    """Return the information (p × p) of the columns at hazard ratios of one."""
    X = np.column_stack([column.coded for column in columns])
    sets = RiskSets.of(decisions.stop, decisions.event, decisions.start, strata)
    likelihood = PartialLikelihood(X, sets, decisions.weight, None, True)
    information: Floats = likelihood.evaluate(np.zeros(len(columns))).information
    return information


def _explained_by(information: Floats, kept: list[int], j: int) -> tuple[float, Floats]:
    """Return the R² of column j on the kept columns, and the weight of each of these."""
    if not kept:
        return 0.0, np.zeros(0)
    scale = 1 / np.sqrt(np.diag(information)[kept])
    inside = information[np.ix_(kept, kept)] * scale[:, None] * scale
    shared = information[kept, j] * scale / np.sqrt(information[j, j])
    weights = np.linalg.solve(inside, shared)
    return float(shared @ weights), np.abs(weights)
