"""Facts about accounts, when their time at risk ends, and their rows on (start, stop].

An account's time at risk ends on the day the vendor learned of the end: the notice
(``end_known_on``) or the end of the contract (``ended_on``), whichever comes first. Nothing a
customer does after its notice can keep it. A notice ends the time at risk even while the contract
still runs. Figures by contract (retention, the number of customers on a day) use ``ended_on``
instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leadsignal.errors import OptionError, one_of
from leadsignal.indicators.declare import Indicator

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.config.project import Project
    from leadsignal.tables import Tables

    Floats = NDArray[np.float64]


PEOPLE = ("name", "owner")
"""Columns with names of people or companies; ``people = "ids"`` leaves them out."""
NAMED = (*PEOPLE, "currency")
"""Columns of accounts that are included in outputs, if the tables have them."""


def named_columns(tables: Tables) -> tuple[str, ...]:
    """Return the columns of `NAMED` that the tables have and the project shows."""
    return shown_columns(tables.project, tables.columns("accounts"))


def shown_columns(project: Project, columns: Collection[str]) -> tuple[str, ...]:
    """Return which of these columns are in `NAMED` and shown by the project."""
    hidden = PEOPLE if project.people == "ids" else ()
    return tuple(c for c in NAMED if c in columns and c not in hidden)


def account_names(tables: Tables) -> pd.DataFrame:
    """Return the name, owner and currency of each account, if the tables have them.

    Parameters
    ----------
    tables : Tables
        The tables; names and owners are those known on their as-of date.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``account_id``, with those of the columns ``name``, ``owner`` and ``currency``
        that the tables have. With ``people = "ids"`` there are no names or owners.

    Examples
    --------
    >>> import leadsignal as ls
    >>> account_names(ls.read_tables(ls.sample_folder())).columns.to_list()
    ['name', 'owner', 'currency']
    """
    listed = ", ".join(("account_id", *named_columns(tables)))
    query = f"SELECT {listed} FROM ({tables.sql('accounts')}) AS t ORDER BY account_id"
    frame: pd.DataFrame = tables.connection.cursor().execute(query).df()
    return frame.set_index("account_id")


def shown_name(account_id: object, name: object) -> str:
    """Return an account as shown in a list: its name with its id, or its id alone.

    >>> shown_name("A-7", "Acme"), shown_name("A-7", None), shown_name("Acme", "Acme")
    ('Acme (A-7)', 'A-7', 'Acme')
    """
    named = isinstance(name, str) and name not in ("", str(account_id))
    return f"{name} ({account_id})" if named else str(account_id)


def next_renewals(rows: pd.DataFrame) -> pd.Series[pd.Timestamp]:
    """Return the next renewal date for each panel row; missing if the contract term is unknown."""
    import pandas as pd

    if "days_to_renewal" not in rows:
        return pd.Series(pd.NaT, index=rows.index, dtype="datetime64[ns]")
    days = pd.to_timedelta(rows["days_to_renewal"].astype(float), unit="D")
    return (rows["snapshot_on"] + days).astype("datetime64[ns]")


def with_names(frame: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Insert name and owner after ``account_id``, and the currency before ``arr``."""
    frame = frame.copy()
    for column in names.columns:
        values = frame["account_id"].map(names[column]).astype(object)
        before = "arr" if column == "currency" else "snapshot_on"
        place = list(frame.columns).index(before)
        frame.insert(place, column, values.where(values.notna(), ""))
    return frame


NO_REASON = "churn"
"""Cause of an end without a known reason."""


def first_of(ended: str, known: str) -> str:
    """Return SQL for the day on which an end became known; NULL if no end is known."""
    return f"LEAST(COALESCE({known}, {ended}), COALESCE({ended}, {known}))"


def known_on(accounts: pd.DataFrame) -> pd.Series[Any]:
    """Return the day on which each account's end became known; missing if no end is known."""
    return accounts[["end_known_on", "ended_on"]].min(axis=1)


def known_ends(tables: Tables, accounts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return known_on and is_churn for each row of the table of accounts.

    ``known_on`` is missing if no end is known on the tables' as-of date. ``is_churn`` is False
    in that case, and if the project does not count the reason as churn.

    >>> import leadsignal as ls
    >>> frame = {"account_id": ["a", "b"], "started_on": ["2024-01-01", "2024-01-01"],
    ...          "ended_on": ["2024-06-01", None], "end_known_on": ["2024-04-02", "2024-06-09"]}
    >>> import pandas as pd
    >>> known_ends(ls.read_tables({"accounts": pd.DataFrame(frame)}, as_of="2024-07-01"))
        known_on  is_churn
    0 2024-04-02      True
    1 2024-06-09      True
    """
    frame = tables.frame("accounts") if accounts is None else accounts
    known = known_on(frame)
    other = frame["end_reason"].isin(tables.project.not_churn)
    return known.to_frame("known_on").assign(is_churn=known.notna() & ~other)


def at_risk(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return the days at risk in each panel row (n), and the cause of an end in the row.

    If the end was known by the snapshot, the days are 0 or less. Without an end, the cause is "".
    """
    length = (rows["stop"] - rows["start"]).to_numpy(dtype=float)
    known = rows["known_within"].to_numpy(dtype=float, na_value=np.nan)
    cause = rows["end_cause"].fillna(NO_REASON).to_numpy(dtype=object)
    ends = (known > 0) & (known <= length)
    return np.fmin(length, known), np.where(ends, cause, "").astype(object)


def rows_at_risk(
    frame: pd.DataFrame,
) -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[Any]]:
    """Return the panel rows before the end was known (n), sorted by account and tenure.

    Also returns the day of tenure on which each row stops, and the cause of an end in the row, or
    "" if there is none. Rows after notice are left out.
    """
    days, cause = at_risk(frame)
    mine = np.flatnonzero((days > 0) & ~frame["notice_given"].to_numpy(dtype=bool))
    who = frame[["account_id", "start"]].iloc[mine].reset_index(drop=True)
    order = mine[who.sort_values(["account_id", "start"], kind="stable").index]
    # Copy the rows only once, as a panel has many columns.
    kept = frame.iloc[order].reset_index(drop=True)
    return kept, kept["start"].to_numpy(dtype=float) + days[order], cause[order].astype(str)


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
