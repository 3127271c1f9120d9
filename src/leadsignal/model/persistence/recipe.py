"""Settings of a model, which must agree for the record of one model to apply to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leadsignal.config.success import SuccessAnalysis
from leadsignal.durations import Duration, days_in
from leadsignal.errors import OptionError


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
        return {
            "estimator": self.estimator,
            "horizon_days": self.horizon,
            "step_days": self.step,
            "random_state": self.random_state,
            "indicators": list(self.indicators),
            "recalibrated": self.recalibrated,
        }


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
