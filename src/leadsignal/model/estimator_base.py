"""Scikit-learn's estimator conventions, without importing scikit-learn.

Importing it takes longer than everything else a script does before fitting, so it is imported when
a model is fitted.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

from leadsignal.config.toml_files import meant
from leadsignal.errors import OptionError


class EstimatorBase:
    """An estimator that scikit-learn can clone, set and inspect.

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
