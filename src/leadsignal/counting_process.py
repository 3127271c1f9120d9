"""Numeric panel rows on (start, stop], the format of survival analysis packages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.config.toml_files import one_of
from leadsignal.end_of_risk import rows_at_risk
from leadsignal.errors import OptionError
from leadsignal.indicators.declare import Indicator

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

UNKNOWN = "unknown"
MIN_EXPECTED = 5.0
"""A flag is dropped if the number of churns expected by time at risk is below this among the rows
where it is 1, or among those where it is 0: it could separate the churns from the others."""
MAX_SHARED = 0.9
"""A column is dropped if tenure and earlier columns determine it with at least this R²."""


def counting_process(
    frame: pd.DataFrame,
    indicators: Iterable[Indicator],
    not_churn: Iterable[str],
) -> pd.DataFrame:
    """Return the result of `Panel.to_counting_process` from the rows of a panel."""
    import pandas as pd

    rows, stop, cause = rows_at_risk(frame)
    start = rows["start"].to_numpy(dtype=float)
    event = ((cause != "") & ~np.isin(cause, list(not_churn))).astype(int)
    left_out: dict[str, str] = {}
    varied = _varied(_coded(rows, indicators, left_out), stop - start, event.sum(), left_out)
    kept = _informative(start, varied, left_out)
    keys = {"account_id": rows["account_id"], "start": start, "stop": stop, "event": event}
    counted = pd.DataFrame({**keys, **kept})
    counted.attrs["left_out"] = left_out
    return counted


def chosen(indicators: Iterable[Indicator], names: Iterable[str] | None) -> list[Indicator]:
    """Return the indicators with these names, or all; raises OptionError for unknown names."""
    there = {indicator.name: indicator for indicator in indicators}
    if names is None:
        return list(there.values())
    requested = list(dict.fromkeys([names] if isinstance(names, str) else names))
    unknown = [name for name in requested if name not in there]
    if unknown:
        problem = f"the panel has no indicator {', '.join(map(repr, unknown))}"
        raise OptionError(problem, one_of(there, str(unknown[0])))
    return [there[name] for name in requested]


def _coded(
    rows: pd.DataFrame, indicators: Iterable[Indicator], left_out: dict[str, str]
) -> dict[str, Floats]:
    """Return numeric columns, state flags and, last, flags for missing numbers."""
    columns: dict[str, Floats] = {}
    flags: dict[str, Floats] = {}
    for indicator in indicators:
        values = rows[indicator.name]
        if values.isna().all():
            left_out[indicator.name] = "it has no value in any row"
        elif indicator.kind == "category":
            columns |= _states(indicator.name, values, left_out)
        else:
            numbers = values.to_numpy(dtype=float, na_value=np.nan)
            unknown = np.isnan(numbers)
            columns[indicator.name] = np.where(unknown, np.nanmedian(numbers), numbers)
            if unknown.any():
                flags[f"{indicator.name}: {UNKNOWN}"] = unknown.astype(float)
    return columns | flags


def _states(name: str, values: pd.Series[Any], left_out: dict[str, str]) -> dict[str, Floats]:
    """Return a flag for each state of a category except the most frequent one."""
    states = values.astype("object").fillna(UNKNOWN).astype(str)
    reference = states.value_counts().sort_index(kind="stable").idxmax()
    left_out[f"{name}: {reference}"] = "the reference of the other states"
    return {
        f"{name}: {state}": (states == state).to_numpy(dtype=float)
        for state in sorted(states.unique())
        if state != reference
    }


def _varied(
    columns: dict[str, Floats], days: Floats, churns: int, left_out: dict[str, str]
) -> dict[str, Floats]:
    """Return the columns that are neither constant nor the flag of a rare state."""
    kept = {}
    for name, column in columns.items():
        if column.min() == column.max():
            left_out[name] = f"it is {column.min():g} everywhere"
            continue
        if np.isin(column, (0.0, 1.0)).all():
            share = float(column @ days / days.sum())
            expected = churns * min(share, 1 - share)
            if expected < MIN_EXPECTED:
                side = "set" if share < 0.5 else "not set"
                left_out[name] = f"rare: {expected:.1f} churns are expected where it is {side}"
                continue
        kept[name] = column
    return kept


def _informative(
    tenure: Floats, columns: dict[str, Floats], left_out: dict[str, str]
) -> dict[str, Floats]:
    """Return the columns that are not determined by tenure and earlier columns."""
    kept: dict[str, Floats] = {}
    directions = list(_directions(tenure, []))
    for name, column in columns.items():
        new = list(_directions(column, directions))
        if new:
            directions += new
            kept[name] = column
        else:
            left_out[name] = "collinear: tenure and the columns before it determine it"
    return kept


def _directions(column: Floats, earlier: list[Floats]) -> Iterator[Floats]:
    """Yield the unit vector of the part of a column orthogonal to earlier ones, if it is large."""
    centred = column - column.mean()
    length = float(np.linalg.norm(centred))
    rest = centred
    for direction in earlier:
        rest = rest - direction * float(direction @ rest)
    added = float(np.linalg.norm(rest))
    if added > 0 and added**2 > (1 - MAX_SHARED) * length**2:
        yield rest / added
