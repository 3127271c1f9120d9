"""The interview kit: a folder with a brief for each account to interview."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leadsignal.arguments import checked
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import OptionError
from leadsignal.files.names import plain_words
from leadsignal.files.outputs import KIT
from leadsignal.files.writing import whole_folder
from leadsignal.results import Result
from leadsignal.success_analysis.interviews.brief import History
from leadsignal.success_analysis.successful import SuccessfulAccounts
from leadsignal.tables import Tables

README = "README.md"
GUIDE = """\
# Interviews with successful customers

One file an account: its history, then three questions. Ask someone who owns the result.

1. Why did they buy?
2. How successful has it been?
3. What did they do to make it so? Not what they think of the product: what they do, how often, by
   how many people. Ask until it is one, two or three things.

Write after the colons; longer answers may go on below, indented. Leave labels and headings as they
are, leave empty what was not said, delete nothing. An account that could not be asked stays empty.

```python
interviews = ls.success_analysis.read_interviews("this folder")
ls.success_analysis.distil(interviews).write("success.toml")
```
"""


@dataclass(frozen=True, repr=False)
class InterviewKit(Result):
    """The briefs that were written: ``files`` by account, in ``folder``."""

    folder: Path
    files: dict[str, Path]

    def __repr__(self) -> str:
        return f"Interview kit of {len(self)} accounts in {self.folder}"

    def _table(self) -> pd.DataFrame:
        """Return one row per account: account_id, file."""
        rows = [(account, path.name) for account, path in self.files.items()]
        return pd.DataFrame(rows, columns=["account_id", "file"])

    def to_dict(self) -> dict[str, Any]:
        """Return folder and files, ready for JSON."""
        files = {account: path.name for account, path in self.files.items()}
        return {"folder": str(self.folder), "files": files}


@checked
def write_interview_kit(
    successful: SuccessfulAccounts,
    tables: Tables,
    folder: str | Path,
    analysis: SuccessAnalysis | None = None,
    *,
    at_most: int = 12,
) -> InterviewKit:
    """Write a one-page Markdown brief with three questions for each account, best first.

    The folder is written completely or not at all.

    Parameters
    ----------
    successful : SuccessfulAccounts
        The accounts to interview, from ``most_successful``.
    tables : Tables
        The tables that ``successful`` was computed from.
    folder : str or Path
        The folder to write.
    analysis : SuccessAnalysis, optional
        The analysis that ``successful`` was computed with.
    at_most : int, default 12
        Maximum number of briefs.

    Returns
    -------
    InterviewKit
        The folder and its files.

    Raises
    ------
    OptionError
        If the folder is not empty (it may hold answers), there is no account, or the tables are of
        another date.

    Examples
    --------
    >>> import leadsignal as ls, tempfile
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> found = ls.success_analysis.most_successful(tables)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(write_interview_kit(found, tables, folder, at_most=2))
    2
    """
    place = Path(folder)
    if place.is_dir() and any(place.iterdir()):
        raise OptionError(
            f"{place} is not empty, and may hold answers", "Name a new folder, or empty this one"
        )
    if not len(successful):
        raise OptionError("there is no account to interview", "; ".join(successful.notes))
    if tables.as_of_date != successful.as_of_date:
        raise OptionError(
            f"the tables are as of {tables.as_of_date}, the accounts were chosen as of"
            f" {successful.as_of_date}",
            "Give the tables they were chosen from",
        )
    accounts = successful.accounts[: max(1, at_most)]
    history = History(tables, analysis or SuccessAnalysis(()), accounts)
    rows = {row["account_id"]: row for row in successful.frame.to_dict("records")}
    files = {account: _file(n, account) for n, account in enumerate(accounts, 1)}
    with whole_folder(place, KIT) as part:
        (part / README).write_text(GUIDE, encoding="utf-8")
        for account, name in files.items():
            text = history.page(account, {str(k): v for k, v in rows[account].items()})
            (part / name).write_text(text, encoding="utf-8", newline="\n")
    return InterviewKit(place, {account: place / name for account, name in files.items()})


def _file(number: int, account: str) -> str:
    """Return a file name that stays in its folder, whatever the account is called."""
    return f"{number:02d}-{plain_words(account)}.md"
