"""The rankings that a backtest compares: random, simple rules, and models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from leadsignal.errors import ModelError, OptionError
from leadsignal.evaluation.alerts import EvaluationRows, on_grid
from leadsignal.model.churn_model import ChurnModel, at_risk
from leadsignal.model.persistence.recipe import Recipe
from leadsignal.panel import Panel
from leadsignal.progress import Progress
from leadsignal.workers import each

Floats = NDArray[np.float64]


MODELS: Mapping[str, tuple[str, ...]] = {
    "context": ("context",),
    "lagging": ("lagging", "context"),
    "leading": ("leading", "context"),
    "all": ("leading", "lagging", "context"),
}
METHODS = ("random", "usage", "health", *MODELS)
MODEL = "model"
"""Name of the extra method for a given model, used if no other method has its indicators."""
FIT_EVERY = 28
"""Models are fitted on snapshots at least this many days apart, as closer ones are redundant."""
ROWS_AT_ONCE = 20_000


@dataclass(frozen=True, eq=False)
class Ranked:
    """The ``risk`` by a method for each evaluated row, and whether it is a probability."""

    name: str
    risk: Floats
    is_probability: bool


def cut_offs(panel: Panel, horizon: int, origins: int) -> list[date]:
    """Return the dates on which models are fitted, evenly spaced over the second half.

    Raises OptionError if no snapshot of the panel is followed for a whole horizon.
    """
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=horizon)
    days = np.sort(on_grid(panel)["snapshot_on"].unique())
    days = days[days < last.to_datetime64()]
    if len(days) < 2:
        raise OptionError(
            f"the panel ends at {panel.as_of_date}; no two snapshots of it are followed for"
            f" {horizon} days",
            "Give a longer history, or a shorter horizon",
        )
    later = days[len(days) // 2 :]
    # Fitting a model on a day requires a whole horizon before it.
    later = later[later >= days[0] + np.timedelta64(horizon, "D")]
    if not len(later):
        raise OptionError(
            f"no snapshot has {horizon} days, the horizon, both before and after it",
            "Give a longer history, or a shorter horizon",
        )
    at = np.unique(np.linspace(0, len(later), origins, endpoint=False).astype(int))
    return [pd.Timestamp(day).date() for day in later[at]]


def thinned(panel: Panel) -> Panel:
    """Return the panel with snapshots at least 28 days apart, for fitting models."""
    step = -(-FIT_EVERY // panel.every)
    if step <= 1:
        return panel
    days = np.sort(on_grid(panel)["snapshot_on"].unique())[::-step]
    frame = panel.frame
    return replace(panel, frame=frame[frame["snapshot_on"].isin(days)].reset_index(drop=True))


def can_read(panel: Panel, name: str) -> str | None:
    """Return why a method cannot be run on this panel, or None if it can."""
    if name == "usage" and "usage_to_best" not in panel.names():
        return "there is no usage"
    if name == "health" and "health_score" not in panel.names():
        return "there is no health score"
    if name in ("lagging", "leading") and not panel.names(role=name):
        return f"there is no {name} indicator"
    return None


def rules(evaluation: EvaluationRows, names: Sequence[str], seed: int) -> Iterator[Ranked]:
    """Yield the methods without a fit: random, low usage, and the user's health score."""
    rows = evaluation.rows
    if "random" in names:
        yield Ranked("random", np.random.default_rng(seed).random(len(rows)), False)
    if "usage" in names:
        yield Ranked("usage", -rows["usage_to_best"].to_numpy(float, na_value=np.nan), False)
    if "health" in names:
        yield Ranked("health", -rows["health_score"].to_numpy(float, na_value=np.nan), False)


@dataclass(frozen=True, eq=False)
class ToFit:
    """The models of a backtest: for each method, a model to fit and the panel to fit it on.

    ``alerting`` is the method whose alerts a team would get, ``recipe`` the settings of its model.
    """

    models: Mapping[str, tuple[ChurnModel, Panel]]
    alerting: str
    recipe: Recipe | None


ALERTING = ("all", "leading", "lagging", "context")
"""Methods whose alerts a team would get without a given model, by preference."""


def models_to_fit(
    panel: Panel, names: Sequence[str], like: ChurnModel, model: ChurnModel | None
) -> ToFit:
    """Return the models of the methods ``names``, with the settings of ``like``.

    With a fitted ``model``, one of them uses the same indicators: an existing method, or else the
    additional method ``model``. Raises ModelError if the panel lacks indicators of the model.
    """
    reading = _readings(panel)
    own = None if model is None else model.recipe.indicators
    if own is None:
        alerting = next((name for name in ALERTING if name in names), "")
    else:
        _refuse_missing(panel, own)
        alerting = next((name for name in ALERTING if reading[name] == own), MODEL)
    models = {
        name: (clone(like).set_params(roles=roles), panel)
        for name, roles in MODELS.items()
        if name in names or name == alerting
    }
    if alerting == MODEL and own is not None:
        models[MODEL] = (clone(like), panel.narrowed(own))
    read = own or reading.get(alerting, ())
    return ToFit(models, alerting, like.recipe_of(read, panel.analysis) if alerting else None)


def _readings(panel: Panel) -> dict[str, tuple[str, ...]]:
    """Return, by method, the indicators that a model fitted on the panel would use."""
    rows = at_risk(panel)
    known = [one for one in panel.indicators if rows[one.name].notna().any()]
    return {
        name: tuple(sorted(one.name for one in known if one.role in roles))
        for name, roles in MODELS.items()
    }


def _refuse_missing(panel: Panel, own: Sequence[str]) -> None:
    missing = sorted(set(own) - set(panel.names()))
    if missing:
        raise ModelError(
            f"the panel lacks {len(missing)} indicators that the model reads, among them"
            f" {', '.join(missing[:3])}",
            "Build the panel from the tables and the analysis that the model was fitted with",
        )


def fitted(
    evaluation: EvaluationRows,
    cuts: Sequence[date],
    models: Mapping[str, tuple[ChurnModel, Panel]],
    progress: Progress | None,
    *,
    recalibrated: bool = False,
) -> Iterator[Ranked]:
    """Yield the fitted methods: each row is scored by the model of the last cut-off before it.

    ``models`` holds, by method, a model to fit and the panel to fit it on; ``recalibrated`` says
    whether each is recalibrated at the cut-off. Raises ModelError if the panel has too few churns
    before the first cut-off.
    """
    base = {name: (model, thinned(read)) for name, (model, read) in models.items()}
    ends = [*cuts[1:], None]
    tasks = [
        (name, cut, evaluation.rows.iloc[_between(evaluation, cut, until)])
        for cut, until in zip(cuts, ends, strict=True)
        for name in models
    ]
    values = len(cuts) * sum(read.frame.size for _, read in base.values())
    make = partial(_replayed, base, recalibrated)
    found = each(make, tasks, values=values, progress=progress)
    risks = {(name, cut): risk for (name, cut, _), risk in zip(tasks, found, strict=True)}
    for name in models:
        risk = np.full(len(evaluation.rows), np.nan)
        for cut, until in zip(cuts, ends, strict=True):
            risk[_between(evaluation, cut, until)] = risks[name, cut]
        yield Ranked(name, risk, True)


def _replayed(
    base: Mapping[str, tuple[ChurnModel, Panel]], recalibrated: bool, name: str, cut: date,
    rows: pd.DataFrame,
) -> Floats:  # fmt: skip
    """Return the risks of rows by a model fitted on what was known at a cut-off date."""
    model, read = base[name]
    return risks_in_parts(_fit(model, read.as_of(cut), recalibrated), rows)


def _fit(model: ChurnModel, known: Panel, recalibrated: bool) -> ChurnModel:
    fresh: ChurnModel = clone(model)
    try:
        fresh = fresh.fit(known)
        return fresh.recalibrated(known) if recalibrated else fresh
    except ModelError as error:
        raise ModelError(
            f"nothing can be fitted as of {known.as_of_date}: {error.problem}", error.remedy
        ) from None


def risks_in_parts(model: ChurnModel, rows: pd.DataFrame) -> Floats:
    """Return the risks of rows, computed for a part of them at a time."""
    parts = [
        model.predict(rows.iloc[begin : begin + ROWS_AT_ONCE]).risk
        for begin in range(0, len(rows), ROWS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _between(evaluation: EvaluationRows, cut: date, until: date | None) -> NDArray[np.intp]:
    first = np.datetime64(cut, "D").astype(np.int64)
    last = np.datetime64(until or date.max, "D").astype(np.int64)
    return np.flatnonzero((evaluation.day >= first) & (evaluation.day < last))


def extra_methods(
    evaluation: EvaluationRows, extra: Mapping[str, pd.DataFrame]
) -> Iterator[Ranked]:
    """Yield the rankings given by the caller: frames of account_id, snapshot_on and risk.

    Raises OptionError if a name is taken, or if evaluated rows have no risk.
    """
    for name, frame in extra.items():
        if name in (*METHODS, MODEL):
            raise OptionError(
                f"{name!r} is already a method", "Choose another name for the extra method"
            )
        keys = ["account_id", "snapshot_on"]
        known = frame.assign(snapshot_on=pd.to_datetime(frame["snapshot_on"])).set_index(keys)
        evaluated = pd.MultiIndex.from_frame(evaluation.rows[keys])
        risk = known["risk"].reindex(evaluated).to_numpy(dtype=float)
        if np.isnan(risk).any():
            raise OptionError(
                f"{name!r} has no risk for {np.isnan(risk).sum():,} of {len(risk):,} rows",
                "Give one row for every account and snapshot that is evaluated",
            )
        yield Ranked(name, risk, bool(((risk >= 0) & (risk <= 1)).all()))
