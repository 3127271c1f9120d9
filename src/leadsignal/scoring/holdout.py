"""A random holdout of accounts that are not contacted, and the log of contacts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.errors import Fault, InputError, OptionError
from leadsignal.files.records import plain_frame

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

HELD_OUT = "held_out"
"""Column of scores that marks the accounts not to be contacted."""
COLUMNS = ("account_id", "contacted_on")
LISTED = 100


def hold_out(customers: Iterable[Any], share: float, seed: int = 0) -> NDArray[np.bool_]:
    """Return which customers are held out (shape (customers,)), the same on every day and machine.

    A customer is held out if `chance_of` is below ``share``. All its accounts are, because
    contacting one affects the others. Raises OptionError unless the share is between 0 and 0.5.

    >>> hold_out(["a", "b", "c", "d"], 0.5).tolist()
    [False, False, False, True]
    """
    if not 0 <= share <= 0.5:
        raise OptionError(f"holdout = {share!r} is not between 0 and 0.5", "Write 0.1 for a tenth")
    return np.array([chance_of(one, seed) < share for one in customers], dtype=bool)


def chance_of(customer: object, seed: int) -> float:
    """Return a pseudo-random number in [0, 1) for a customer, from SHA-256 of ``seed:customer``.

    Both holdouts and experiment arms use it: customers with the lowest numbers are left alone.
    """
    text = f"{seed}:{customer}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def read_contacts(path: str | Path) -> pd.DataFrame:
    """Return the log of contacted accounts: account_id, contacted_on, one row per contact.

    Raises InputError with the line of every fault.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise OptionError(
            f"there is no file {path}",
            "Give a CSV file with the columns account_id and contacted_on",
        )
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise _refused(path, "cannot be read as CSV", "Save it as CSV in UTF-8.") from error
    # Contacts are copied from tables of scores, in which text is escaped for spreadsheets.
    frame = plain_frame(frame)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        remedy = "Name the columns account_id and contacted_on."
        raise _refused(path, f"has no column {' and no '.join(missing)}", remedy)
    return check_contacts(frame, path.name)


def _refused(path: Path, problem: str, remedy: str) -> InputError:
    return InputError([Fault(path.name, "contacts", None, None, None, problem, remedy)])


def check_contacts(frame: pd.DataFrame, file: str | None = None) -> pd.DataFrame:
    """Return contacts with parsed dates, sorted by account and day.

    Raises OptionError if a column is missing, and InputError for invalid cells.
    """
    import pandas as pd

    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise OptionError(f"contacts have no column {' and no '.join(missing)}", "Add it")
    days = pd.to_datetime(frame["contacted_on"], errors="coerce", format="ISO8601")
    blank = frame["account_id"].isna() | (frame["account_id"].astype(str).str.strip() == "")
    faults = [
        Fault(file, "contacts", row + 2, column, value, problem, remedy)
        for column, wrong, problem, remedy in (
            ("account_id", blank, "is empty", "Say which account was contacted."),
            ("contacted_on", days.isna(), "is not a day", "Write it as 2025-12-31."),
        )
        for row, value in _cells(frame[column], wrong.to_numpy(dtype=bool))
    ]
    if faults:
        raise InputError(faults)
    contacts = pd.DataFrame(
        {"account_id": frame["account_id"].astype(str), "contacted_on": days.dt.normalize()}
    )
    return contacts.sort_values(list(COLUMNS), ignore_index=True)


def _cells(column: pd.Series[Any], wrong: NDArray[np.bool_]) -> list[tuple[int, str]]:
    rows = np.flatnonzero(wrong)[:LISTED]
    return [(int(row), str(column.iloc[row])[:40]) for row in rows]
