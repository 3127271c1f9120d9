"""The call list: which accounts to call, what to know before, and what has changed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leadsignal.arguments import checked
from leadsignal.errors import OptionError
from leadsignal.files.outputs import CALL_LIST, as_url, page_paths
from leadsignal.files.writing import atomic_write, safe_frame
from leadsignal.formats import of_hundred
from leadsignal.scoring.feeds import HELD_OUT
from leadsignal.scoring.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".xlsx")
COLUMNS = {
    "account_id": ("Account", 14),
    "name": ("Name", 28),
    "owner": ("Owner", 18),
    "arr": ("ARR", 12),
    "currency": ("Currency", 10),
    "next_renewal": ("Next renewal", 13),
    "risk": ("Risk of leaving", 18),
    "expected_arr_loss": ("Expected loss", 14),
    "why": ("Why", 60),
    "next_step": ("Next step", 60),
    "listed_since": ("On the list since", 16),
    "change": ("Change", 28),
}
"""Heading and width (in characters) of each column."""
REASONS_SHOWN = 2
MOVED = 0.1
"""Smallest difference from the previous risk that is reported as a change."""
Order = Literal["risk", "expected_arr_loss"]


@checked
def call_list(
    scores: Scores | pd.DataFrame, earlier: pd.DataFrame | None = None, *, by: Order = "risk"
) -> pd.DataFrame:
    """Return the alerted accounts with what to know before a call, then those that left the list.

    Parameters
    ----------
    scores : Scores or DataFrame
        The scores, or a table of them.
    earlier : DataFrame, optional
        Scores of earlier days, as returned by `read_scores` for a folder. Scores from the same day
        or later are ignored.
    by : {"risk", "expected_arr_loss"}, default "risk"
        Sort key, in descending order.

    Returns
    -------
    DataFrame
        One row per account: ``account_id``, ``name``, ``owner`` and ``currency`` (if the tables
        have them), ``arr``, ``next_renewal``, ``risk``, ``expected_arr_loss``, ``why`` (up to two
        reasons), ``next_step``, ``listed_since`` (first day of the current unbroken series of
        alerts) and ``change``. Held-out accounts are not listed. Accounts that have left the list
        since the previous day come last, with the reason.

    Raises
    ------
    OptionError
        If ``by`` is neither of the two values.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> panel = ls.build_panel(tables)
    >>> model = ls.ChurnModel(estimator="logistic").fit(panel)
    >>> listed = ls.scoring.call_list(ls.score_accounts(model, tables, panel=panel))
    >>> listed["change"].unique().tolist()
    ['']
    """
    import pandas as pd

    if by not in ("risk", "expected_arr_loss"):
        raise OptionError(f"by = {by!r}", "Sort by risk or expected_arr_loss")
    frame = scores if isinstance(scores, pd.DataFrame) else scores.frame
    days = _alerts_by_day(frame, earlier)
    before = days.pop(max(days)) if days else None
    now = frame[on_list(frame)].sort_values([by, "account_id"], ascending=[False, True])
    listed = _described(now)
    history = [*days.values(), *([before] if before is not None else [])]
    listed["listed_since"] = [
        _since(account, history, day)
        for account, day in zip(now["account_id"], now["snapshot_on"], strict=True)
    ]
    if before is None:
        return listed.assign(change="")
    listed["change"] = list(_changes(now, before))
    gone = _gone(frame, before)
    return pd.concat([listed, gone], ignore_index=True) if len(gone) else listed


def on_list(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows of scores are on the call list: alerted and not held out."""
    excluded = frame[HELD_OUT].astype(bool) if HELD_OUT in frame else False
    listed: pd.Series[bool] = frame["alert"].astype(bool) & ~(frame["alert"].isna() | excluded)
    return listed


def _alerts_by_day(
    frame: pd.DataFrame, earlier: pd.DataFrame | None
) -> dict[pd.Timestamp, pd.DataFrame]:
    """Return the call lists of earlier days, indexed by account, the earliest first."""
    if earlier is None or not len(frame):
        return {}
    past = earlier[earlier["snapshot_on"] < frame["snapshot_on"].iloc[0]]
    return {
        day: rows[on_list(rows)].set_index("account_id")
        for day, rows in past.groupby("snapshot_on", sort=True)
    }


def _since(account: object, history: list[pd.DataFrame], today: pd.Timestamp) -> pd.Timestamp:
    since = today
    for listed in reversed(history):
        if account not in listed.index:
            break
        since = listed["snapshot_on"].iloc[0]
    return since


def _described(now: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the call list for alerted accounts."""
    kept = [name for name in COLUMNS if name in now]
    listed = now[kept].reset_index(drop=True)
    reasons = now[[f"reason_{rank}" for rank in range(1, REASONS_SHOWN + 1)]].fillna("")
    why = ["; ".join(filter(None, texts)) for texts in reasons.to_numpy().tolist()]
    place = list(listed.columns).index("expected_arr_loss") + 1
    listed.insert(place, "why", why)
    return listed


def _changes(now: pd.DataFrame, before: pd.DataFrame) -> Iterator[str]:
    risks = before["risk"].to_dict()
    for account, risk in zip(now["account_id"], now["risk"], strict=True):
        was = risks.get(account)
        if was is None:
            yield "new"
            continue
        moved = "up" if risk > was else "down"
        yield f"{moved} from {of_hundred(was)} of 100" if abs(risk - was) >= MOVED else ""


def _gone(frame: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Return the accounts of the previous list that are no longer on it."""
    import pandas as pd

    now = frame.set_index("account_id")
    gone = before[~before.index.isin(now.index[on_list(frame).to_numpy()])]
    kept = [name for name in ("name", "owner", "currency") if name in gone]
    rows = gone[kept].reset_index()
    rows["risk"] = now["risk"].reindex(gone.index).to_numpy()
    left = "off the list: ended, or notice given"
    rows["change"] = [left if pd.isna(risk) else "off the list" for risk in rows["risk"]]
    return rows


@checked
def write_call_list(
    scores: Scores | pd.DataFrame,
    path: str | Path,
    earlier: pd.DataFrame | None = None,
    *,
    by: Order = "risk",
    pages: str | Path | None = None,
    force: bool = False,
) -> None:
    """Write the call list for readers, as ``.csv`` or ``.xlsx``.

    Columns have readable headings, and a risk is written as "about 35 of 100". A workbook has a
    frozen header row, filters and column widths; its risks are numbers, so that they can be sorted.
    Parameters are those of `call_list`. ``pages`` is a folder written by `write_account_pages`:
    each account is linked to its page, from its cell in a workbook or in a last column "Page" of a
    CSV. ``force`` replaces a file that is not a call list. Raises OptionError for another
    extension, for a folder without account pages, and as `call_list` does, and WriteError if
    writing fails.
    """
    check_call_list(path)
    table = call_list(scores, earlier, by=by)
    paths = None if pages is None else page_paths(pages, path, table["account_id"])
    with atomic_write(path, CALL_LIST, force=force) as part:
        (_write_csv if Path(path).suffix.lower() == ".csv" else _write_workbook)(table, part, paths)


def check_call_list(path: str | Path) -> None:
    """Raise OptionError unless the file ends in ``.csv`` or ``.xlsx``."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise OptionError(f"{path} ends in {ending or 'nothing'}", "Name a .csv or .xlsx file")


def _headed(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={name: heading for name, (heading, _) in COLUMNS.items()})


Paths = Mapping[str, str] | None
"""Path of the page of each account that has one; None if there are no pages."""


def _write_csv(table: pd.DataFrame, part: Path, paths: Paths) -> None:
    risks = [f"{of_hundred(risk)} of 100" if risk == risk else "" for risk in table["risk"]]
    money = {name: table[name].round(0) for name in ("arr", "expected_arr_loss") if name in table}
    headed = _headed(table.assign(risk=risks, **money))
    if paths is not None:
        headed["Page"] = [paths.get(account, "") for account in table["account_id"]]
    shown = safe_frame(headed)
    shown.to_csv(
        part,
        index=False,
        lineterminator="\n",
        date_format="%Y-%m-%d",
        float_format="%.0f",
        quoting=csv.QUOTE_NONNUMERIC,
    )


def _write_workbook(table: pd.DataFrame, part: Path, paths: Paths) -> None:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    sheet: Any = book.active
    sheet.title = "Call list"
    shown = safe_frame(table.assign(risk=(100 * table["risk"]).round(0)))
    names = [str(name) for name in shown.columns]
    sheet.append([COLUMNS[name][0] for name in names])
    for row in shown.itertuples(index=False):
        sheet.append([None if value != value else value for value in row])
    formats = {
        "risk": '"about "0" of 100"',
        "arr": "#,##0",
        "expected_arr_loss": "#,##0",
        "next_renewal": "yyyy-mm-dd",
        "listed_since": "yyyy-mm-dd",
    }
    for number, name in enumerate(names, 1):
        letter = get_column_letter(number)
        sheet.column_dimensions[letter].width = COLUMNS[name][1]
        for cell in sheet[letter][1:]:
            cell.number_format = formats.get(name, cell.number_format)
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    for place, account in enumerate(table["account_id"], 2):
        if paths and account in paths:
            cell = sheet.cell(place, names.index("account_id") + 1)
            cell.hyperlink = as_url(paths[account])
            cell.font = Font(color="0563C1", underline="single")
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "B2"
    sheet.auto_filter.ref = sheet.dimensions
    book.save(part)
