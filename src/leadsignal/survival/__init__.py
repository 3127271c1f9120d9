"""Survival analysis on arrays: Cox regression, curves, and the judging of predictions."""

from leadsignal.survival.cox import CoxFit, fit_cox

__all__ = ["CoxFit", "fit_cox"]
