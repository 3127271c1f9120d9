"""Risk of an account if it had adopted a process, estimated from similar adopters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.arguments import checked
from leadsignal.errors import OptionError
from leadsignal.indicators import behavior_metrics, behaviors
from leadsignal.indicators.processes import FAMILY, process_columns
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.shapley import typical_row

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
        FAMILY: process_columns(process),
        behavior_metrics.FAMILY: behavior_metrics.columns_of(model.analysis_.metrics, done),
    }
    kept = model.origin_.behaviors
    if kept is not None:
        found[behaviors.FAMILY] = behaviors.columns_of(kept, done)
    return defaultdict(tuple, found)


def _codes(matrix: NDArray[np.float64], keys: list[int]) -> NDArray[np.float64]:
    """Return the columns in which accounts must agree; missing values agree with each other."""
    return np.where(np.isnan(matrix[:, keys]), -1.0, matrix[:, keys])
