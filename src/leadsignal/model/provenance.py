"""What a model is made of: parameters, training data, and how well it performed."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Self

from leadsignal.arguments import Duration, days_in
from leadsignal.config.project import Behaviors
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import OptionError, is_name, meant
from leadsignal.files.writing import json_fields
from leadsignal.indicators.declare import (
    AdoptedShare,
    Attribute,
    DaysInState,
    Indicator,
    Lapses,
    ProcessState,
    UsageToBest,
    measures,
)
from leadsignal.ingestion.check_report import DataWarning, warning_lines
from leadsignal.results import Result

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.model.stacked_model import Recalibration
    from leadsignal.panel import Panel


@dataclass(frozen=True)
class Recipe:
    """The settings of a fitted model; ``horizon`` and ``step`` are in days.

    ``indicators`` are those that the model reads, in alphabetical order; ``analysis`` is the
    success analysis that defines the processes; ``recalibrated`` says whether the fitted hazards
    were recalibrated to the latest completed horizon.
    """

    estimator: str
    horizon: int
    step: int
    random_state: int
    indicators: tuple[str, ...]
    analysis: SuccessAnalysis
    recalibrated: bool = False

    def differences(self, other: Recipe) -> tuple[str, ...]:
        """Describe each setting in which ``other`` differs; return () if none does.

        >>> one = Recipe("logistic", 180, 30, 0, ("tenure",), SuccessAnalysis(()))
        >>> one.differences(Recipe("ensemble", 90, 30, 0, ("tenure",), SuccessAnalysis(())))
        ('estimator ensemble instead of logistic', 'horizon 90 days instead of 180 days')
        """
        texts = [
            f"{name.replace('_', ' ')} {theirs}{unit} instead of {mine}{unit}"
            for name, unit in (("estimator", ""), ("horizon", " days"), ("step", " days"),
                               ("random_state", ""))
            if (mine := getattr(self, name)) != (theirs := getattr(other, name))
        ]  # fmt: skip
        mine, theirs = set(self.indicators), set(other.indicators)
        if mine != theirs:
            counts = ((len(theirs - mine), "more"), (len(mine - theirs), "fewer"))
            listed = " and ".join(f"{count} {word}" for count, word in counts if count)
            texts.append(f"{listed} indicators")
        if self.recalibrated != other.recalibrated:
            texts.append("recalibrated" if other.recalibrated else "not recalibrated")
        return (*texts, *self.analysis.differences(other.analysis))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings, without the analysis, ready for JSON."""
        names = (
            "estimator",
            "horizon_days",
            "step_days",
            "random_state",
            "indicators",
            "recalibrated",
        )
        return json_fields(self, *names, horizon_days="horizon", step_days="step")


def refuse_other_analysis(trained: SuccessAnalysis, other: SuccessAnalysis, what: str) -> None:
    """Raise OptionError if the success analysis of ``what`` differs from the model's."""
    differences = trained.differences(other)
    if differences:
        raise OptionError(
            f"the model was trained with another success analysis than that of {what}:"
            f" {'; '.join(differences)}",
            "Give the analysis that the model was trained with (model.analysis_), or fit the model"
            " again with this one",
        )


def refuse_other_settings(recipe: Recipe, horizon: Duration | None, estimator: str | None) -> None:
    """Raise OptionError if a given horizon or estimator differs from the model's."""
    other = [f"horizon {horizon}"] if horizon and days_in(horizon) != recipe.horizon else []
    if estimator not in (None, recipe.estimator):
        other.append(f"estimator {estimator}")
    if other:
        raise OptionError(
            f"{' and '.join(other)} {'is' if len(other) == 1 else 'are'} not the model's, which"
            f" is {recipe.estimator} and looks {recipe.horizon} days ahead",
            "Leave it out to use the model's own, or leave the model out",
        )


class EstimatorBase:
    """An estimator that scikit-learn can clone, set and inspect, without importing scikit-learn.

    Importing it takes longer than everything else a script does before fitting.

    Parameters are the arguments of the constructor, which stores each as an attribute of the same
    name.
    """

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters and their values.

        With ``deep``, the parameters of nested estimators are included, named like
        ``estimator__max_depth``.
        """
        params = {name: getattr(self, name) for name in sorted(self._defaults())}
        inner = {
            f"{name}__{part}": value
            for name, one in params.items()
            if deep and hasattr(one, "get_params") and not isinstance(one, type)
            for part, value in one.get_params().items()
        }
        return params | inner

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and return the estimator.

        Raises OptionError for names that are not parameters.
        """
        own = {name: value for name, value in params.items() if "__" not in name}
        wrong = sorted(own.keys() - self._defaults().keys())
        if wrong:
            named = ", ".join(f"{name}{meant(name, self._defaults())}" for name in wrong)
            raise OptionError(
                f"{type(self).__name__} has no parameter {named}",
                f"The parameters are {', '.join(self._defaults())}",
            )
        for name, value in own.items():
            setattr(self, name, value)
        for name in params.keys() - own.keys():
            self._set_inner(name, params[name])
        return self

    def _set_inner(self, name: str, value: Any) -> None:
        """Set a parameter of a nested estimator, such as ``estimator__max_depth``."""
        outer, _, part = name.partition("__")
        one: Any = getattr(self, outer) if outer in self._defaults() else None
        if not hasattr(one, "set_params"):
            raise OptionError(
                f"{type(self).__name__} has no parameter {name}",
                f"Names with __ set a parameter of an estimator; {outer} is {one!r}",
            )
        one.set_params(**{part: value})

    def _check_is_fitted(self, attribute: str) -> None:
        """Raise scikit-learn's NotFittedError if ``attribute`` is not set."""
        if not hasattr(self, attribute):
            from sklearn.utils.validation import check_is_fitted

            check_is_fitted(self, attribute)

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if getattr(self, name) != default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


@dataclass(frozen=True)
class Origin:
    """Provenance of a model.

    ``tables`` maps tables to the columns that were read, ``indicators`` maps indicators to the
    tables they are computed from, and ``options`` has the project's settings. ``fingerprint`` is
    the SHA-256 of the panel's rows. All are empty if they are not known.

    >>> Origin().to_dict()["tables"]
    {}
    """

    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    indicators: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    @classmethod
    def of(cls, panel: Panel) -> Origin:
        """Return the origin of a panel's rows."""
        return cls(
            {name: tuple(columns) for name, columns in panel.columns.items()},
            {indicator.name: tables_of(indicator) for indicator in panel.indicators},
            _options(panel),
            _fingerprint(panel),
        )

    @property
    def behaviors(self) -> Behaviors | None:
        """Behaviours that had indicators of their own; None if not known."""
        kept = self.options.get("behaviors")
        if not isinstance(kept, Mapping):
            return None
        return Behaviors(tuple(kept["keep"]), bool(kept["others"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the origin as plain dictionaries and lists, ready for JSON."""
        return json_fields(self, "tables", "indicators", "options", "fingerprint")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Origin:
        """Return the origin that `to_dict` wrote; raise ValueError or TypeError otherwise."""
        if set(content) - set(asdict(cls())):
            raise ValueError("unknown keys")
        lists = {
            key: {str(name): _texts(values) for name, values in content.get(key, {}).items()}
            for key in ("tables", "indicators")
        }
        fingerprint = content.get("fingerprint", "")
        if not isinstance(fingerprint, str) or not re.fullmatch("[0-9a-f]{0,64}", fingerprint):
            raise ValueError("the fingerprint is invalid")
        tables = [name for names in lists["indicators"].values() for name in names]
        if not all(map(is_name, (*lists["tables"], *lists["indicators"], *tables))):
            raise ValueError("a name is invalid")
        options = dict(content.get("options", {}))
        _check_behaviors(options.get("behaviors"))
        return cls(**lists, options=options, fingerprint=fingerprint)


def _check_behaviors(kept: object) -> None:
    if kept is None:
        return
    if not isinstance(kept, Mapping) or set(kept) != {"keep", "others"}:
        raise ValueError("the behaviours are invalid")
    _texts(kept["keep"])


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("not a list of texts")
    return tuple(values)


def tables_of(indicator: Indicator) -> tuple[str, ...]:
    """Return the tables that an indicator is computed from; accounts for facts about the account.

    >>> from leadsignal.indicators.declare import Trailing
    >>> tables_of(Indicator("n", "f", "leading", "", "", Trailing("tickets", "opened_at", 30)))
    ('tickets',)
    """
    tables = []
    for measure in measures(indicator.rule):
        if isinstance(measure, ProcessState | DaysInState | AdoptedShare | Lapses):
            tables.append("behaviors")
        elif isinstance(measure, UsageToBest):
            tables.append("usage")
        elif isinstance(measure, Attribute) and measure.dated:
            tables.append("account_changes")
        else:
            tables.append(getattr(measure, "table", "accounts"))
    return tuple(dict.fromkeys(tables))


def _options(panel: Panel) -> dict[str, Any]:
    project = panel.project
    return {
        "every_days": panel.every,
        **json_fields(panel, "behaviors"),
        **json_fields(project, "timezone", "not_churn", "causes", "usage_low"),
        "tables": {
            name: json_fields(source, "columns", "attributes", "complete_from", "complete_through")
            for name, source in project.tables.items()
        },
    }


def _fingerprint(panel: Panel) -> str:
    names = ",".join(panel.frame.columns).encode()
    return hashlib.sha256(names + rows_digest(panel.frame)).hexdigest()


def rows_digest(rows: pd.DataFrame) -> bytes:
    """Return a digest of each row, as bytes."""
    import pandas as pd

    return pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()


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
        names = (
            "estimator", "version", "horizon_days", "step_days", "trained_through", "rows",
            "accounts", "churned", "held_out_auc", "recalibration", "tables",
        )  # fmt: skip
        return {
            **json_fields(self, *names, horizon_days="horizon", step_days="step"),
            "indicators": self.frame["indicator"].tolist(),
            **json_fields(self, "warnings"),
        }
