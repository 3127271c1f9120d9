"""Customer fit: churn and success by reason to buy and by attribute.

A reason to buy is also a reason to stay if customers who gave it leave less often than others of
similar tenure. A discount or a temporary need attracts customers but does not keep them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal import plots
from leadsignal.arguments import checked
from leadsignal.as_of_context import AsOfContext
from leadsignal.cohorts.contrasts import MIN_ACCOUNTS
from leadsignal.cohorts.curves import SmallGroups, expected_ends, shrink
from leadsignal.cohorts.dated import CHURN, OTHER_END, DatedCohorts
from leadsignal.cohorts.from_tables import dated_cohorts
from leadsignal.cohorts.risk_intervals import columns_of
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import ModelError, OptionError, one_of
from leadsignal.files.writing import json_fields
from leadsignal.formats import level_text
from leadsignal.results import Result
from leadsignal.survival.curves import aalen_johansen
from leadsignal.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


REASON = "purchase_reason"
YEAR = 365
STAYS, LEAVES, OPEN, FEW = "stays longer", "leaves sooner", "not decided", "too few"
WORDS_OF_REASONS = {STAYS: "also a reason to stay", LEAVES: "no reason to stay"}
SUCCESS = (
    "reached", "expected_reached", "success", "success_low", "success_high", "reached_12m",
    "reached_low", "reached_high",
)  # fmt: skip
MAX_VALUES = 12
"""Text attributes with more values are left out by default."""


@dataclass(frozen=True, repr=False, eq=False)
class CustomerFit(Result):
    """Churn and success by attribute value, shrunken towards the attribute's average.

    ``frame`` has one row per value: ``attribute``, ``value``, ``accounts``, ``churned`` and
    ``expected`` (given tenure and the adjustment); ``churn``, the shrunken ratio of observed to
    expected churn, with limits ``churn_low`` and ``churn_high``, and ``raw``, the same without
    shrinkage; ``retention_12m`` with its limits; ``measured_from_start``, the number of accounts
    whose results are known from their start; ``reached`` and ``expected_reached``; ``success``, the
    shrunken ratio of how often accounts first get on target, with limits; ``reached_12m``, the
    probability of getting on target within a year (leaving first counts as failure), with limits;
    and ``verdict``. Values with fewer than five accounts have no numbers.
    """

    frame: pd.DataFrame
    by: tuple[str, ...]
    adjusted_for: tuple[str, ...]
    notes: tuple[str, ...]
    level: float
    as_of_date: date

    def values(self, verdict: str) -> tuple[str, ...]:
        """Return the values with this verdict: "stays longer", "leaves sooner", "not decided"."""
        return tuple(self.frame.loc[self.frame["verdict"] == verdict, "value"])

    @property
    def reasons_to_stay(self) -> tuple[str, ...]:
        """Values whose churn interval is entirely below the average."""
        return self.values(STAYS)

    @property
    def no_reasons_to_stay(self) -> tuple[str, ...]:
        """Values whose churn interval is entirely above the average."""
        return self.values(LEAVES)

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, the notes and the settings, ready for JSON."""
        names = ("as_of", "by", "adjusted_for", "level", "values", "notes")
        return json_fields(self, *names, as_of="as_of_date", values="frame")

    def __repr__(self) -> str:
        adjusted = ", ".join(("tenure", *self.adjusted_for))
        lines = [
            f"Churn and success by {', '.join(self.by)}, relative to the average of 1, adjusted"
            f" for {adjusted} ({level_text(self.level)} intervals, shrunken); churn is dated by"
            " the day it was known"
        ]
        for row in self.frame.to_dict("records"):
            name = f"{row['attribute']} {row['value']}" if len(self.by) > 1 else row["value"]
            few = f"fewer than {MIN_ACCOUNTS} accounts"
            words = WORDS_OF_REASONS if row["attribute"] == REASON else {}
            verdict = words.get(row["verdict"], row["verdict"])
            text = few if verdict == FEW else f"{_rates(row)}; {verdict}"
            lines.append(f"  {name}: {text}")
        return "\n".join([*lines, *self.notes])

    def _notebook_table(self) -> pd.DataFrame:
        hidden = ["raw", "expected", "expected_reached"]
        return self.frame.drop(columns=hidden, errors="ignore").round(3)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot churn and success by value with intervals, best first, and return the Axes."""
        rows = self.frame[self.frame["churn"].notna()].reset_index(drop=True)
        axes = plots.axes_of(ax, (8.6, 1.7 + 0.42 * len(rows)))
        axes.axvline(1, color=plots.GREY, linewidth=1, linestyle="--", zorder=0)
        colours = {STAYS: plots.COLOURS[2], LEAVES: plots.COLOURS[1]}
        several = len(set(self.frame["attribute"])) > 1
        names = []
        for n, row in enumerate(rows.to_dict("records")):
            colour = colours.get(row["verdict"], plots.GREY)
            limits = plots.reach(row["churn"], row["churn_low"], row["churn_high"])
            axes.errorbar(row["churn"], n - 0.11, xerr=limits, fmt="s", markersize=6, color=colour,
                          elinewidth=2)  # fmt: skip
            plots.write_beside(axes, n, row["verdict"], fontsize=plots.LABEL, color=colour)
            name = f"{row['attribute']}: {row['value']}" if several else row["value"]
            names.append(plots.literal(name))
        if "success" in rows and rows["success"].notna().any():
            limits = plots.reach(*(rows[f"success{part}"] for part in ("", "_low", "_high")))
            axes.errorbar(
                rows["success"], np.arange(len(rows)) + 0.16, xerr=limits, fmt="o", markersize=4.5,
                color=plots.COLOURS[0], elinewidth=1, markerfacecolor="white",
                label="getting on target (above 1: more often)",
            )  # fmt: skip
        axes.plot([], [], "s", color=plots.GREY, label="churn (below 1: fewer leave)")
        plots.name_rows(axes, names, 0.45, 0.55)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"relative to the average, {level_text(self.level)} interval, shrunken")
        plots.legend_above(axes, **plots.CLOSE)
        return axes


def _rates(row: Mapping[Any, Any]) -> str:
    text = (
        f"churn {row['churn']:.2f} ({row['churn_low']:.2f} to {row['churn_high']:.2f}),"
        f" {row['churned']:.0f} of {row['accounts']:.0f} accounts"
    )
    if np.isfinite(row.get("success", np.nan)):
        limits = f"{row['success_low']:.2f} to {row['success_high']:.2f}"
        text += f"; success {row['success']:.2f} ({limits})"
    return text


@checked
def reasons_to_buy(
    tables: Tables,
    analysis: SuccessAnalysis | None = None,
    *,
    by: str = REASON,
    adjust: Sequence[str] = (),
    context: AsOfContext | None = None,
) -> CustomerFit:
    """Return which reasons to buy are also reasons to stay.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the success metrics.
    by : str, default "purchase_reason"
        Attribute that holds the reason to buy.
    adjust : sequence of str
        Attributes to adjust for.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    CustomerFit
        One row per reason.

    Raises
    ------
    OptionError, ModelError
        As for `fit_by`.

    Examples
    --------
    >>> import leadsignal as ls
    >>> fit = ls.success_analysis.reasons_to_buy(ls.read_tables(ls.sample_folder()))
    >>> fit.no_reasons_to_stay
    ()
    """
    if by == REASON and by not in tables.attributes:
        raise OptionError(
            f"accounts have no attribute {REASON}",
            "Declare it in leadsignal.toml, or name the attribute with the reason in by=",
        )
    return fit_by(tables, by, analysis, adjust=adjust, context=context)


@checked
def fit_by(
    tables: Tables,
    by: str | Sequence[str] | None = None,
    analysis: SuccessAnalysis | None = None,
    *,
    adjust: Sequence[str] = (),
    level: float = 0.95,
    context: AsOfContext | None = None,
) -> CustomerFit:
    """Return churn and success by attribute value, shrunken towards the mean, with intervals.

    Parameters
    ----------
    tables : Tables
        Checked tables, as of their ``as_of_date``.
    by : str or sequence of str, optional
        Declared attributes. Default: all numeric ones, and text attributes with at most twelve
        values. Numeric attributes are split into thirds.
    analysis : SuccessAnalysis, optional
        The success analysis, which names the success metrics.
    adjust : sequence of str
        Attributes to adjust for.
    level : float, default 0.95
        Confidence level.
    context : AsOfContext, optional
        Results already computed from the same tables and analysis.

    Returns
    -------
    CustomerFit
        One row per attribute and value.

    Raises
    ------
    OptionError
        If an attribute is not declared.
    ModelError
        If no attribute has two values.

    Examples
    --------
    >>> import leadsignal as ls
    >>> fit = ls.success_analysis.fit_by(ls.read_tables(ls.sample_folder()), "segment")
    >>> sorted(fit.frame["value"])
    ['enterprise', 'mid', 'small']
    """
    names = _names(tables, by, tuple(adjust))
    context = AsOfContext.of(tables, analysis, context)
    first, notes = _first_on_target(context)
    frames = []
    for name in names:
        try:
            cohorts = dated_cohorts(tables, name, analysis, context=context)
        except ModelError:
            notes.append(f"{name} has one value only; left out")
            continue
        frames.append(_of_attribute(cohorts, name, tables, first, tuple(adjust), level))
    if not frames:
        raise ModelError("no attribute has two values", "Name another in by=")
    frame = pd.concat(frames, ignore_index=True)
    if not frame["verdict"].isin([STAYS, LEAVES]).any():
        notes.append("no value differs from the average beyond chance")
    return CustomerFit(frame, names, tuple(adjust), tuple(notes), level, tables.as_of_date)


def _names(
    tables: Tables, by: str | Sequence[str] | None, adjust: tuple[str, ...]
) -> tuple[str, ...]:
    if by is None:
        accounts = tables.frame("accounts")
        by = [
            name
            for name, kind in tables.attributes.items()
            if name not in adjust and (kind == "number" or accounts[name].nunique() <= MAX_VALUES)
        ]
    names = (by,) if isinstance(by, str) else tuple(by)
    unknown = [name for name in (*names, *adjust) if name not in tables.attributes]
    if unknown or not names:
        listed = ", ".join(map(repr, unknown)) or "nothing"
        allowed = one_of(tables.attributes, unknown[0] if unknown else "")
        remedy = allowed if tables.attributes else "Declare attributes in leadsignal.toml"
        raise OptionError(f"{listed} is not a declared attribute", remedy)
    if both := set(names) & set(adjust):
        raise OptionError(
            f"{', '.join(sorted(both))} is in by= and adjust=", "Adjust for another attribute"
        )
    return names


def _first_on_target(context: AsOfContext) -> tuple[pd.Series[Any] | None, list[str]]:
    """Return the day each account was first on target (None without results), and notes."""
    try:
        rows = context.results
    except OptionError:
        return None, ["there are no results against targets: success is unknown"]
    on = rows[rows["on_target"].eq(True)]
    return on.groupby("account_id")["measured_on"].min(), []


def _of_attribute(
    cohorts: DatedCohorts, name: str, tables: Tables, first: pd.Series[Any] | None,
    adjust: tuple[str, ...], level: float,
) -> pd.DataFrame:  # fmt: skip
    """Return the rows of one attribute, lowest churn first."""
    rows = []
    for k, group in enumerate(_relative(cohorts, adjust, level)):
        few = group.accounts < MIN_ACCOUNTS
        verdict = STAYS if group.high < 1 else LEAVES if group.low > 1 else OPEN
        left, least, most = _probability(cohorts, k)
        rows.append(
            {"attribute": name, "value": group.name, "accounts": group.accounts,
             "churned": group.ended, "expected": group.expected, "raw": group.raw,
             "churn": group.rate, "churn_low": group.low, "churn_high": group.high,
             "retention_12m": 1 - left, "retention_low": 1 - most, "retention_high": 1 - least,
             "verdict": FEW if few else verdict}
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    reaching = None if first is None else _reaching(cohorts, tables, first)
    if reaching is not None:
        frame = frame.merge(_success(reaching, adjust, level), on="value", how="left")
    numbers = [str(c) for c in frame if c not in ("attribute", "value", "verdict")]
    frame[numbers] = frame[numbers].astype(float)
    frame.loc[frame["verdict"] == FEW, numbers] = np.nan
    return frame.sort_values(["churn", "value"], na_position="last", ignore_index=True)


def _relative(cohorts: DatedCohorts, adjust: tuple[str, ...], level: float) -> SmallGroups:
    """Return the shrunken ratio of observed to expected events by level of the attribute."""
    n = len(cohorts.levels)
    X = columns_of({name: cohorts.covariates[name] for name in adjust}) if adjust else None
    ended = np.bincount(cohorts.row_state, cohorts.row_cause == CHURN, n).astype(int)
    counts = [len(np.unique(cohorts.row_account[cohorts.row_state == k])) for k in range(n)]
    expected = expected_ends(cohorts, X)
    return shrink(cohorts.levels, ended, expected, accounts=counts, level=level)


def _probability(cohorts: DatedCohorts, k: int) -> tuple[float, float, float]:
    """Return the probability of churn by day 365 for a level, with limits; NaN if unobserved."""
    causes, mine = cohorts.row_cause, cohorts.row_state == k
    young = mine & (cohorts.row_start <= YEAR) & (cohorts.row_stop > cohorts.row_start)
    if young.sum() < MIN_ACCOUNTS or not (causes[mine] == CHURN).any():
        return np.nan, np.nan, np.nan  # A cause without events has no curve.
    curve = aalen_johansen(
        cohorts.row_stop[mine], causes[mine], start=cohorts.row_start[mine],
        cluster=cohorts.cluster[cohorts.row_account[mine]],
    ).of("all", CHURN)  # fmt: skip
    if curve.last < YEAR:
        return np.nan, np.nan, np.nan
    place = int(np.searchsorted(curve.time, YEAR, "right")) - 1
    if place < 0 or curve.estimate[place] == 0:
        # No event by then: use the limit of a proportion of 0 (Clopper & Pearson 1934).
        seen = int((cohorts.row_stop[mine] >= YEAR).sum())
        return 0.0, 0.0, 1 - 0.025 ** (1 / max(seen, 1))
    return curve.estimate[place], curve.lower[place], curve.upper[place]


def _reaching(cohorts: DatedCohorts, tables: Tables, first: pd.Series[Any]) -> DatedCohorts | None:
    """Return cohorts whose event is first being on target; leaving is a competing event.

    Accounts that started before results were recorded are left out, because their first time is not
    known.
    """
    accounts = tables.frame("accounts").set_index("account_id")
    started = pd.to_datetime(accounts["started_on"]).reindex(cohorts.accounts)
    since = tables.coverage["results"].complete_from
    if since is None:
        return None
    known = (cohorts.entry == 0) & (started >= pd.Timestamp(since)).to_numpy()
    on = (pd.to_datetime(first.reindex(cohorts.accounts)) - started.to_numpy()).dt.days
    day = np.where(on.notna(), np.maximum(on.fillna(0), 1), np.inf)
    stop = np.minimum(day, cohorts.stop)
    cause = np.where(day <= cohorts.stop, CHURN, np.where(cohorts.cause > 0, OTHER_END, 0))
    state = np.full(len(cohorts), -1)
    state[cohorts.row_account[::-1]] = cohorts.row_state[::-1]  # the first is set last
    kept = np.flatnonzero(known)
    if not len(kept) or len(np.unique(state[kept])) < 2:
        return None
    values: dict[str, NDArray[Any]] = {k: v[kept] for k, v in cohorts.covariates.items()}
    return DatedCohorts.from_changes(
        cohorts.name, cohorts.levels, cohorts.accounts[kept], stop[kept], cause[kept],
        (np.arange(len(kept)), np.zeros(len(kept)), state[kept]), cluster=cohorts.cluster[kept],
        covariates=values,
    )  # fmt: skip


def _success(reaching: DatedCohorts, adjust: tuple[str, ...], level: float) -> pd.DataFrame:
    """Return by value how often accounts first get on target, and the probability within a year."""
    rows = []
    for k, group in enumerate(_relative(reaching, adjust, level)):
        chance = _probability(reaching, k)
        numbers = [group.ended, group.expected, group.rate, group.low, group.high, *chance]
        known = [np.nan] * len(numbers) if group.accounts < MIN_ACCOUNTS else numbers
        rows.append((group.name, group.accounts, *known))
    return pd.DataFrame(rows, columns=["value", "measured_from_start", *SUCCESS])
