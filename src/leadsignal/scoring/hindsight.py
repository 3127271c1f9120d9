"""Scores made in hindsight: by a model trained on data from after the scored date."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

HINDSIGHT = "hindsight"


def in_hindsight(snapshot_on: pd.Series, trained_through: date) -> pd.Series:
    """Return, for each snapshot date, whether the model was trained on later days."""
    import pandas as pd

    return pd.to_datetime(snapshot_on) < pd.Timestamp(trained_through)


def with_hindsight(scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores with the column ``hindsight``, derived from the model version if missing.

    A version begins with the last day of the training data. If it has another form, the scores are
    assumed not to be made in hindsight.
    """
    if HINDSIGHT in scores or not {"model_version", "snapshot_on"} <= set(scores):
        return scores
    marked = scores.assign(**{HINDSIGHT: False})
    for version, rows in scores.groupby("model_version"):
        through = _trained_through(str(version))
        if through is not None:
            marked.loc[rows.index, HINDSIGHT] = in_hindsight(rows["snapshot_on"], through)
    return marked


def _trained_through(version: str) -> date | None:
    try:
        return datetime.strptime(version.partition("-")[0], "%Y%m%d").date()
    except ValueError:
        return None
