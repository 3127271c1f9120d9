"""The conventions of scikit-learn's estimators, kept without importing scikit-learn.

Its import alone takes longer than all that a script does before it fits, so it waits for the fit.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

from leadsignal.errors import OptionError


class EstimatorBase:
    """An estimator that scikit-learn can clone, set and inspect.

    Parameters are the arguments of the constructor, which stores each under its own name.
    """

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        given = inspect.signature(cls).parameters.values()
        return {parameter.name: parameter.default for parameter in given}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters and their values; ``deep`` is ignored, as none is an estimator."""
        return {name: getattr(self, name) for name in sorted(self._defaults())}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and return the estimator.

        Raises OptionError for names that are no parameters.
        """
        wrong = sorted(params.keys() - self._defaults().keys())
        if wrong:
            raise OptionError(
                f"{type(self).__name__} has no parameter {', '.join(wrong)}",
                f"The parameters are {', '.join(self._defaults())}",
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def _check_is_fitted(self, attribute: str) -> None:
        """Raise scikit-learn's NotFittedError where a fit has not set ``attribute``."""
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
