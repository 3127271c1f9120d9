"""Explain the risk of one account, or a model as a whole, by Shapley values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.arguments import checked
from leadsignal.errors import OptionError
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.telling import known_value, moving_parts, parts_of
from leadsignal.phrases import of_hundred, share_text
from leadsignal.picture_style import COLOURS, GREY, SMALL, axes_of, write_title
from leadsignal.results import Result, to_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        _table(
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
    return Importance(
        _table(
            {
                "subject": [str(name) for name in size.index],
                "mean_share": size.to_numpy(),
                "factor": np.exp(size.to_numpy()),
            }
        ),
        len(rows),
    )


def _table(columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(columns)


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

    height = 0.34 * len(labels) + 1.2
    axes = axes_of(ax, (7.6, height))
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
