"""Cox regression on start/stop rows: fit, tests, summary, and checks with lifelines.

The likelihood is in ``partial_likelihood``, its maximisation in ``newton``, and what follows from
the estimate in ``cox_estimate``: baseline, residuals, and the test of proportional hazards.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from leadsignal.errors import ModelError, OptionError
from leadsignal.formats import level_in_name
from leadsignal.plots import COLOURS, axes_of, forest, numbers_at_risk
from leadsignal.results import ArrayResult, Result, fields_of
from leadsignal.stats import normal_quantile, two_sided_p
from leadsignal.survival.contrasts import ChiSquare
from leadsignal.survival.cox_estimate import CoxEstimate, CoxRows, exp_of
from leadsignal.survival.curves import kaplan_meier
from leadsignal.survival.inputs import ArrayValidator, Bools, Floats, one_label
from leadsignal.survival.newton import maximise
from leadsignal.survival.partial_likelihood import PartialLikelihood
from leadsignal.survival.risk_sets import RiskSets
from leadsignal.workers import one_thread

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

    validator = ArrayValidator.of("plot_kaplan_meier", "stop", stop)
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

    validator = ArrayValidator.of("fit_aft", "stop", stop)
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


TIES = ("efron", "breslow")


class CoxFit(CoxEstimate, Result):
    """A fitted Cox model.

    Attributes are those of `CoxEstimate`: ``names``, ``coef``, ``cov``, ``robust_cov``, ``loglik``
    and others.
    """

    @property
    def hazard_ratios(self) -> Floats:
        """exp(coef) (p); infinite if it exceeds the largest float, as with a tiny unit."""
        return exp_of(self.coef)

    @property
    def likelihood_ratio_test(self) -> ChiSquare:
        """2 (log L − log L at zero) on p degrees of freedom."""
        statistic = 2 * (self.loglik - self.loglik_null)
        return ChiSquare.of("likelihood ratio", statistic, len(self.coef))

    @property
    def wald_test(self) -> ChiSquare:
        """Wald test of all coefficients, with the robust covariance if there are clusters."""
        cov = self.cov if self.robust_cov is None else self.robust_cov
        return ChiSquare.of("Wald", *_quadratic(cov, self.coef))

    @property
    def score_test(self) -> ChiSquare:
        """Score test at zero, which is the log-rank test for a single binary column."""
        return ChiSquare.of("score", self.score_statistic, len(self.coef))

    @property
    def summary(self) -> pd.DataFrame:
        """One row per column, with headings as in lifelines; robust errors with clusters."""
        return self.summary_at(0.95)

    def summary_at(self, level: float) -> pd.DataFrame:
        """Return the summary with intervals at a confidence level."""
        validator = ArrayValidator("summary_at")
        validator.level(level)
        validator.close()
        se = self.se if self.robust_se is None else self.robust_se
        margin = normal_quantile(level) * se
        z = self.coef / se
        p = two_sided_p(z)
        with np.errstate(divide="ignore"):
            surprise = -np.log2(p)
        label = level_in_name(level)
        lower, upper = self.coef - margin, self.coef + margin
        columns = {
            "coef": self.coef, "exp(coef)": exp_of(self.coef), "se(coef)": se,
            f"coef lower {label}": lower, f"coef upper {label}": upper,
            f"exp(coef) lower {label}": exp_of(lower), f"exp(coef) upper {label}": exp_of(upper),
            "cmp to": np.zeros(len(self.coef)), "z": z, "p": p, "-log2(p)": surprise,
        }  # fmt: skip
        return pd.DataFrame(columns, index=pd.Index(self.names, name="covariate"))

    def linear_predictor(self, X: ArrayLike) -> Floats:
        """Return X @ coef (m) for rows X (m × p)."""
        validator = ArrayValidator("linear_predictor")
        values = validator.matrix("X", X, self.names)
        validator.no_gaps(values, self.names)
        validator.close()
        return values @ self.coef

    def cross_check(self) -> CrossCheck:
        """Fit the same rows with ``lifelines.CoxTimeVaryingFitter``, and compare."""
        return cross_check(self)

    def plot(self, ax: Axes | None = None, *, level: float = 0.95) -> Axes:
        """Plot hazard ratios with intervals (a forest plot), and return the Axes."""
        return forest(self.summary_at(level), ax)

    def _table(self) -> pd.DataFrame:
        return self.summary

    def to_dict(self) -> dict[str, object]:
        """Return the fit as a plain dictionary, ready for JSON."""
        names = ("names", "coef", "se", "robust_se", "cov", "robust_cov", "loglik", "loglik_null",
                 "ridge", "ties")  # fmt: skip
        return {**fields_of(self, *names), "rows": self.n_rows, "events": self.n_events}

    @property
    def title(self) -> str:
        """One line with the numbers of rows and events, ties, clusters and strata."""
        parts = [f"{self.n_rows:,} rows", f"{self.n_events:,} events", f"{self.ties} ties"]
        if len(self.rows.strata) > 1:
            parts.append(f"{len(self.rows.strata):,} strata")
        if self.rows.cluster is not None:
            parts.append(f"errors by {len(self.rows.cluster):,} clusters")
        if self.ridge.any():
            parts.append("ridge")
        return "Cox model: " + ", ".join(parts)

    def __repr__(self) -> str:
        columns = ["coef", "exp(coef)", "se(coef)", "z", "p"]
        table = self.summary[columns].to_string(float_format=lambda x: f"{x:.4g}")
        return f"{self.title}\n{table}\n{self.likelihood_ratio_test!r}"

    def _repr_html_(self) -> str:
        table = self.summary.drop(columns="cmp to").to_html(float_format=lambda x: f"{x:.4g}")
        tests = (self.likelihood_ratio_test, self.wald_test, self.score_test)
        notes = "".join(f"<li>{test!r}</li>" for test in tests)
        return f"<p><b>{self.title}</b></p>{table}<ul>{notes}</ul>"


def fit_cox(
    X: ArrayLike,
    stop: ArrayLike,
    event: ArrayLike,
    *,
    start: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    ties: str = "efron",
    ridge: ArrayLike = 0.0,
    offset: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> CoxFit:
    """Fit the Cox model (Cox 1972) to rows at risk on (start, stop].

    Uses the counting process form (Andersen & Gill 1982) and the cluster sandwich (Lin & Wei 1989).

    Parameters
    ----------
    X : array_like of shape (n, p)
        Numeric covariates; not copied.
    stop : array_like of shape (n,)
        Time at which each row ends.
    event : array_like of shape (n,)
        Whether each row ends with the event.
    start : array_like of shape (n,), optional
        Time from which each row is at risk. Default: the beginning.
    weights : array_like of shape (n,), optional
        Non-negative case weights; rows of weight 0 are ignored. Default: 1.
    strata : array_like of shape (n,), optional
        Labels of strata with separate baseline hazards.
    cluster : array_like of shape (n,), optional
        Labels of independent units, used for robust standard errors.
    ties : {"efron", "breslow"}, default "efron"
        Approximation used for tied events.
    ridge : float or array_like of shape (p,), default 0
        Penalty ½ ridge β² subtracted from the log-likelihood, in the units of X.
    offset : array_like of shape (n,), optional
        Offset added to the linear predictor.
    names : sequence of str, optional
        Names of the columns. Default: x0, x1, …

    Returns
    -------
    CoxFit

    Raises
    ------
    OptionError
        If the arrays are invalid; all faults are reported at once.
    ModelError
        If there is no event, or if a column is constant, is collinear or separates the events.

    Examples
    --------
    >>> fit = fit_cox([[0.0], [1.0], [0.0], [1.0]], [1, 2, 3, 4], [1, 1, 1, 0], names=["used"])
    >>> round(float(fit.coef[0]), 4), round(fit.loglik, 4)
    (-0.9406, -2.87)
    """
    validator = ArrayValidator.of("fit_cox", "stop", stop)
    stops, starts = validator.times(stop, start)
    events = validator.flags("event", event)
    case_weights = validator.weights(weights)
    offsets = None if offset is None else validator.numbers("offset", offset)
    stratum, clusters = validator.labels("strata", strata), validator.labels("cluster", cluster)
    validator.one_of("ties", ties, TIES)
    matrix = validator.matrix("X", X)
    named = validator.names("names", names, matrix.shape[1])
    ridges = _ridges(validator, ridge, matrix.shape[1])
    validator.no_gaps(matrix, named)
    validator.close()
    events = events & (case_weights > 0)
    if not events.any():
        raise ModelError("fit_cox: no row has an event, so nothing can be estimated")
    # Blocks of rows are too small for threads: on a busy machine, two are 15 times slower than one.
    with one_thread():
        sets = RiskSets.of(stops, events, starts, stratum)
        likelihood = PartialLikelihood(matrix, sets, case_weights, offsets, ties == "efron", ridges)
        labels = one_label(validator.rows) if stratum is None else stratum
        checked = CoxRows(
            matrix, starts, stops, events, case_weights, offsets, labels, clusters, likelihood
        )
        return _fitted(checked, ridges, named, ties)


def _fitted(rows: CoxRows, ridges: Floats, named: tuple[str, ...], ties: str) -> CoxFit:
    best = maximise(rows.likelihood, ridges, named)
    cov = _inverse(best.at_coef.information + np.diag(ridges))
    score, _ = _quadratic(best.at_zero.information, best.at_zero.score)
    fit = CoxFit(
        names=named,
        coef=best.coef,
        cov=cov,
        robust_cov=None,
        loglik=best.at_coef.loglik,
        loglik_null=best.at_zero.loglik,
        ridge=ridges,
        ties=ties,
        evaluations=best.evaluations,
        score_statistic=score,
        rows=rows,
    )
    influence = fit.influence
    if influence is None:
        return fit
    clustered = replace(fit, robust_cov=influence.T @ influence)
    vars(clustered).update(terms=fit.terms, influence=influence)  # computed only once
    return clustered


def _quadratic(matrix: Floats, vector: Floats) -> tuple[float, int]:
    """Return v' M⁻¹ v and the rank of M, computed with M scaled to a unit diagonal."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled, part = matrix * scale[:, None] * scale, vector * scale
    solved, _, rank, _ = np.linalg.lstsq(scaled, part, rcond=None)
    return float(part @ solved), int(rank)


def _inverse(matrix: Floats) -> Floats:
    """Return the inverse of a positive definite matrix, computed from its correlation form."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix * scale[:, None] * scale
    try:
        factor = cho_factor(scaled, lower=True)
    except (LinAlgError, ValueError) as error:
        raise ModelError(
            "the Cox fit has no standard errors: at the maximum the information matrix is singular",
            "Leave columns out, or pass ridge= a small positive number",
        ) from error
    inverse: Floats = cho_solve(factor, np.eye(len(matrix)))
    inverse = inverse * scale[:, None] * scale
    return (inverse + inverse.T) / 2


def _ridges(validator: ArrayValidator, ridge: ArrayLike, columns: int) -> Floats:
    values = validator.floats("ridge", ridge)
    if values is None:
        return np.zeros(columns)
    if values.shape not in ((), (columns,)):
        validator.refuse(f"ridge has shape {values.shape}; it must be one number or ({columns},)")
        return np.zeros(columns)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        validator.refuse("ridge is negative, NaN or infinite; a penalty is 0 or more")
    return np.broadcast_to(values, (columns,)).astype(np.float64)
