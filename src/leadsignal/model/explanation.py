"""Explain a risk: Shapley values, its uncertainty, and the risk after adopting a process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import clone

from leadsignal.arguments import checked
from leadsignal.errors import ModelError, OptionError
from leadsignal.formats import level_text, of_hundred, share_text
from leadsignal.indicators.behaviors import (
    BEHAVIORS,
    METRICS,
    PROCESSES,
    behavior_columns,
    metric_columns,
    process_columns,
)
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.contributions import typical_row
from leadsignal.model.reasons import known_value, moving_parts, parts_of
from leadsignal.model.stacked_model import log_odds
from leadsignal.panel import Panel
from leadsignal.plots import COLOURS, GREY, SMALL, axes_of, percent_axis, write_title
from leadsignal.results import MAX_ROWS, Result, rounded, to_html
from leadsignal.workers import each

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


TOLD = 3
"""Maximum number of subjects that a sentence names as raising, and as lowering, the risk."""
MIN_FACTOR = 1.05
"""Subjects that change the odds by a smaller factor, in either direction, are not mentioned."""
COMPARED = 20_000
"""Maximum number of other accounts that an account is compared with, spaced evenly over all."""


@dataclass(frozen=True, eq=False)
class Explanation(Result):
    """One account's risk compared with a typical account's, and what makes the difference.

    ``table`` has one row per subject, the largest share first: ``share`` of the log-odds;
    ``factor``, by which it multiplies the odds; and ``what``, its indicator that moves the risk
    most, empty if none does by itself. The product of the factors is the ratio of the two odds.
    ``typical_risk`` comes from `ChurnModel.typical_risk`. ``clipped`` maps indicators outside the
    range of the training data to the nearest value in that range, which is used instead.
    """

    account_id: str
    snapshot_on: pd.Timestamp
    horizon: int
    risk: float
    typical_risk: float
    table: pd.DataFrame
    clipped: dict[str, float] = field(default_factory=dict)

    def sentence(self) -> str:
        """Return the explanation as text."""
        raises = self.table[self.table["factor"] >= MIN_FACTOR].head(TOLD)
        lowers = self.table[self.table["factor"] <= 1 / MIN_FACTOR].head(TOLD)
        parts = [
            f"{self.account_id} on {self.snapshot_on:%Y-%m-%d}: of 100 accounts like this,"
            f" {of_hundred(self.risk)} leave within {self.horizon} days; of 100 typical accounts"
            f" {of_hundred(self.typical_risk)}."
        ]
        if len(raises):
            parts.append(f"What raises it: {_listed(raises)}.")
        if len(lowers):
            parts.append(f"What lowers it: {_listed(lowers)}.")
        if len(parts) == 1:
            parts.append("Nothing sets it apart from a typical account.")
        if self.clipped:
            used = ", ".join(f"{name} {value:,.4g}" for name, value in self.clipped.items())
            parts.append(
                f"Outside the range of the training data, so the nearest value is used: {used}."
            )
        return " ".join(parts)

    def _table(self) -> pd.DataFrame:
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation ready for JSON."""
        return {
            "account_id": self.account_id,
            "snapshot_on": f"{self.snapshot_on:%Y-%m-%d}",
            "horizon_days": self.horizon,
            "risk": self.risk,
            "typical_risk": self.typical_risk,
            "sentence": self.sentence(),
            "clipped": self.clipped,
            "subjects": self.table.to_dict("records"),
        }

    def __repr__(self) -> str:
        return self.sentence()

    def _notebook_table(self) -> pd.DataFrame:
        return self.table.rename(columns={"share": "share, log-odds"})

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot each subject's share as a bar; bars to the right raise the risk."""
        table = self.table.iloc[::-1]
        title = (
            f"{self.account_id}: {share_text(self.risk)} within {self.horizon} days,"
            f" a typical account {share_text(self.typical_risk)}"
        )
        named = zip(table["subject"], table["what"], strict=True)
        labels = [": ".join(filter(None, one)).replace("_", " ") for one in named]
        axes = _bars(labels, table["share"].to_numpy(), title, ax)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_xlabel("share of the log-odds (right: raises the risk)")
        return axes


@dataclass(frozen=True, eq=False)
class Importance(Result):
    """How much each subject moves the risks of the rows; ``table`` has one row per subject.

    ``mean_share`` is the mean absolute share over rows, in log-odds; ``factor`` is its exponential,
    the typical factor on the odds. Importance describes what this model uses, not what causes
    churn.
    """

    table: pd.DataFrame
    rows: int

    def _table(self) -> pd.DataFrame:
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Return the table ready for JSON."""
        return {"rows": self.rows, "subjects": self.table.to_dict("records")}

    def __repr__(self) -> str:
        shown = self.table.to_string(index=False, float_format="{:.2f}".format)
        return f"What the model reads, over {self.rows:,} rows\n{shown}"

    def _repr_html_(self) -> str:
        table = self.table.rename(columns={"mean_share": "mean share, log-odds"})
        return to_html(f"What the model reads, over {self.rows:,} rows", table)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot one bar per subject."""
        table = self.table.iloc[::-1]
        title = f"What moves the risks of {self.rows:,} rows"
        axes = _bars(list(table["subject"]), table["mean_share"].to_numpy(), title, ax)
        axes.set_xlabel("mean size of the share in log-odds")
        return axes


@checked
def explain_account(
    model: ChurnModel, rows: pd.DataFrame, account_id: str, *, against: pd.DataFrame | None = None
) -> Explanation:
    """Explain the latest row of an account, compared with a typical row of ``against``.

    ``against`` are panel rows, by default those of the same day without notice, as in scoring.
    Shares are those of `ChurnModel.reasons`. Raises OptionError if the account has no row.

    >>> import leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> model = ls.ChurnModel(estimator="logistic").fit(panel)
    >>> current = panel.current()
    >>> explanation = ls.explain_account(model, current, current["account_id"].iloc[0])
    >>> explanation.sentence().split(":")[1].split(",")[0]
    ' of 100 accounts like this'
    """
    mine = rows[rows["account_id"].astype(str) == str(account_id)]
    if not len(mine):
        raise OptionError(f"account {account_id!r} has no row", "Name an account of the rows")
    mine = mine.sort_values("snapshot_on").tail(1)
    day = mine["snapshot_on"].iloc[0]
    others = compared_with(rows[rows["snapshot_on"] == day]) if against is None else against
    shares = model.reasons(mine, against=others)
    share = shares.iloc[0].to_numpy()
    values = _named_values(model, mine, others, shares)
    risk = float(model.predict(mine).risk[0])
    order = np.argsort(-np.abs(share), kind="stable")
    return Explanation(
        str(account_id),
        day,
        int(model.hazards_.ends[-1]),
        risk,
        model.typical_risk(others),
        pd.DataFrame(
            {
                "subject": [str(shares.columns[place]) for place in order],
                "share": share[order],
                "factor": np.exp(share[order]),
                "what": [values[place] for place in order],
            }
        ),
        _clipped(model, mine),
    )


def compared_with(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows to compare an account with: those without notice, at most 20,000.

    They are spaced evenly over the rows in their order, so the selection is reproducible.
    """
    open_rows = rows[~rows["notice_given"].to_numpy(dtype=bool)]
    kept = open_rows if len(open_rows) else rows
    return kept.iloc[:: max(1, -(-len(kept) // COMPARED))]


def _clipped(model: ChurnModel, row: pd.DataFrame) -> dict[str, float]:
    """Return the values used in place of those outside the range of the training data."""
    features = model.features_
    places = np.flatnonzero(features.clipped(row)[0])
    read = features.matrix(row)[0]
    return {features.names[place]: float(read[place]) for place in places}


@checked
def subject_importance(
    model: ChurnModel, rows: pd.DataFrame, *, against: pd.DataFrame | None = None
) -> Importance:
    """Return how much each subject changes the risks of panel rows, the most important first.

    This is the mean absolute value of the shares of `ChurnModel.reasons`, which also explain single
    accounts.
    """
    size = model.reasons(rows, against=against).abs().mean().sort_values(ascending=False)
    columns = {
        "subject": [str(name) for name in size.index],
        "mean_share": size.to_numpy(),
        "factor": np.exp(size.to_numpy()),
    }
    return Importance(pd.DataFrame(columns), len(rows))


def _named_values(
    model: ChurnModel, row: pd.DataFrame, others: pd.DataFrame, shares: pd.DataFrame
) -> list[str]:
    """Return, for each subject, the indicator that moves the risk most, excluding personal data."""
    parts = [part for part in parts_of(model) if part.kind != "attribute"]
    columns = [
        moving_parts(model, row, others, parts, requested, lowers).column[0]
        for requested, lowers in ((shares > 0, False), (shares < 0, True))
    ]
    texts = []
    for place in np.maximum(*columns):
        name = model.features_.names[place] if place >= 0 else ""
        texts.append(value_text(name, known_value(row[name].iloc[0])) if name else "")
    return texts


def _listed(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{row.subject} ({row.what}{'; ' if row.what else ''}odds times {row.factor:.2f})"
        for row in rows.itertuples()
    )


def _bars(labels: list[str], sizes: np.ndarray[Any, Any], title: str, ax: Axes | None) -> Axes:
    axes = axes_of(ax, (7.6, 0.34 * len(labels) + 1.2))
    colours = [COLOURS[1] if size > 0 else COLOURS[0] for size in sizes]
    axes.barh(np.arange(len(labels)), sizes, color=colours, height=0.62)
    axes.set_yticks(np.arange(len(labels)), labels, fontsize=SMALL)
    write_title(axes, title)
    return axes


def value_text(name: str, value: Any) -> str:
    """Return the value of an indicator as text."""
    if value is None:
        return f"{name} missing"
    return f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}"


MIN_RESAMPLES = 10


@dataclass(frozen=True, eq=False)
class RiskBands(Result):
    """A band for each row's risk: ``risk``, ``low`` and ``high``, all of shape (rows,).

    The band covers the risk of accounts like this one, not whether this one leaves.
    """

    account_id: NDArray[Any]
    risk: Floats
    low: Floats
    high: Floats
    level: float
    resamples: int

    def _table(self) -> pd.DataFrame:
        """Return one row per account, in the order of the rows."""
        risks = {"risk": self.risk, "risk_low": self.low, "risk_high": self.high}
        return pd.DataFrame({"account_id": self.account_id, **risks})

    def __repr__(self) -> str:
        return (
            f"Risk bands of {len(self.risk):,} rows, {level_text(self.level)} over {self.resamples}"
            f" resamples of accounts: their median limits are {share_text(np.median(self.low), 1)}"
            f" and {share_text(np.median(self.high), 1)}"
        )

    def _notebook_table(self) -> pd.DataFrame:
        return rounded(self._table().nlargest(MAX_ROWS, "risk"), 3)

    def plot(self, ax: Axes | None = None, *, most: int = 12) -> Axes:
        """Plot the ``most`` riskiest accounts with their bands."""
        top = self._table().nlargest(most, "risk").iloc[::-1]
        axes = axes_of(ax, (6.4, 0.22 * len(top) + 1.2))
        at = np.arange(len(top))
        axes.hlines(at, top["risk_low"], top["risk_high"], color=COLOURS[0], linewidth=1.5)
        axes.plot(top["risk"], at, "o", color=COLOURS[0], markersize=4)
        axes.set_yticks(at, top["account_id"].astype(str), fontsize=SMALL)
        axes.set(xlabel="risk of churn within the horizon", xlim=(0, None))
        percent_axis(axes.xaxis)
        write_title(axes, f"The riskiest accounts, with {level_text(self.level)} bands")
        return axes


@checked
def risk_bands(
    model: ChurnModel,
    panel: Panel,
    rows: pd.DataFrame,
    *,
    resamples: int = 30,
    level: float = 0.9,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RiskBands:
    """Return bootstrap bands of the risks, refitting the model on resampled accounts.

    The band is the log-odds of the risk plus and minus the normal quantile times its standard
    deviation over ``resamples`` refits (Efron 1979, by account: all rows of an account stay
    together). ``panel`` must be the one the model was fitted on. Raises OptionError for fewer than
    10 resamples, a level outside (0, 1), or a panel that is a sample of rows.
    """
    from leadsignal.stats import normal_quantile

    panel.refuse_sample("a risk band")
    if resamples < MIN_RESAMPLES or not 0 < level < 1:
        raise OptionError(
            f"resamples is {resamples}, level is {level}",
            f"Give at least {MIN_RESAMPLES} resamples, and a level between 0 and 1",
        )
    risk = model.predict(rows).risk
    rng = np.random.default_rng(seed)
    # Accounts are drawn here, in a fixed order; only their numbers go to other processes.
    accounts = panel.frame["account_id"].nunique()
    draws = [(rng.integers(accounts, size=accounts),) for _ in range(resamples)]
    refit = partial(_refitted, model, panel, rows)
    values = resamples * panel.frame.size
    resampled = list(each(refit, draws, values=values, progress=progress))
    margin = normal_quantile(level) * np.std(resampled, axis=0, ddof=1)
    middle = log_odds(risk)
    return RiskBands(
        rows["account_id"].to_numpy(),
        risk,
        expit(middle - margin),
        expit(middle + margin),
        level,
        resamples,
    )


def _refitted(
    model: ChurnModel, panel: Panel, rows: pd.DataFrame, numbers: NDArray[np.int64]
) -> Floats:
    """Return the log-odds of the rows' risks from the model refitted on resampled accounts."""
    try:
        refit = clone(model).fit(_resampled(panel, numbers))
    except ModelError as error:
        raise ModelError(
            f"a resample of the accounts cannot be fitted: {error.problem}", error.remedy
        ) from None
    return log_odds(refit.predict(rows).risk)


def _resampled(panel: Panel, numbers: NDArray[np.int64]) -> Panel:
    """Return the panel of the resampled accounts, numbered in order of account_id.

    Copies become separate accounts of the same customer, so they are always in the same fold.
    """
    frame = panel.frame
    codes, names = pd.factorize(frame["account_id"], sort=True)
    copies = np.bincount(numbers, minlength=len(names))[codes]
    row = np.repeat(np.arange(len(frame)), copies)
    copy = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    rows = frame.iloc[row].reset_index(drop=True)
    rows["customer_id"] = rows["customer_id"].fillna(rows["account_id"])
    rows["account_id"] = rows["account_id"].astype(str) + "#" + copy.astype(str)
    return replace(panel, frame=rows)


MIN_ADOPTERS = 20
"""Minimum number of adopters for an estimate."""
ALIKE = ("term_months", "segment")
"""Columns in which adopters must agree with an account, if the model reads them."""


@checked
def risk_if_adopted(
    model: ChurnModel,
    rows: pd.DataFrame,
    process: str,
    *,
    alike: Sequence[str] = ALIKE,
    among: pd.DataFrame | None = None,
) -> NDArray[np.float64]:
    """Return each row's risk, shape (rows,), with the indicators of a process set as for adopters.

    All indicators of ``process`` are set to the median (or most frequent state) of the rows in
    ``among`` (default: ``rows``) that have adopted it and agree in the columns ``alike``; all other
    values stay as they are. The result is NaN for rows that have adopted the process, and where
    fewer than 20 accounts have. It is the risk of similar accounts that have adopted the process,
    not the effect of adopting it: accounts also adopt because they do well. Raises OptionError for
    a process that the model does not read.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    >>> panel = ls.build_panel(tables, analysis)
    >>> model = ls.ChurnModel(estimator="logistic").fit(panel)
    >>> rows = panel.current()
    >>> risk = ls.model.risk_if_adopted(model, rows, analysis.processes[0].name)
    >>> risk.shape == (len(rows),)
    True
    """
    state = process_columns(process)[0]
    if state not in model.features_.names:
        known = [p.name for p in model.analysis_.processes]
        raise OptionError(
            f"the model has no process {process!r}", f"Name one of {', '.join(known) or 'none'}"
        )
    among = rows if among is None else among
    names, changing = model.features_.names, _columns_of(model, process)
    columns = np.array(
        [place for place, name in enumerate(names) if name in changing[model.families_[name]]]
    )
    matrix, others = model.features_.matrix(rows), model.features_.matrix(among)
    keys = [names.index(name) for name in alike if name in names]
    adopted = (among[state] == "adopted").to_numpy(dtype=bool, na_value=False)
    open_to = ~(rows[state] == "adopted").to_numpy(dtype=bool, na_value=False)
    changed = np.zeros(len(rows), dtype=bool)
    context, number = np.unique(_codes(matrix, keys), axis=0, return_inverse=True)
    number = number.reshape(-1)
    theirs = _codes(others, keys)
    for place, values in enumerate(context):
        like = adopted & (theirs == values).all(axis=1)
        if among.loc[like, "account_id"].nunique() < MIN_ADOPTERS:
            continue
        mine = open_to & (number == place)
        typical = typical_row(others[like][:, columns], model.features_.is_category[columns])
        matrix[np.ix_(mine, columns)] = typical
        changed |= mine
    risk = np.full(len(rows), np.nan)
    risk[changed] = model.hazards_.curves(matrix[changed])[0][:, -1]
    return risk


def _columns_of(model: ChurnModel, process: str) -> Mapping[str, tuple[str, ...]]:
    """Return the indicators of a process, its behaviours and their metrics, by family."""
    done = [b for p in model.analysis_.processes if p.name == process for b in p.behaviors]
    found = {
        PROCESSES: process_columns(process),
        METRICS: metric_columns(model.analysis_.metrics, done),
    }
    kept = model.origin_.behaviors
    if kept is not None:
        found[BEHAVIORS] = behavior_columns(kept, done)
    return defaultdict(tuple, found)


def _codes(matrix: NDArray[np.float64], keys: list[int]) -> NDArray[np.float64]:
    """Return the columns in which accounts must agree; missing values agree with each other."""
    return np.where(np.isnan(matrix[:, keys]), -1.0, matrix[:, keys])
