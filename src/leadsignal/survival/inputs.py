"""Validation of array arguments: all faults of a call are reported at once.

Times that are equal up to rounding are also made equal here, once for all estimators.
"""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leadsignal.errors import OptionError
from leadsignal.formats import count_of

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

TIE = 2.0**-26
"""Times closer than this, absolutely or relative to their mean, count as equal (R's
``timefix``)."""

LARGEST_CODE = 2**31
"""Cause codes above this are rejected as mistakes."""

DURATIONS = "durations; divide them by a unit, for example pd.Timedelta(days=1)"
DATES = "dates; subtract the start and divide by a unit, for example pd.Timedelta(days=1)"
TEXT = "text; pass a numeric array"
COMPLEX = "complex numbers; pass real ones"
OTHER = "other values; pass a numeric array"
WHAT_KINDS = {"m": DURATIONS, "M": DATES, "U": TEXT, "S": TEXT, "T": TEXT, "c": COMPLEX}


class NotNumbersError(ValueError):
    """Raised for an array that does not contain numbers or has masked values."""


@dataclass
class ArrayValidator:
    """Collect all faults in the arguments of one call, then raise once.

    ``rows`` is the required length of every array; 0 if the call takes only a matrix.
    """

    call: str
    rows: int = 0
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, call: str, name: str, raw: ArrayLike) -> ArrayValidator:
        """Return a validator of arrays as long as ``raw``, which is a vector with a row or more.

        Raises OptionError if it is not.
        """
        try:
            shape = np.shape(raw)
        except (TypeError, ValueError):
            lengths = f"{call}: {name} is not a vector: its rows differ in length"
            raise OptionError(lengths) from None
        if len(shape) != 1 or shape[0] == 0:
            raise OptionError(
                f"{call}: {name} has shape {shape}; it must be a vector with at least one row"
            )
        return cls(call, int(shape[0]))

    def refuse(self, fault: str) -> None:
        """Record a fault."""
        self.faults.append(fault)

    def close(self) -> None:
        """Raise OptionError with all recorded faults, if there are any."""
        if self.faults:
            count = len(self.faults)
            head = f"{self.call}: {count_of(count, 'fault')} in the arguments"
            raise OptionError("\n  ".join([f"{head}:", *self.faults]))

    def one_of(self, name: str, raw: str, allowed: Sequence[str]) -> None:
        """Record a fault unless the option is one of ``allowed``."""
        if not isinstance(raw, str) or raw not in allowed:
            self.refuse(f"{name} is {raw!r}; it must be one of {', '.join(map(repr, allowed))}")

    def number(
        self,
        name: str,
        raw: Any,
        must_be: str = "a finite number",
        holds: Callable[[float], bool] = np.isfinite,
    ) -> float:
        """Return a finite number that satisfies ``holds``; ``must_be`` is the message's wording."""
        try:
            value = as_floats(raw)
        except NotNumbersError:
            value = np.full((), np.nan)
        if value.shape != () or not np.isfinite(value) or not holds(float(value)):
            self.refuse(f"{name} is {raw!r}; it must be {must_be}")
            return float("nan")
        return float(value)

    def level(self, level: float) -> float:
        """Return a confidence level between 0 and 1."""
        must_be = "a number between 0 and 1, for example 0.95"
        return self.number("level", level, must_be, lambda value: 0 < value < 1)

    def count(self, name: str, raw: float) -> float:
        """Return an integer of at least 1."""
        whole = "a whole number of 1 or more"
        return self.number(name, raw, whole, lambda value: value >= 1 and value == int(value))

    def floats(self, name: str, raw: ArrayLike) -> Floats | None:
        """Return numbers of any shape, possibly NaN; None and a fault if they are not numbers."""
        try:
            return as_floats(raw)
        except NotNumbersError as fault:
            self.refuse(f"{name} {fault}")
            return None

    def numbers(self, name: str, raw: ArrayLike, *, finite: bool = True) -> Floats:
        """Return a float vector of the right length without NaN or infinity."""
        values = self.floats(name, raw)
        if values is None:
            return np.zeros(self.rows)
        if self._has_other_shape(name, values, "value"):
            return np.zeros(self.rows)
        if finite:
            self.no_rows_where(~np.isfinite(values), f"{name} is NaN or infinite")
        return values

    def rising(self, name: str, raw: ArrayLike, at_least: int = 1) -> Floats:
        """Return a strictly increasing vector of ``at_least`` or more finite numbers."""
        values = self.floats(name, raw)
        if values is None:
            return np.zeros(at_least)
        values = np.atleast_1d(values)
        fine = values.ndim == 1 and len(values) >= at_least and bool(np.isfinite(values).all())
        if not fine or not (np.diff(values) > 0).all():
            few = "" if at_least == 1 else "two or more "
            self.refuse(f"{name} must be {few}finite, rising numbers")
            return np.zeros(at_least)
        return values

    def matrix(
        self, name: str, raw: ArrayLike, columns: Sequence[str] | None = None
    ) -> NDArray[Any]:
        """Return a numeric matrix, not copied, with these ``columns`` (None: any number)."""
        width = "columns" if columns is None else len(columns)
        empty = np.zeros((self.rows or 1, 1 if columns is None else len(columns)))
        try:
            values = unmasked(raw)
            values = values if values.dtype.kind in "fiub" else as_floats(values)
        except NotNumbersError as fault:
            self.refuse(f"{name} {fault}")
            return empty
        right = values.ndim == 2 and self.rows in (0, len(values)) and values.shape[1] > 0
        if not right or width not in ("columns", values.shape[1]):
            which = "" if columns is None else f", the columns {', '.join(columns)}"
            self.refuse(
                f"{name} has shape {values.shape}; it must be "
                f"({self.rows or 'rows'}, {width}){which}"
            )
            return empty
        return values

    def names(self, name: str, raw: Sequence[str] | None, columns: int) -> tuple[str, ...]:
        """Return distinct names of the columns; x0, x1, … by default."""
        plain = tuple(f"x{j}" for j in range(columns))
        if raw is None:
            return plain
        listed = isinstance(raw, str) or not hasattr(raw, "__iter__")
        named = () if listed else tuple(str(one) for one in raw)
        if len(named) == columns == len(set(named)):
            return named
        self.refuse(f"{name} has {len(set(named))} different names; X has {columns} columns")
        return plain

    def no_gaps(self, matrix: NDArray[Any], names: Sequence[str]) -> None:
        """Record a fault for each column of a matrix that has NaN or infinite values."""
        if matrix.dtype.kind != "f":
            return
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(matrix.sum(dtype=np.float64)):
                return
        for name, wrong in zip(names, (~np.isfinite(matrix)).sum(axis=0), strict=True):
            if wrong:
                rows = count_of(wrong, "row")
                self.refuse(f"X column {name!r} is NaN or infinite in {rows}")

    def flags(self, name: str, raw: ArrayLike) -> Bools:
        """Return a Boolean vector from True/False or 1/0."""
        values = self.numbers(name, raw)
        self.no_rows_where(
            (values != 0) & (values != 1) & np.isfinite(values), f"{name} is neither 0 nor 1"
        )
        set_flags: Bools = values == 1
        return set_flags

    def causes(self, name: str, raw: ArrayLike) -> Ints:
        """Return cause codes: non-negative integers, 0 for censored."""
        values = self.numbers(name, raw)
        codes = (values >= 0) & (values <= LARGEST_CODE) & (values == np.floor(values))
        self.no_rows_where(
            ~codes & np.isfinite(values), f"{name} is not a whole number of 0 or more"
        )
        return np.where(codes, values, 0).astype(np.intp)

    def weights(self, raw: ArrayLike | None) -> Floats:
        """Return non-negative case weights, all 1 by default."""
        if raw is None:
            return np.ones(self.rows)
        values = self.numbers("weights", raw)
        self.no_rows_where(values < 0, "weights is negative")
        if not self.faults and not (values > 0).any():
            self.refuse("weights is 0 in every row; a row of weight 0 counts as absent")
        return values

    def times(
        self, stop: ArrayLike, start: ArrayLike | None = None
    ) -> tuple[Floats, Floats | None]:
        """Return stop and entry times (None: at risk from the beginning), each before its stop.

        Times that are equal up to rounding are made equal.
        """
        stops = self.numbers("stop", stop)
        if start is None:
            return (stops if self.faults else same_times(stops)[0]), None
        starts = self.numbers("start", start)
        self.no_rows_where(starts >= stops, "start is not before stop (a row must last)")
        if self.faults:
            return stops, starts
        stops, starts = same_times(stops, starts)
        self.no_rows_where(starts >= stops, "start equals stop up to rounding (a row must last)")
        return stops, starts

    def labels(self, name: str, raw: ArrayLike | None) -> Labels | None:
        """Return labels as codes into the sorted labels; None if ``raw`` is None."""
        if raw is None:
            return None
        try:
            values = unmasked(raw)
        except NotNumbersError as fault:
            self.refuse(f"{name} {fault}")
            return None
        if self._has_other_shape(name, values, "label"):
            return None
        missing = missing_in(values)
        if missing.any():
            self.no_rows_where(missing, f"{name} is NaN")
            return None
        try:
            return Labels.of(values)
        except (TypeError, ValueError):
            self.refuse(f"{name} mixes labels that cannot be sorted; pass all text or all numbers")
            return None

    def _has_other_shape(self, name: str, values: NDArray[Any], what: str) -> bool:
        must = f"it must be ({self.rows},), one {what} per row"
        if other := values.shape != (self.rows,):
            self.refuse(f"{name} has shape {values.shape}; {must}")
        return other

    def no_rows_where(self, wrong: Bools, what: str) -> None:
        """Record a fault if a condition holds in any row; ``what`` is the message's wording."""
        count = int(np.count_nonzero(wrong))
        if count:
            rows = count_of(count, "row")
            self.refuse(f"{what} in {rows} (first: row {int(np.argmax(wrong))}, counted from 0)")


def as_floats(raw: Any) -> Floats:
    """Return numbers of any shape as floats, with NaN if missing; otherwise raise NotNumbersError.

    Text, dates and durations are rejected: numpy would parse digits in text, and convert durations
    to nanoseconds or microseconds depending on their type.
    """
    values = unmasked(raw)
    if values.dtype.kind in "fiub":
        return values.astype(np.float64, copy=False)
    if values.dtype.kind != "O":
        raise _not_numbers(WHAT_KINDS.get(values.dtype.kind, OTHER), missing_in(values))
    missing = missing_in(values)
    for kind in set(map(type, values[~missing].tolist())):
        if (what := _what_objects(kind)) is not None:
            raise _not_numbers(what, missing)
    try:
        return np.where(missing, np.nan, values).astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _not_numbers(OTHER, missing) from None


def unmasked(raw: Any) -> NDArray[Any]:
    """Return ``raw`` as an array; raise NotNumbersError if any value is masked."""
    if isinstance(raw, np.ma.MaskedArray) and np.ma.is_masked(raw):
        mask = np.ma.getmaskarray(raw)
        raise NotNumbersError(
            f"is masked at {int(mask.sum())} of {mask.size} places (first: "
            f"{int(np.argmax(mask.ravel()))}, counted from 0); leave masked rows out"
        )
    try:
        return np.asarray(raw)
    except (TypeError, ValueError):
        raise NotNumbersError("is not an array; its rows differ in length or kind") from None


def missing_in(values: NDArray[Any]) -> Bools:
    """Return a mask of the values that are None, NaN, NaT or NA."""
    if values.dtype.kind in "biuSU":
        return np.zeros(values.shape, dtype=np.bool_)
    if values.dtype.kind in "fc":
        return np.asarray(np.isnan(values), dtype=np.bool_)
    plain = values.astype(object) if values.dtype.kind == "T" else values
    return np.asarray(pd.isna(plain), dtype=np.bool_)


def _not_numbers(what: str, missing: Bools) -> NotNumbersError:
    kind, remedy = what.split("; ")
    count = int(missing.sum())
    gaps = f", {count} of {missing.size} missing" if count else ""
    return NotNumbersError(f"does not hold numbers but {kind}{gaps}; {remedy}")


def _what_objects(kind: type) -> str | None:
    """Return the description of a type that is not numeric; None for numbers."""
    if issubclass(kind, datetime.timedelta | np.timedelta64):
        return DURATIONS
    if issubclass(kind, datetime.date | np.datetime64):
        return DATES
    if issubclass(kind, str | bytes):
        return TEXT
    if issubclass(kind, numbers.Real | np.bool_ | Decimal):
        return None
    return COMPLEX if issubclass(kind, numbers.Complex) else OTHER


def same_times(*times: Floats) -> tuple[Floats, ...]:
    """Return the times with those equal up to rounding made equal, as R's ``timefix`` does.

    Consecutive distinct times are merged if their gap is at most 2⁻²⁶ (the square root of machine
    precision), absolutely or relative to the mean of the distinct times. The earliest of the merged
    times replaces them all.

    >>> same_times(np.array([0.1 + 0.2, 0.3, 0.5]))[0]
    array([0.3, 0.3, 0.5])
    """
    if all(map(_whole, times)):
        return times
    together = np.concatenate(times)
    order = np.argsort(together)
    ordered = together[order]
    gap = np.diff(ordered)
    tolerance = _tolerance(ordered[np.append(True, gap > 0)])
    if not ((gap > 0) & (gap <= tolerance)).any():
        return times
    first = np.append(True, gap > tolerance)
    together[order] = ordered[first][np.cumsum(first) - 1]
    return tuple(np.split(together, np.cumsum([len(one) for one in times])[:-1]))


def snapped(requested: Floats, times: Floats) -> Floats:
    """Return ``requested`` with values that equal one of ``times`` up to rounding replaced by it.

    >>> snapped(np.array([0.3, 0.4]), np.array([0.1 + 0.2])) == 0.1 + 0.2
    array([ True, False])
    """
    if not len(times) or (_whole(requested) and _whole(times)):
        return requested
    distinct = np.unique(times)
    at = np.searchsorted(distinct, requested)
    below, above = distinct[np.maximum(at - 1, 0)], distinct[np.minimum(at, len(distinct) - 1)]
    nearest = np.where(np.abs(requested - below) <= np.abs(above - requested), below, above)
    return np.where(np.abs(nearest - requested) <= _tolerance(distinct), nearest, requested)


BLOCK = 2**15
"""Number of times that are compared at once."""


def _tolerance(distinct: Floats) -> float:
    return TIE * max(1.0, float(np.abs(distinct).mean()))


def _whole(times: Floats) -> bool:
    """Whether all times are integers, small enough that distinct ones differ beyond rounding."""
    if not times.size:
        return True
    if not (times.min() > -1 / TIE and times.max() < 1 / TIE):
        return False
    # In blocks, because allocating an array for all times takes longer than filling it.
    flat = times.reshape(-1)
    blocks = (flat[at : at + BLOCK] for at in range(0, len(flat), BLOCK))
    return all(bool((block == np.rint(block)).all()) for block in blocks)


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels as codes 0 … k-1 into their sorted ``names``."""

    names: tuple[object, ...]
    codes: Ints

    @classmethod
    def of(cls, values: NDArray[Any]) -> Labels:
        """Encode ``values``; runs of equal labels, common in panels, are sorted as one value."""
        change = np.append(True, values[1:] != values[:-1])
        names, codes = _distinct(values[change])
        return cls(names, codes.reshape(-1)[np.cumsum(change) - 1])

    def __len__(self) -> int:
        return len(self.names)

    def at(self, rows: Ints | Bools) -> Labels:
        """Return the labels of some rows."""
        return Labels(self.names, self.codes[rows])


def _distinct(values: NDArray[Any]) -> tuple[tuple[object, ...], Ints]:
    """Return the sorted distinct values and the position of each value among them.

    Objects are made distinct by hash before they are sorted, because duplicates of a label need not
    compare consistently. Dates become timestamps rather than nanoseconds.
    """
    if values.dtype.kind not in "OmMT":
        names, codes = np.unique(values, return_inverse=True)
        return tuple(names.tolist()), codes
    codes, found = pd.factorize(values.astype(object) if values.dtype.kind == "T" else values)
    listed = pd.Index(found).tolist() if values.dtype.kind in "mM" else list(found)
    order = sorted(range(len(listed)), key=listed.__getitem__)
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    return tuple(listed[k] for k in order), place[codes]


def sums_by_code(codes: Ints, values: Floats | None, size: int) -> Floats:
    """Return the sums of ``values`` (None: 1 each) over the rows of each code 0 … size-1."""
    return np.bincount(codes, weights=values, minlength=size).astype(np.float64, copy=False)


def ranges(first: NDArray[Any], count: Ints) -> tuple[Ints, NDArray[Any]]:
    """Return, for each number of ``count`` ranges from ``first`` on, its range and the number.

    >>> ranges(np.array([0, 4]), np.array([2, 1]))
    (array([0, 0, 1]), array([0, 1, 4]))
    """
    which = np.repeat(np.arange(len(count)), count)
    return which, (first - np.cumsum(count) + count)[which] + np.arange(len(which))


def one_label(rows: int) -> Labels:
    """Return labels that put all rows in one group named ``all``."""
    return Labels(("all",), np.zeros(rows, dtype=np.intp))


def sums_by_label(labels: Labels, values: Floats) -> Floats:
    """Return the sums of ``values`` (n, or n × k) over the rows of each label."""
    if values.ndim == 1:
        return sums_by_code(labels.codes, values, len(labels))
    return np.column_stack([sums_by_code(labels.codes, one, len(labels)) for one in values.T])
