"""Plots, accelerated failure time models and a cross-check with lifelines' public interface."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leadsignal.errors import OptionError
from leadsignal.picture_style import COLOURS, axes_of
from leadsignal.survival.cox_estimate import CoxEstimate
from leadsignal.survival.curves import kaplan_meier
from leadsignal.survival.estimates import ArrayResult
from leadsignal.survival.inputs import ArrayValidator, Bools, Floats, length_of, one_label
from leadsignal.survival.plots import numbers_at_risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AFT_MODELS = {
    "weibull": "WeibullAFTFitter",
    "log-normal": "LogNormalAFTFitter",
    "log-logistic": "LogLogisticAFTFitter",
}


@dataclass(frozen=True, eq=False, repr=False)
class CrossCheck(ArrayResult):
    """Our Cox fit next to lifelines' on the same rows.

    Attributes: ``names``; ``coef``, ``lifelines_coef``, ``se`` and ``lifelines_se`` (p; not robust,
    because lifelines has no robust errors for time-varying rows); ``loglik`` and
    ``lifelines_loglik``, both minus the ridge penalty; ``warnings`` issued by lifelines.
    """

    COLUMNS = ("coef", "lifelines_coef", "se", "lifelines_se")

    names: tuple[str, ...]
    coef: Floats
    lifelines_coef: Floats
    se: Floats
    lifelines_se: Floats
    loglik: float
    lifelines_loglik: float
    warnings: tuple[str, ...]

    @property
    def largest_difference(self) -> float:
        """Largest difference: in standard errors of coefficients and errors, relative for log L."""
        return float(
            max(
                np.max(np.abs(self.coef - self.lifelines_coef) / self.se),
                np.max(np.abs(self.se - self.lifelines_se) / self.se),
                abs(self.loglik - self.lifelines_loglik) / max(1.0, abs(self.loglik)),
            )
        )

    def agrees(self, tolerance: float = 1e-6) -> bool:
        """Whether nothing differs by more than ``tolerance``."""
        return self.largest_difference <= tolerance

    def _table(self) -> pd.DataFrame:
        """Return one row per column: both coefficients and both standard errors."""
        return super()._table().set_index(pd.Index(self.names, name="covariate"))

    def __repr__(self) -> str:
        return (
            f"largest difference from lifelines: {self.largest_difference:.1e}; "
            f"log-likelihood {self.loglik:.6f} and {self.lifelines_loglik:.6f}"
        )


def cross_check(fit: CoxEstimate) -> CrossCheck:
    """Fit the rows of ``fit`` with ``lifelines.CoxTimeVaryingFitter`` and compare.

    The cost grows with the number of rows times distinct event times.

    Parameters
    ----------
    fit : CoxEstimate
        A fit of ``fit_cox``.

    Returns
    -------
    CrossCheck
        Both sets of coefficients and standard errors.

    Raises
    ------
    OptionError
        If the fit has Breslow ties or an offset, which lifelines does not support.

    Examples
    --------
    >>> from leadsignal.survival import fit_cox
    >>> fit = fit_cox([[0.0], [1.0], [0.0], [1.0]], [1, 2, 3, 4], [1, 1, 1, 0], names=["used"])
    >>> cross_check(fit).agrees(1e-6)
    True
    """
    rows = fit.rows
    if fit.ties != "efron" or rows.offset is not None:
        raise OptionError(
            "lifelines' time-varying fit has neither Breslow ties nor offsets; fit without them "
            "to cross-check"
        )
    from lifelines import CoxTimeVaryingFitter

    frame = _frame(fit)
    spread = frame[list(fit.names)].std(axis=0).to_numpy()
    # lifelines applies the penalty per row, to columns divided by their standard deviation.
    penalty = fit.ridge / (len(frame) * spread**2)
    options: dict[str, Any] = {"penalizer": penalty} if fit.ridge.any() else {}
    strata = ["__stratum"] if len(rows.strata) > 1 else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theirs = CoxTimeVaryingFitter(**options).fit(
            frame,
            event_col="__event",
            start_col="__start",
            stop_col="__stop",
            weights_col="__weight",
            strata=strata,
            # lifelines' default first steps are nearly full length and can overshoot for good.
            fit_options={"precision": 1e-16, "step_size": 0.5},
        )
    names = list(fit.names)
    coef, se = (of[names].to_numpy() for of in (theirs.params_, theirs.standard_errors_))
    loglik = fit.loglik - 0.5 * float(fit.ridge @ fit.coef**2)
    # Deprecations in pandas say nothing about the fit.
    deprecated = DeprecationWarning | FutureWarning
    messages = tuple(str(one.message) for one in caught if not issubclass(one.category, deprecated))
    theirs_at = float(theirs.log_likelihood_)
    return CrossCheck(fit.names, fit.coef, coef, fit.se, se, loglik, theirs_at, messages)


def plot_kaplan_meier(
    stop: ArrayLike,
    event: ArrayLike,
    *,
    start: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    group: ArrayLike | None = None,
    at_risk: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Plot lifelines' Kaplan-Meier curves with the numbers at risk below.

    The numbers are those of ``kaplan_meier``, because lifelines' own table fails on pandas 3.

    Parameters
    ----------
    stop, event, start, weights, group : array-like of shape (n,)
        As in ``kaplan_meier``.
    at_risk : bool, default True
        Whether to draw the numbers at risk.
    ax : Axes, optional
        Axes to draw on. Default: those of a new figure.

    Returns
    -------
    Axes
        The axes drawn on.

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.
    """
    from lifelines import KaplanMeierFitter

    validator = ArrayValidator("plot_kaplan_meier", length_of("plot_kaplan_meier", "stop", stop))
    (stops, starts), events = validator.times(stop, start), validator.flags("event", event)
    case_weights = validator.weights(weights)
    groups = validator.labels("group", group) or one_label(validator.rows)
    validator.close()
    axes = axes_of(ax, (6.4, 4.8))
    for code, name in enumerate(groups.names):
        mine = groups.codes == code
        fitter = KaplanMeierFitter(label=str(name))
        fitter.fit(
            stops[mine],
            events[mine],
            entry=None if starts is None else starts[mine],
            weights=None if weights is None else case_weights[mine],
        )
        fitter.plot_survival_function(ax=axes, color=COLOURS[code % len(COLOURS)])
    axes.set(xlabel="time", ylabel="survival", ylim=(0, 1.02))
    if at_risk:
        curves = kaplan_meier(stop, event, start=start, weights=weights, group=group)
        numbers_at_risk(axes, curves.steps.at_risk_by_group())
    return axes


def fit_aft(
    X: ArrayLike,
    stop: ArrayLike,
    event: ArrayLike,
    *,
    model: str = "weibull",
    start: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    ridge: float = 0.0,
    names: Sequence[str] | None = None,
) -> Any:
    """Fit an accelerated failure time model with lifelines.

    Parameters
    ----------
    X : array-like of shape (n, p)
        Covariates, without a constant column.
    stop, event : array-like of shape (n,)
        Time above 0, and event (1) or censoring (0).
    model : {"weibull", "log-normal", "log-logistic"}, default "weibull"
        Distribution of the times.
    start : array-like of shape (n,), optional
        When each row came under observation.
    weights : array-like of shape (n,), optional
        Case weights.
    ridge : float, default 0.0
        Lifelines' ``penalizer``.
    names : sequence of str, optional
        Names of the columns of ``X``.

    Returns
    -------
    lifelines fitter
        The fitted model.

    Raises
    ------
    OptionError
        If the arguments are invalid; all faults are listed.

    Examples
    --------
    >>> aft = fit_aft([[0.0], [1.0], [0.0], [1.0]], [1, 2, 3, 5], [1, 1, 1, 0], names=["used"])
    >>> bool(aft.params_["lambda_", "used"] > 0)
    True
    """
    import lifelines

    validator = ArrayValidator("fit_aft", length_of("fit_aft", "stop", stop))
    (stops, starts), events = validator.times(stop, start), validator.flags("event", event)
    case_weights = validator.weights(weights)
    if not validator.faults and (stops <= 0).any():
        validator.refuse("stop must be above 0; an accelerated failure time has no time 0")
    matrix = validator.matrix("X", X).astype(np.float64, copy=False)
    named = validator.names("names", names, matrix.shape[1])
    validator.no_gaps(matrix, named)
    validator.number("ridge", ridge, "0 or more", lambda value: value >= 0)
    validator.one_of("model", model, (*AFT_MODELS,))
    validator.close()
    fitter = getattr(lifelines, AFT_MODELS[model])(penalizer=ridge)
    frame = pd.DataFrame(matrix, columns=list(named)).assign(__stop=stops, __event=events)
    columns: dict[str, str] = {}
    if starts is not None:
        frame["__start"], columns["entry_col"] = starts, "__start"
    if weights is not None:
        frame["__weight"], columns["weights_col"] = case_weights, "__weight"
    # With lifelines' default tolerance, coefficients are off by a percent.
    precise = {"ftol": 1e-14, "maxiter": 1000}
    return fitter.fit(frame, "__stop", "__event", fit_options=precise, **columns)


def _frame(fit: CoxEstimate) -> pd.DataFrame:
    """Return the fit's rows with positive weight, in the form lifelines expects."""
    rows = fit.rows
    start = rows.start
    if start is None:
        start = np.full(len(rows.stop), min(0.0, float(rows.stop.min())) - 1.0)
    frame = pd.DataFrame(np.asarray(rows.X, dtype=np.float64), columns=list(fit.names))
    frame = frame.assign(__start=start, __stop=rows.stop, __event=rows.event, __weight=rows.weights)
    if len(rows.strata) > 1:
        frame["__stratum"] = rows.strata.codes
    kept: Bools = rows.weights > 0
    return frame[kept]
