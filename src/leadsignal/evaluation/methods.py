"""The rankings that a backtest compares, and a parameter search on past folds only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from leadsignal.arguments import Duration, checked, days_in
from leadsignal.errors import ModelError, OptionError
from leadsignal.evaluation.past_rows import EvaluationRows, on_grid, risks_in_parts, thinned
from leadsignal.model.churn_model import ChurnModel, at_risk, churned_within
from leadsignal.model.learners import estimator_name
from leadsignal.model.provenance import Recipe
from leadsignal.panel import Panel
from leadsignal.results import Result, to_html
from leadsignal.stats import mean_of
from leadsignal.workers import Progress, each

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
    for name, column in (("usage", "usage_to_best"), ("health", "health_score")):
        if name in names:
            yield Ranked(name, -rows[column].to_numpy(float, na_value=np.nan), False)


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
    known = read.as_of(cut)
    try:
        fresh: ChurnModel = clone(model).fit(known)
        fresh = fresh.recalibrated(known) if recalibrated else fresh
    except ModelError as error:
        raise ModelError(
            f"nothing can be fitted as of {known.as_of_date}: {error.problem}", error.remedy
        ) from None
    return risks_in_parts(fresh, rows)


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


PARTS = 3
"""Number of parts into which customers are split; each is held out once at each cut-off."""


@dataclass(frozen=True, repr=False, eq=False)
class PanelFolds:
    """Folds of a panel, used as both data and ``cv`` of scikit-learn's `cross_val_score`.

    ``folds[i]`` is a pair of panels: one to fit on, with what was known of two thirds of the
    customers at a cut-off, and one to score, with the rows of the other third from then on. The
    object holds two panels per fold.
    """

    pairs: tuple[tuple[Panel, Panel], ...]
    horizon: int

    def __len__(self) -> int:
        return 2 * len(self.pairs)

    def __getitem__(self, fold: int) -> tuple[Panel, Panel]:
        return self.pairs[fold]

    @property
    def iloc(self) -> PanelFolds:
        """The folds themselves; scikit-learn then selects rows by `take`."""
        return self

    def take(self, places: Sequence[int] | NDArray[np.intp], axis: int = 0) -> Panel:
        """Return the panel at the one position given by `split`.

        Raises OptionError for several positions: other splitters mix rows of past and future, and
        of one customer.
        """
        if len(places) != 1:
            raise OptionError(
                "the folds of a panel are split by another splitter",
                "Give them as data and as splitter: cross_val_score(model, folds, cv=folds)",
            )
        pair, later = divmod(int(places[0]), 2)
        return self.pairs[pair][later]

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of folds."""
        return len(self.pairs)

    def split(self, X: object, y: object = None, groups: object = None) -> Iterator[Any]:
        """Yield the positions of the two panels of each fold.

        Raises OptionError if ``X`` is not this object.
        """
        if X is not self:
            raise OptionError(
                f"the data are a {type(X).__name__}, not the folds",
                "Give them as data and as splitter: cross_val_score(model, folds, cv=folds)",
            )
        for pair in range(len(self.pairs)):
            yield np.array([2 * pair]), np.array([2 * pair + 1])

    def __repr__(self) -> str:
        days = ", ".join(dict.fromkeys(str(known.as_of_date) for known, _ in self.pairs))
        return (
            f"{len(self.pairs)} folds of a panel, {self.horizon} days ahead: cut-offs {days}, each"
            f" with {PARTS} parts of the customers held out in turn"
        )

    def _repr_html_(self) -> str:
        return to_html(repr(self))


@checked
def panel_folds(panel: Panel, *, horizon: Duration = "180d", folds: int = 3) -> PanelFolds:
    """Return folds of a panel by time and customer, as used by `tune_model`.

    Each fold fits on what was known of two thirds of the customers at a cut-off, and scores the
    snapshots of the other third from this cut-off to the next, as far as they were followed for a
    whole horizon. Each third is held out once at each cut-off.

    Parameters
    ----------
    panel : Panel
        A complete panel.
    horizon : duration, default "180d"
        Horizon of the models.
    folds : int, default 3
        Number of cut-offs; there are three times as many folds.

    Returns
    -------
    PanelFolds
        Folds for ``cross_val_score(model, folds, cv=folds)``.

    Raises
    ------
    OptionError
        For a `sample_panel`, and for a panel that is too short.

    Examples
    --------
    >>> import leadsignal as ls
    >>> from sklearn.model_selection import cross_val_score
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> folds = ls.evaluation.panel_folds(panel, folds=1)
    >>> model = ls.ChurnModel(estimator="logistic", roles=("context",))
    >>> len(cross_val_score(model, folds, cv=folds))
    3
    """
    panel.refuse_sample("a fold")
    days = days_in(horizon)
    pairs = [
        (known, replace(panel, frame=rows, episodes=None, without_rows=None))
        for known, rows in past_folds(thinned(panel), days, folds)
    ]
    return PanelFolds(tuple(pairs), days)


def past_folds(panel: Panel, horizon: int, folds: int) -> Iterator[tuple[Panel, pd.DataFrame]]:
    """Yield what was known of most customers at a cut-off, and later rows of the others."""
    frame = panel.frame
    customer = frame["customer_id"].fillna(frame["account_id"])
    part = pd.factorize(customer, sort=True)[0] % PARTS
    last = pd.Timestamp(panel.as_of_date) - pd.Timedelta(days=horizon)
    cuts = cut_offs(panel, horizon, folds)
    if len(cuts) < folds:
        raise OptionError(
            f"the panel has {len(cuts)} cut-offs followed for {horizon} days, not {folds}",
            "Give fewer folds, a shorter horizon or a longer history",
        )
    for cut, until in zip(cuts, [*cuts[1:], last.date()], strict=True):
        within = frame["snapshot_on"].between(pd.Timestamp(cut), pd.Timestamp(until))
        within &= (frame["snapshot_on"] <= last) & ~frame["notice_given"]
        for fold in range(PARTS):
            known = replace(panel, frame=frame[part != fold].reset_index(drop=True)).as_of(cut)
            yield known, frame[within & (part == fold)]


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
    rows = []
    for place in order:
        behind = loss[place] - loss[best]
        numbers = {"log_loss": float(loss[place].mean()), "behind": float(behind.mean())}
        error = mean_of(behind).std_err(codes)
        rows.append({**_plain(candidates[place]), **numbers, "behind_error": error})
    return Tuning(pd.DataFrame(rows), models[best], folds)


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
