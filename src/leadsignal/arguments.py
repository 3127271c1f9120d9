"""Check and convert arguments; errors name the wrong ones and say what to pass instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from inspect import signature
from typing import Any, NoReturn, ParamSpec, TypeVar

from leadsignal.errors import ModelError, OptionError, quiet
from leadsignal.workers import by_default

UNITS = {
    "d": 1, "day": 1, "days": 1,
    "w": 7, "week": 7, "weeks": 7,
    "month": 30.4375, "months": 30.4375,
    "year": 365.25, "years": 365.25,
}  # fmt: skip
"""Number of days in each unit; months and years have the average length of the Julian calendar."""
MAX_DAYS_IN_DURATION = 36_525

Duration = str | int | timedelta
"""A text with a unit, a whole number of days, or a timedelta (also pandas') of whole days."""


def days_in(duration: Duration) -> int:
    """Convert a duration to a whole number of days.

    Parameters
    ----------
    duration : str, int or timedelta
        ``"28d"``, ``"4w"``, ``"90 days"``, ``"6 months"``, ``"1 year"``; a number of days; or a
        `datetime.timedelta` or `pandas.Timedelta` of whole days. Months and years have their
        average length and are rounded to a day: 6 months are 183 days.

    Returns
    -------
    int
        At least 1, at most 36,525 (a century).

    Raises
    ------
    OptionError
        For anything else.

    Examples
    --------
    >>> days_in("4w"), days_in("6 months"), days_in(180)
    (28, 183, 180)
    """
    days = _days(duration)
    if not 1 <= days <= MAX_DAYS_IN_DURATION:
        raise OptionError(
            f"{duration!r} is not a duration",
            'Write a number and its unit, as in "28d", "4w" or "6 months", or a number of days;'
            ' at least "1d"',
        )
    return days


def _days(duration: object) -> int:
    """Return the number of days, or 0 if the value is not a duration."""
    if isinstance(duration, str):
        match = re.fullmatch(r"\s*(\d{1,6})\s*([a-z]{1,6})\s*", duration)
        return round(int(match[1]) * UNITS.get(match[2], 0)) if match else 0
    if isinstance(duration, timedelta):
        return duration.days if duration == timedelta(days=duration.days) else 0
    # This includes numpy integers, but not floats or bools.
    if hasattr(duration, "__index__") and not isinstance(duration, bool):
        return int(duration)
    return 0


PERIODS = {
    "day": 12 / 365.25, "daily": 12 / 365.25, "week": 84 / 365.25, "weekly": 84 / 365.25,
    "month": 1, "months": 1, "monthly": 1,
    "quarter": 3, "quarterly": 3,
    "half-year": 6, "semiannual": 6, "semi-annual": 6,
    "year": 12, "yearly": 12, "annual": 12, "annually": 12,
}  # fmt: skip
"""Number of months in each billing period; a year has 365.25 days."""
MONTHS_WRITTEN = "^([0-9]+) ?(?:months?)?$"
"""Pattern of a billing period in months; the unit is optional."""
HOW_PERIODS_ARE_WRITTEN = (
    'Write "month", "quarter", "half-year", "year", "week" or months, as in "6 months"'
)


def a_period(value: object) -> str:
    """Check a billing period.

    >>> a_period("6 months")
    '6 months'
    """
    text = str(value).strip().lower()
    number = re.fullmatch(MONTHS_WRITTEN[1:-1], text)
    if text not in PERIODS and not (number and int(number[1])):
        raise OptionError("is not a period", HOW_PERIODS_ARE_WRITTEN)
    return text


P = ParamSpec("P")
R = TypeVar("R")

SOURCES = {
    "AsOfContext": "AsOfContext(tables, analysis)",
    "Backtest": "run_backtest(panel)",
    "ChurnModel": "ChurnModel().fit(panel) or load_model(folder)",
    "DatedCohorts": "cohorts.dated_cohorts(tables, by)",
    "Findings": "report.gather_findings(panel)",
    "Interviews": "success_analysis.read_interviews(folder)",
    "Panel": "build_panel(tables, analysis)",
    "Project": "read_project(folder)",
    "Review": "review_account(tables, account_id)",
    "Scores": "score_accounts(model, tables)",
    "SparkTables": "spark.read_spark_tables(frames)",
    "SuccessAnalysis": "read_success_analysis(file)",
    "SuccessfulAccounts": "success_analysis.most_successful(tables, analysis)",
    "Tables": "read_tables(folder)",
    "WarehouseTables": "warehouse.read_warehouse_tables(connection, tables)",
}
"""Our classes that functions take, with the call that returns an instance."""

ELSEWHERE = {
    "SparkTables": (
        "Take whole accounts, tables.sample_accounts(0.1).collect(), and use these tables instead,"
        " or all of them, tables.collect(), where they fit into memory"
    ),
    "SparkPanel": (
        "Use panel.collect() instead, where it fits into memory; or the panel of part of the"
        " accounts, build_panel(tables.sample_accounts(0.1)), of spark.read_spark_tables(frames);"
        " a ChurnModel is also fitted on panel.sample_panel(tables, share=0.1)"
    ),
    "DataFrame": (
        "Read tables with spark.read_spark_tables(frames); bring another small frame to this"
        " machine with frame.toPandas()"
    ),
    "WarehouseTables": (
        "Use build_panel(tables), whose rows come to this machine; or read the rows with"
        " read_tables, from the database or from files"
    ),
}
"""Classes whose rows are in Spark or a warehouse, with what to pass to other functions instead."""

SAMPLED = ("Tables", "SparkTables", "Panel", "AsOfContext")
"""Our classes that may hold a weighted sample of customers."""


def reads_weights(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function as one that uses the weights of a sample of customers.

    Apply it below ``@checked``. Unmarked functions raise an error for such a sample, as they would
    treat it as all customers.
    """
    vars(function)["reads_weights"] = True
    return function


def refuse_weights(where: str, value: object) -> None:
    """Raise OptionError for a weighted sample of customers."""
    if type(value).__name__ in SAMPLED and getattr(value, "sample", None) is not None:
        raise OptionError(
            f"{where} is a sample of all churned customers and some others, whose weights are not"
            " used here",
            "Take all customers, or some with equal chances: tables.sample_accounts(0.1); of tables"
            " in Spark call collect() first",
        )


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function check its arguments against the classes in its annotations.

    A function with a parameter ``progress`` shows a progress bar in a notebook by default.

    Only parameters annotated entirely with classes in `SOURCES` (or None) are checked, by class
    name, so that nothing needs to be imported. All faults are reported at once. Weighted samples of
    customers raise an error unless the function is marked with `reads_weights`.

    Parameters
    ----------
    function : callable
        A public function with postponed annotations (``from __future__ import annotations``).

    Returns
    -------
    callable
        The function, which raises OptionError for arguments of the wrong type and ModelError for
        a model that is not fitted.

    Examples
    --------
    >>> @checked
    ... def count(tables: Tables) -> int:
    ...     return 1
    >>> count("data")
    Traceback (most recent call last):
    ...
    leadsignal.errors.OptionError: count: tables is a str ('data'), not Tables. Give what \
read_tables(folder) returns.
    """
    shape = signature(function)
    expected = {
        name: kinds
        for name, parameter in shape.parameters.items()
        if (kinds := _classes(parameter.annotation))
    }

    # An optional model only supplies settings, as in a backtest, and need not be fitted.
    fitted = [name for name, kinds in expected.items() if kinds == ("ChurnModel",)]

    shows = "progress" in shape.parameters
    weighted = hasattr(function, "reads_weights")

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            arguments = shape.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python reports missing and unknown arguments.
        for name, value in arguments.items():
            annotation = str(shape.parameters[name].annotation)
            refuse_elsewhere(f"{function.__name__}: {name}", value, annotation)
            if not weighted:
                refuse_weights(f"{function.__name__}: {name}", value)
        wrong = [
            name
            for name in expected
            if name in arguments and not _is_one(arguments[name], expected[name])
        ]
        if wrong:
            raise OptionError(
                f"{function.__name__}: "
                + "; ".join(_problem(name, arguments[name], expected[name]) for name in wrong),
                "; ".join(dict.fromkeys(_remedy(expected[name]) for name in wrong)),
            )
        for name in fitted:
            if not hasattr(arguments[name], "hazards_"):
                problem = f"{function.__name__}: {name} is not fitted"
                raise ModelError(problem, f"Call {name}.fit(panel) first")
        if not shows or arguments.get("progress") is not None:
            return function(*args, **kwargs)
        with by_default(function.__name__.replace("_", " ")) as progress:
            more: dict[str, Any] = {} if progress is None else {"progress": progress}
            return function(*args, **{**kwargs, **more})

    return call


def _elsewhere(value: object) -> str:
    """Return the key of a value in `ELSEWHERE`; empty for values in memory."""
    for kind in type(value).__mro__:
        name = kind.__name__
        if name in ELSEWHERE and (name != "DataFrame" or kind.__module__.startswith("pyspark.")):
            return name
    return ""


def _takes(annotation: str, kind: str, inside: bool) -> bool:
    """Whether an annotation accepts a type whose rows are elsewhere, directly or in a mapping."""
    if kind == "DataFrame" and re.search(r"(?<!pd[.])\bDataFrame\b", annotation):
        return annotation.startswith("Mapping") == inside
    if kind == "WarehouseTables":
        return kind in annotation
    return kind == "SparkTables" and "InSpark" in annotation


def _where(kind: str) -> str:
    return "in a warehouse" if kind == "WarehouseTables" else "in Spark"


def refuse_elsewhere(where: str, value: object, annotation: str = "") -> None:
    """Raise OptionError for rows in Spark or a warehouse that the annotation does not accept."""
    inside = isinstance(value, dict)
    for one in value.values() if isinstance(value, dict) else (value,):
        kind = _elsewhere(one)
        if kind and not _takes(annotation, kind, inside):
            problem = f"{where} is a {type(one).__name__}, whose rows are {_where(kind)}"
            raise OptionError(problem, ELSEWHERE[kind])


def refuse_name(thing: object, name: str, like: type) -> NoReturn:
    """Raise an error for an attribute that ``thing`` lacks because its rows are elsewhere.

    It is OptionError for public attributes of the in-memory class, AttributeError for all others.
    """
    kind = type(thing).__name__
    if name.startswith("_") or name not in {*dir(like), *getattr(like, "__annotations__", {})}:
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")
    problem = f"{kind}.{name} does not exist: the rows are {_where(kind)}"
    raise OptionError(problem, ELSEWHERE[kind])


def _classes(annotation: object) -> tuple[str, ...]:
    """Return the class names in an annotation if all of them are ours (or None), else nothing."""
    # A panel accepts anything with the attributes of SparkTables, which is the class users know.
    text = str(annotation).replace("TablesInSpark", "SparkTables")
    names = tuple(part.strip() for part in text.split("|"))
    return names if all(name in SOURCES or name == "None" for name in names) else ()


def _is_one(value: object, kinds: tuple[str, ...]) -> bool:
    if value is None:
        return "None" in kinds
    return any(kind.__name__ in kinds for kind in type(value).__mro__)


def _problem(name: str, value: object, kinds: tuple[str, ...]) -> str:
    description = f"a {type(value).__name__}"
    if isinstance(value, type):
        description = f"the class {value.__name__}"
    elif isinstance(value, str | int | float):
        description += f" ({quiet(repr(value), 60)})"
    elif value is None:
        description = "None"
    return f"{name} is {description}, not {' or '.join(kind for kind in kinds if kind != 'None')}"


def _remedy(kinds: tuple[str, ...]) -> str:
    calls = " or ".join(SOURCES[kind] for kind in kinds if kind != "None")
    return f"Give what {calls} returns"
