"""Scores made in hindsight: by a model trained through a later day than the one that is scored."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

HINDSIGHT = "hindsight"


def in_hindsight(snapshot_on: pd.Series, trained_through: date) -> pd.Series:
    """Return for each snapshot date whether the model had seen later days."""
    import pandas as pd

    return pd.to_datetime(snapshot_on) < pd.Timestamp(trained_through)


def with_hindsight(scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores with the column ``hindsight``; where it is missing, by the model's version.

    A version begins with the day through which the model was trained. A version of another form
    says nothing, and its scores are taken for those of the day.
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
