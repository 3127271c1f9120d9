"""The churn model, which is fitted on a panel and predicts churn within a horizon."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.arguments import Duration, checked, days_in, reads_weights
from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.build import SAMPLE_WEIGHT
from leadsignal.engine.duckdb import in_order
from leadsignal.errors import ModelError, OptionError
from leadsignal.ingestion.check_report import DataWarning, affecting
from leadsignal.ingestion.dialect import day_number
from leadsignal.model.contributions import (
    MAX_GROUPS,
    Groups,
    Worse,
    coalition_risks,
    learn_groups,
    learn_worse,
    shapley_values,
    shares_of,
    typical_row,
)
from leadsignal.model.features import Features, step_ends
from leadsignal.model.learners import Classifier, estimator_name, estimator_problem
from leadsignal.model.provenance import EstimatorBase, ModelSummary, Origin, Recipe, rows_digest
from leadsignal.model.stacked_model import (
    Estimator,
    Hazards,
    Recalibration,
    fit_hazards,
    log_odds,
    recalibrate,
    sample_sizes,
)
from leadsignal.panel import Panel
from leadsignal.results import Result, rounded
from leadsignal.workers import by_default, fitted_once, log_warnings

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

ROLES = ("leading", "lagging", "context")
SUBJECTS = {
    "tracking": "processes",
    "metrics": "behaviors",
    "plans": "commitments",
    "activity": "usage",
    "flags": "satisfaction",
    "health": "satisfaction",
}
"""Families merged into another one in reasons, as exact Shapley values need a small number."""

NOTHING = (np.nan, np.nan)
MIN_CHURNS = 20
"""Minimum number of churns for fitting a model."""


Learned = tuple[Features, Hazards, Worse, Groups]
"""The result of a fit."""


@dataclass(frozen=True, eq=False)
class Forecast(Result):
    """Predictions for each panel row: P(churned by) and P(still active) at each of ``days``.

    ``account_id`` and ``snapshot_on`` have shape (rows,), ``churned`` and ``active``
    (rows, steps), ``days`` (steps,). The two do not add up to 1 if accounts also end otherwise.
    """

    account_id: NDArray[Any]
    snapshot_on: NDArray[Any]
    days: NDArray[np.int64]
    churned: NDArray[np.float64]
    active: NDArray[np.float64]

    @property
    def risk(self) -> NDArray[np.float64]:
        """P(churn within the horizon), shape (rows,)."""
        return self.churned[:, -1]

    def _table(self) -> pd.DataFrame:
        """Return one row per account and snapshot, and one column per step."""
        import pandas as pd

        rows = {"account_id": self.account_id, "snapshot_on": self.snapshot_on, "risk": self.risk}
        active = {f"still_active_{days}d": self.active[:, at] for at, days in enumerate(self.days)}
        return pd.DataFrame({**rows, **active})

    def __repr__(self) -> str:
        mean = f", mean risk {self.risk.mean():.3f}" if len(self.account_id) else ""
        return (
            f"Forecast of {len(self.account_id):,} rows, {len(self.days)} steps to"
            f" {int(self.days[-1])} days{mean}"
        )

    def _notebook_table(self) -> pd.DataFrame:
        return rounded(self._table(), 3)


@dataclass(eq=False, repr=False)
class ChurnModel(EstimatorBase):
    """Discrete-time hazards of churn over a horizon, fitted on the rows of a panel.

    ``horizon`` and ``step`` are durations; ``roles`` are the roles of the indicators to use.
    ``estimator`` is "ensemble" (boosting and logistic regression, weighted by their performance on
    held-out accounts), "boosting", "logistic", "cox" (a landmark Cox model), or a classifier with
    ``predict_proba`` that scikit-learn can clone, for the hazard of each step. All are calibrated
    on held-out accounts. Unknown and missing values are treated as separate states.

    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> panel = ls.build_panel(tables)
    >>> model = ls.ChurnModel(horizon="180d", estimator="logistic").fit(panel)
    >>> bool(((model.predict(panel.current()).risk >= 0)).all())
    True
    """

    horizon: Duration = "180d"
    step: Duration = "30d"
    estimator: Estimator | Classifier = "ensemble"
    roles: Iterable[str] = ROLES
    random_state: int = 0
    recalibration_: Recalibration = field(init=False)
    """The change made by `recalibrated`; not set for other models."""

    def _days(self) -> tuple[int, int]:
        """Return horizon and step in days, after checking all parameters at once."""
        problem = estimator_problem(self.estimator)
        problems = [] if problem is None else [problem]
        if not tuple(self.roles) or not all(role in ROLES for role in self.roles):
            problems.append(f"roles are {tuple(self.roles)!r}; they may be of {', '.join(ROLES)}")
        if problems:
            raise OptionError("; ".join(problems), "Correct the model's parameters")
        horizon, step = days_in(self.horizon), days_in(self.step)
        return horizon, min(step, horizon)

    @checked
    @reads_weights
    def fit(self, panel: Panel, y: object = None) -> ChurnModel:
        """Fit on the rows before the panel's as_of, of accounts that had not given notice.

        Rows of a `sample_panel` count by their weights. ``y`` is ignored, as the panel contains the
        outcomes. Within a session, a fit on the same rows with the same settings is reused, unless
        the environment variable LEADSIGNAL_SESSION_CACHE is 0. Raises ModelError if the panel has
        too few churns, or no row with a complete step observed.
        """
        horizon, step = self._days()
        # Sort, so that the fit does not depend on the order of the panel.
        rows = in_order(at_risk(panel))
        names = [i.name for i in panel.indicators if i.role in self.roles]
        self._check_enough(panel, rows, names, step)
        _check_horizon(panel, rows, horizon)
        vars(self).pop("recalibration_", None)
        seen = rows_digest(rows)
        learn = partial(self._learn, panel, rows, names)
        content = self._content(panel, rows, names, seen)
        with by_default("fit"):
            learned = learn() if content is None else fitted_once(content, learn)
        self.features_, self.hazards_, worse, self.groups_ = learned
        self.worse_: Worse = dict(worse)
        self.families_ = {i.name: i.family for i in panel.indicators if i.name in names}
        self.analysis_: SuccessAnalysis = panel.analysis
        self.trained_through_: date = panel.as_of_date
        self.rows_ = len(rows)
        self.accounts_: int | None = int(rows["account_id"].nunique())
        self.events_ = int(_churned(panel, rows)["account_id"].nunique())
        self.version_ = self._version(seen)
        self.origin_ = Origin.of(panel)
        self.warnings_: tuple[DataWarning, ...] = affecting(panel.warnings, "fit")
        log_warnings("fit", self.warnings_)
        return self

    def _learn(self, panel: Panel, rows: pd.DataFrame, names: list[str]) -> Learned:
        """Return the result of a fit on rows of the panel."""
        horizon, step = self._days()
        features = Features.learn(panel, rows, names)
        hazards = fit_hazards(
            features,
            features.matrix(rows),
            _outcome(panel, rows),
            step_ends(horizon, step),
            self.estimator,
            self.random_state,
            _customers(rows),
            rows[SAMPLE_WEIGHT].to_numpy() if SAMPLE_WEIGHT in rows.columns else None,
        )
        followed = rows[_observed(panel, rows) >= horizon]
        worse = learn_worse(features, followed, churned_within(panel, followed, horizon))
        families = {i.name: i.family for i in panel.indicators if i.name in names}
        groups = learn_groups(features, rows, families, _customers(rows), self.random_state)
        return features, hazards, worse, groups

    def _content(
        self, panel: Panel, rows: pd.DataFrame, names: list[str], seen: bytes
    ) -> str | None:
        """Return a digest of the input of `_learn`; None if the estimator is a custom one."""
        if not isinstance(self.estimator, str):
            return None
        indicators = [repr(i) for i in panel.indicators if i.name in names]
        settings = [self.plain_parameters(), panel.as_of_date.isoformat(), list(rows.columns)]
        causes = [sorted(_churns(panel)), indicators, sample_sizes()]
        return hashlib.sha256(repr([settings, causes]).encode() + seen).hexdigest()

    def _check_enough(self, panel: Panel, rows: pd.DataFrame, names: list[str], step: int) -> None:
        if not names:
            raise ModelError(
                f"the panel has no indicator of the roles {', '.join(self.roles)}",
                "Give more tables, or allow more roles",
            )
        seen = _churned(panel, rows)
        observed = _observed(panel, rows).max() if len(rows) else 0
        churned = seen["account_id"].nunique()
        if churned < MIN_CHURNS:
            longer = (
                "Give a longer history or a later as_of, and check not_churn in leadsignal.toml"
            )
            alone = "An export of today's customers alone cannot say who leaves: add the others"
            remedy = ". ".join([longer, *([] if churned else [alone]), *panel.notes])
            raise ModelError(
                f"the panel holds {churned} account{'s' * (churned != 1)} that churned before "
                f"{panel.as_of_date}; a model needs {MIN_CHURNS}",
                remedy,
            )
        if observed < step:
            raise ModelError(
                f"no snapshot has been followed for {step} days, one step of the horizon",
                "Choose a shorter step or a later as_of",
            )

    def plain_parameters(self) -> dict[str, Any]:
        """Return the parameters ready for JSON, with durations such as ``"180d"``."""
        durations = {name: f"{days_in(getattr(self, name))}d" for name in ("horizon", "step")}
        named = {"estimator": estimator_name(self.estimator), "roles": list(self.roles)}
        return {**self.get_params(deep=False), **durations, **named}

    def _version(self, seen: bytes) -> str:
        """Return a short fingerprint of the parameters and the training rows."""
        content = json.dumps(
            [self.plain_parameters(), self.trained_through_.isoformat()], sort_keys=True
        )
        digest = hashlib.sha256(content.encode() + seen).hexdigest()
        return f"{self.trained_through_:%Y%m%d}-{digest[:8]}"

    @property
    def recipe(self) -> Recipe:
        """The settings and the input of the fitted model."""
        self._check_is_fitted("hazards_")
        return self.recipe_of(self.features_.names, self.analysis_)

    def recipe_of(self, indicators: Iterable[str], analysis: SuccessAnalysis) -> Recipe:
        """Return the settings of a model with these indicators, fitted or not."""
        read = tuple(sorted(indicators))
        name = estimator_name(self.estimator)
        recalibrated = hasattr(self, "recalibration_")
        return Recipe(name, *self._days(), self.random_state, read, analysis, recalibrated)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """The indicators that the fitted model uses, in their order in the model."""
        return np.array(self.features_.names, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """Number of indicators that the fitted model uses."""
        return len(self.features_.names)

    @checked
    def score(self, panel: Panel, y: object = None) -> float:
        """Return the AUC of the risks for churn within the horizon.

        This is the proportion of pairs, of a row with churn within the horizon and one without, in
        which the first has the higher risk (ties count half). Only rows before a notice that were
        followed for a whole horizon count. For an estimate of predictive performance, use a panel
        that the model was not fitted on (later snapshots, other accounts); `run_backtest` gives
        such an estimate with intervals.

        Parameters
        ----------
        panel : Panel
            Rows with their outcomes.
        y : ignored

        Returns
        -------
        float

        Raises
        ------
        OptionError
            For a `sample_panel`.
        ModelError
            If no account, or every account, churned within the horizon of these rows.
        """
        self._check_is_fitted("hazards_")
        panel.refuse_sample("a score")
        rows, horizon = at_risk(panel), int(self.hazards_.ends[-1])
        rows = rows[_observed(panel, rows) >= horizon]
        churned = churned_within(panel, rows, horizon)
        if churned.all() or not churned.any():
            raise ModelError(
                f"{churned.sum():,} of {len(rows):,} rows that were followed for {horizon} days"
                " churned within them; an AUC needs rows that did and rows that did not",
                "Give a panel with a longer history",
            )
        from leadsignal.stats import auc_of  # loads SciPy

        return auc_of(churned, self.predict(rows).risk).estimate

    @checked
    def recalibrated(self, panel: Panel) -> ChurnModel:
        """Return the model recalibrated to the churn in the latest completed horizon of a panel.

        Its hazards are those of the fitted model times one factor: observed over expected churns
        among the accounts active one horizon before the panel's as_of, shrunk towards 1 if there
        are few churns or the past varies no more than by chance. Rankings do not change. The
        attribute ``recalibration_`` of the new model describes the change.

        Parameters
        ----------
        panel : Panel
            The panel used in the fit, or a later one of the same business.

        Returns
        -------
        ChurnModel
            A new model with a new version.

        Raises
        ------
        OptionError
            For a `sample_panel`.
        ModelError
            If the panel lacks indicators that the model uses, or has no completed horizon.

        Examples
        --------
        >>> import leadsignal as ls
        >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
        >>> model = ls.ChurnModel(estimator="logistic", roles=("context",)).fit(panel)
        >>> 0.5 < model.recalibrated(panel).recalibration_.factor < 2
        True
        """
        self._check_is_fitted("hazards_")
        panel.refuse_sample("a recalibration")
        rows = in_order(at_risk(panel))
        before = getattr(self, "recalibration_", None)
        hazards = self.hazards_ if before is None else self.hazards_.moved(-before.offset)
        model = copy(self)
        model.recalibration_ = recalibrate(
            hazards,
            self.features_.matrix(rows),
            _outcome(panel, rows),
            _customers(rows),
            np.unique(rows["account_id"].to_numpy(str), return_inverse=True)[1],
            panel.as_of_date,
            panel.every,
        )
        model.hazards_ = hazards.moved(model.recalibration_.offset)
        content = json.dumps([self.version_, model.recalibration_.to_dict()], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        model.version_ = f"{panel.as_of_date:%Y%m%d}-{digest[:8]}"
        return model

    def summary(self) -> ModelSummary:
        """Return a summary of the training data and of the performance on held-out customers.

        >>> import leadsignal as ls
        >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
        >>> ls.ChurnModel(estimator="logistic", roles=("context",)).fit(panel).summary().tables
        ('accounts', 'account_changes')
        """
        self._check_is_fitted("hazards_")
        horizon, step = self._days()
        return ModelSummary(
            self._indicators(),
            estimator_name(self.estimator),
            self.version_,
            horizon,
            step,
            self.trained_through_,
            self.rows_,
            self.events_,
            self.accounts_,
            self.hazards_.held_out_auc,
            getattr(self, "recalibration_", None),
            self.warnings_,
        )

    def _indicators(self) -> pd.DataFrame:
        """Return one row per indicator used: its source tables, and its values in training."""
        import pandas as pd

        ranges, levels = self.features_.ranges, self.features_.levels
        return pd.DataFrame(
            {
                "indicator": name,
                "family": self.families_[name],
                "tables": ", ".join(self.origin_.indicators.get(name, ())),
                "lowest": ranges.get(name, NOTHING)[0],
                "highest": ranges.get(name, NOTHING)[1],
                "states": len(levels[name]) if name in levels else None,
            }
            for name in self.features_.names
        ).astype({"states": "Int64"})

    @checked
    def predict(self, rows: Panel | pd.DataFrame) -> Forecast:
        """Predict from panel rows, conditional on being active at the snapshot.

        Raises ModelError if the rows lack indicators that the model uses.
        """
        self._check_is_fitted("hazards_")
        frame = rows.frame if isinstance(rows, Panel) else rows
        churned, active = self.hazards_.curves(self.features_.matrix(frame))
        return Forecast(
            frame["account_id"].to_numpy(),
            frame["snapshot_on"].to_numpy(),
            self.hazards_.ends,
            churned,
            active,
        )

    @checked
    def predict_proba(self, rows: Panel | pd.DataFrame) -> NDArray[np.float64]:
        """Return P(no churn) and P(churn) within the horizon, shape (rows, 2)."""
        risk = self.predict(rows).risk
        return np.column_stack([1 - risk, risk])

    def subject(self, indicator: str) -> str:
        """Return the subject under which reasons list an indicator: its family or a related one."""
        family = self.families_[indicator]
        return SUBJECTS.get(family, family)

    @checked
    def typical_risk(self, rows: pd.DataFrame) -> float:
        """Return the risk of the typical account of panel rows.

        The typical account has the median of each number and the most frequent value of each
        category that the model uses. `reasons` compares with the same account, so that shares add
        up to the difference. Its risk differs from the median risk: risks are skewed, and most
        accounts are unusual in some respect.
        """
        return float(self.hazards_.curves(self._typical(rows)[None, :])[0][0, -1])

    def _typical(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        return typical_row(self.features_.matrix(rows), self.features_.is_category)

    @checked
    def reasons(self, rows: pd.DataFrame, against: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the contribution of each subject to the log-odds of each row's risk.

        The result has shape (rows, subjects). A subject is a family or a few related ones.
        Contributions are exact Shapley values (Shapley 1953) relative to the typical account of
        ``against`` (default: the rows), as in `typical_risk`. They add up to the row's log-odds
        minus those of the typical account.
        """
        import pandas as pd

        matrix = self.features_.matrix(rows)
        typical = self._typical(rows if against is None else against)
        return pd.DataFrame(self._shares(matrix, typical), index=rows.index)

    def _shares(
        self, matrix: NDArray[np.float64], typical: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        subjects = [self.subject(name) for name in self.features_.names]
        names = list(dict.fromkeys(subjects))
        number = np.array([names.index(subject) for subject in subjects], dtype=np.int64)
        if len(names) <= MAX_GROUPS:
            risks = coalition_risks(self.hazards_, matrix, typical, number)
            if risks is not None:
                return shares_of(log_odds(risks), names)
        return shapley_values(
            lambda changed: log_odds(self.hazards_.curves(changed)[0][:, -1]),
            matrix,
            typical,
            np.array(subjects),
        )


def at_risk(panel: Panel) -> pd.DataFrame:
    """Return the rows used to fit a model: before as_of, and before any notice."""
    import pandas as pd

    frame = panel.frame
    return frame[(frame["snapshot_on"] < pd.Timestamp(panel.as_of_date)) & ~frame["notice_given"]]


def _churns(panel: Panel) -> set[str]:
    """Return the causes of ends that count as churn: all except those named by the project."""
    return set(panel.frame["end_cause"].dropna().unique()) - set(panel.project.not_churn)


def _churned(panel: Panel, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of accounts whose end is known and is churn."""
    return rows[rows["ended_within"].notna() & rows["end_cause"].isin(_churns(panel))]


def _observed(panel: Panel, rows: pd.DataFrame) -> NDArray[np.float64]:
    days = rows["snapshot_on"].to_numpy().astype("datetime64[D]").astype(float)
    return day_number(panel.as_of_date) - days


def _check_horizon(panel: Panel, rows: pd.DataFrame, horizon: int) -> None:
    """Raise ModelError if the panel's history is shorter than the horizon.

    This is checked only by the fit, because the longest possible forecast depends on the history in
    the training data, not on that of the tables to score.
    """
    observed = int(_observed(panel, rows).max())
    if observed < horizon:
        raise ModelError(
            f"the horizon of {horizon} days is longer than the history: the panel's first snapshot "
            f"is {observed} days before {panel.as_of_date}",
            "Choose a shorter horizon, or give a longer history",
        )
    seen = _churned(panel, rows)["ended_within"].to_numpy(dtype=float, na_value=np.nan)
    if not (seen <= horizon).any():
        raise ModelError(
            f"no account churned within {horizon} days of a snapshot: the horizon is too short",
            "Choose a longer horizon, or less time between snapshots",
        )


def _outcome(panel: Panel, rows: pd.DataFrame) -> dict[str, NDArray[Any]]:
    return {
        "ended_within": rows["ended_within"].to_numpy(dtype=float, na_value=np.nan),
        "observed": _observed(panel, rows),
        "churns": rows["end_cause"].isin(_churns(panel)).to_numpy(),
    }


def _customers(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return a code for each row's customer; a returning customer has several accounts."""
    named = rows.get("customer_id", rows["account_id"]).fillna(rows["account_id"]).astype(str)
    codes: NDArray[np.int64] = np.unique(named.to_numpy(str), return_inverse=True)[1]
    return codes


def churned_within(panel: Panel, rows: pd.DataFrame, horizon: int) -> NDArray[np.bool_]:
    """Return whether each row's account churned within ``horizon`` days, shape (rows,)."""
    within = rows["ended_within"].to_numpy(dtype=float, na_value=np.nan) <= horizon
    churned: NDArray[np.bool_] = within & rows["end_cause"].isin(_churns(panel)).to_numpy()
    return churned
