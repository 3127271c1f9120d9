"""Summary of a fitted model: its training data and its performance on held-out accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from leadsignal.ingestion.loaded_table import DataWarning, warning_lines
from leadsignal.results import Result

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.model.recalibration import Recalibration


@dataclass(frozen=True, eq=False, repr=False)
class ModelSummary(Result):
    """Training data and held-out performance of a fitted model.

    Attributes
    ----------
    frame : DataFrame
        One row per indicator that the model reads: ``indicator``, ``family``, ``tables``, and the
        ``lowest`` and ``highest`` number in the training data, or the number of ``states``.
    estimator, version : str
    horizon, step : int
        In days.
    trained_through : date
        The as-of date of the panel.
    rows, churned : int
        Number of panel rows used for fitting, and of accounts in them that churned.
    accounts : int or None
        Number of accounts used for fitting; None if a saved model does not say.
    held_out_auc : float or None
        AUC of the step hazards: over pairs of a row whose account churned in a step and a row at
        risk in the same step whose account did not, the share in which the first has the higher
        hazard. Both rows were held out of the fit (three folds by customer). None if it is not
        known.
    recalibration : Recalibration or None
        What `ChurnModel.recalibrated` changed; None for a model that was not recalibrated.
    warnings : tuple of DataWarning
        Plausibility warnings about the tables that affect the model.
    """

    frame: pd.DataFrame
    estimator: str
    version: str
    horizon: int
    step: int
    trained_through: date
    rows: int
    churned: int
    accounts: int | None
    held_out_auc: float | None
    recalibration: Recalibration | None = None
    warnings: tuple[DataWarning, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that the indicators are computed from."""
        named = [name for text in self.frame["tables"] for name in text.split(", ") if name]
        return tuple(dict.fromkeys(named))

    def __repr__(self) -> str:
        accounts = "" if self.accounts is None else f" of {self.accounts:,} accounts"
        quality = "not known" if self.held_out_auc is None else f"AUC {self.held_out_auc:.3f}"
        return "\n".join(
            [
                *warning_lines(self.warnings),
                f"Churn model {self.version}: {self.estimator}, churn within {self.horizon} days"
                f" in steps of {self.step} days",
                f"trained on {self.rows:,} rows{accounts} until {self.trained_through};"
                f" {self.churned:,} accounts churned",
                f"reads {len(self)} indicators of the tables {', '.join(self.tables) or '–'}",
                f"churn in a step, customers held out: {quality} (0.5 is chance)",
                *([] if self.recalibration is None else [repr(self.recalibration)]),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the summary ready for JSON."""
        return {
            "estimator": self.estimator,
            "version": self.version,
            "horizon_days": self.horizon,
            "step_days": self.step,
            "trained_through": self.trained_through.isoformat(),
            "rows": self.rows,
            "accounts": self.accounts,
            "churned": self.churned,
            "held_out_auc": self.held_out_auc,
            "recalibration": None if self.recalibration is None else self.recalibration.to_dict(),
            "tables": list(self.tables),
            "indicators": self.frame["indicator"].tolist(),
            "warnings": [one.to_dict() for one in self.warnings],
        }
