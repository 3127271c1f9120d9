"""Check arrays at the door: every fault of a call at once, then they are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leadsignal.errors import OptionError

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


@dataclass
class Door:
    """Collects what is wrong with the arguments of one call, then raises once.

    ``rows`` is the length every array must have.
    """

    call: str
    rows: int
    faults: list[str] = field(default_factory=list)

    def refuse(self, fault: str) -> None:
        """Note one fault."""
        self.faults.append(fault)

    def close(self) -> None:
        """Raise OptionError with every fault noted so far."""
        if self.faults:
            count = len(self.faults)
            head = f"{self.call}: {count} fault{'' if count == 1 else 's'} in the arguments"
            raise OptionError("\n  ".join([f"{head}:", *self.faults]))

    def one_of(self, name: str, given: str, allowed: Sequence[str]) -> None:
        """Refuse an option that is not among ``allowed``."""
        if given not in allowed:
            self.refuse(f"{name} is {given!r}; it must be one of {', '.join(map(repr, allowed))}")

    def level(self, level: float) -> None:
        """Refuse a confidence level outside (0, 1)."""
        if not 0 < level < 1:
            self.refuse(f"level is {level!r}; it must lie between 0 and 1, for example 0.95")

    def numbers(self, name: str, given: ArrayLike, *, finite: bool = True) -> Floats:
        """Return a float vector of the right length without NaN or infinity."""
        try:
            values = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            self.refuse(f"{name} does not hold numbers; pass a numeric array")
            return np.zeros(self.rows)
        if values.shape != (self.rows,):
            self.refuse(
                f"{name} has shape {values.shape}; it must be ({self.rows},), one value a row"
            )
            return np.zeros(self.rows)
        if finite:
            self._no_rows_where(~np.isfinite(values), f"{name} is NaN or infinite")
        return values

    def flags(self, name: str, given: ArrayLike) -> Bools:
        """Return a Boolean vector from True/False or 1/0."""
        values = self.numbers(name, given)
        self._no_rows_where(
            (values != 0) & (values != 1) & np.isfinite(values), f"{name} is neither 0 nor 1"
        )
        set_flags: Bools = values == 1
        return set_flags

    def causes(self, name: str, given: ArrayLike) -> Ints:
        """Return cause codes: whole numbers, 0 for censored."""
        values = self.numbers(name, given)
        odd = np.isfinite(values) & ((values < 0) | (values != np.floor(values)))
        self._no_rows_where(odd, f"{name} is not a whole number of 0 or more")
        return np.where(np.isfinite(values), values, 0).astype(np.intp)

    def weights(self, given: ArrayLike | None) -> Floats:
        """Return case weights of 0 or more, all one when not given."""
        if given is None:
            return np.ones(self.rows)
        values = self.numbers("weights", given)
        self._no_rows_where(values < 0, "weights is negative")
        return values

    def entry(self, given: ArrayLike | None, stop: Floats) -> Floats | None:
        """Return entry times, each before its stop; None means at risk from the beginning."""
        if given is None:
            return None
        values = self.numbers("start", given)
        self._no_rows_where(values >= stop, "start is not before stop (a row must last)")
        return values

    def labels(self, name: str, given: ArrayLike | None) -> Labels | None:
        """Return labels as codes, sorted by label; None stays None."""
        if given is None:
            return None
        values = np.asarray(given)
        if values.shape != (self.rows,):
            self.refuse(
                f"{name} has shape {values.shape}; it must be ({self.rows},), one label a row"
            )
            return None
        if values.dtype.kind == "f" and np.isnan(values).any():
            self._no_rows_where(np.isnan(values), f"{name} is NaN")
            return None
        try:
            return Labels.of(values)
        except TypeError:
            self.refuse(f"{name} mixes labels that cannot be sorted; pass all text or all numbers")
            return None

    def _no_rows_where(self, wrong: Bools, what: str) -> None:
        count = int(np.count_nonzero(wrong))
        if count:
            rows = f"{count} row{'' if count == 1 else 's'}"
            self.refuse(f"{what} in {rows} (first: row {int(np.argmax(wrong))}, counted from 0)")


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels as codes 0 … k-1 into their sorted ``names``."""

    names: tuple[object, ...]
    codes: Ints

    @classmethod
    def of(cls, values: NDArray[Any]) -> Labels:
        """Code ``values``; runs of equal labels, as panels have, are sorted as one."""
        change = np.append(True, values[1:] != values[:-1])
        names, codes = np.unique(values[change], return_inverse=True)
        return cls(tuple(names.tolist()), codes.reshape(-1)[np.cumsum(change) - 1])

    def __len__(self) -> int:
        return len(self.names)


def sums_by_code(codes: Ints, values: Floats | None, size: int) -> Floats:
    """Return the sums of ``values`` (None: 1 each) over the rows of each code 0 … size-1."""
    sums: Floats = np.bincount(codes, weights=values, minlength=size).astype(np.float64, copy=False)
    return sums


def one_label(rows: int) -> Labels:
    """Return the labels of a call without groups: everyone in one group, named ``all``."""
    return Labels(("all",), np.zeros(rows, dtype=np.intp))


def length_of(call: str, name: str, given: ArrayLike) -> int:
    """Return the number of rows, refusing an empty array and one that is not a vector."""
    shape = np.shape(given)
    if len(shape) != 1 or shape[0] == 0:
        raise OptionError(
            f"{call}: {name} has shape {shape}; it must be a vector with at least one row"
        )
    return int(shape[0])


def sums_by_label(labels: Labels, values: Floats) -> Floats:
    """Return the sums of ``values`` (n, or n × k) over the rows of each label."""
    if values.ndim == 1:
        return sums_by_code(labels.codes, values, len(labels))
    columns = [sums_by_code(labels.codes, column, len(labels)) for column in values.T]
    return np.column_stack(columns)
