"""Facts about an account that are shown with its risk: name, owner, ARR and next renewal."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.config.project import Project
    from leadsignal.tables import Tables

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
