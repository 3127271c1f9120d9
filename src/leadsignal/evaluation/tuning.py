"""Parameter search for a model, evaluated on past folds only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from leadsignal.arguments import checked
from leadsignal.durations import days_in
from leadsignal.errors import OptionError
from leadsignal.evaluation.folds import past_folds
from leadsignal.evaluation.methods import thinned
from leadsignal.model.churn_model import ChurnModel, churned_within
from leadsignal.model.classifier import estimator_name
from leadsignal.panel import Panel
from leadsignal.results import Result, to_html
from leadsignal.stats.row_estimates import mean_of
from leadsignal.workers import each

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tuning(Result):
    """Results of a parameter search; ``table`` has one row per candidate, the best first.

    ``log_loss`` is the mean over the account-snapshots of the folds, ``behind`` the difference from
    the best candidate, and ``behind_error`` the standard error of that difference, clustered by
    account. ``best`` is the unfitted model of the first row.
    """

    table: pd.DataFrame
    best: ChurnModel
    folds: int

    def _table(self) -> pd.DataFrame:
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Return the table, ready for JSON."""
        return {"folds": self.folds, "candidates": self.table.to_dict("records")}

    def __repr__(self) -> str:
        shown = self.table.to_string(index=False, float_format="{:.4f}".format)
        return f"Tuning over {self.folds} past folds, the best first\n{shown}"

    def _repr_html_(self) -> str:
        return to_html(f"Tuning over {self.folds} past folds, the best first", self.table)


@checked
def tune_model(
    panel: Panel,
    candidates: Sequence[Mapping[str, Any]],
    *,
    model: ChurnModel | None = None,
    folds: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Compare parameter settings of ``model`` on past folds: later snapshots of other customers.

    Each fold has a cut-off date. A candidate is fitted on what was known of two thirds of the
    customers by then, and evaluated by log loss on the snapshots of the other third from this
    cut-off to the next, as far as they were followed for a whole horizon. Each third is held out
    once. Raises OptionError if the panel is a sample or too short for the folds, or if there are no
    candidates.
    """
    panel.refuse_sample("tuning")
    base = model or ChurnModel()
    if not candidates:
        raise OptionError("no candidate is given", "Give a list of parameter settings")
    models = [clone(base).set_params(**setting) for setting in candidates]
    horizons = {days_in(one.horizon) for one in models}
    if len(horizons) > 1:
        raise OptionError(
            "the candidates have different horizons", "Compare models of the same horizon"
        )
    horizon = horizons.pop()
    tests = list(past_folds(thinned(panel), horizon, folds))
    tasks = [(one, known, rows) for known, rows in tests for one in models]
    values = sum(known.frame.size for _, known, _ in tasks)
    found = list(each(partial(_loss, panel, horizon), tasks, values=values, progress=progress))
    losses = [found[place :: len(models)] for place in range(len(models))]
    accounts = [rows["account_id"].to_numpy(str) for _, rows in tests]
    loss = np.array([np.concatenate(parts) for parts in losses])
    order = np.argsort(loss.mean(axis=1), kind="stable")
    best = int(order[0])
    codes = np.unique(np.concatenate(accounts), return_inverse=True)[1]
    table = pd.DataFrame(
        [
            {
                **_plain(candidates[place]),
                "log_loss": float(loss[place].mean()),
                "behind": float((loss[place] - loss[best]).mean()),
                "behind_error": mean_of(loss[place] - loss[best]).std_err(codes),
            }
            for place in order
        ]
    )
    return Tuning(table, models[best], folds)


def _loss(
    panel: Panel, horizon: int, model: ChurnModel, known: Panel, rows: pd.DataFrame
) -> Floats:
    """Return the log loss of each row, by a model fitted on what was known."""
    left = churned_within(panel, rows, horizon)
    risk = np.clip(clone(model).fit(known).predict(rows).risk, 1e-6, 1 - 1e-6)
    loss: Floats = -np.where(left, np.log(risk), np.log1p(-risk))
    return loss


def _plain(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return a setting with classifiers replaced by their names, ready for JSON."""
    return {
        name: estimator_name(value) if hasattr(value, "get_params") else value
        for name, value in setting.items()
    }
