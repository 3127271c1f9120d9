"""File names made from ids, and links from a file to account pages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from leadsignal.errors import OptionError
from leadsignal.files.outputs import ACCOUNT_PAGES, shown

HASHED = 12
"""Number of hash digits in the name of a page: enough for a million accounts."""


def plain_words(text: str) -> str:
    """Return the ASCII letters and digits of a text with hyphens between them, 60 at most.

    >>> plain_words("../Müller & Co")
    'M-ller-Co'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60].strip("-")


def page_name(account_id: str) -> str:
    """Return the file name of an account's page, the same in every run and unique to the account.

    The words are for readers. The hash distinguishes ids that differ only in other characters, or
    in case, which some file systems ignore.

    >>> page_name("A-7"), page_name("a 7")
    ('a-7-3cccbcd7a3c8.html', 'a-7-36485f44ad53.html')
    """
    digest = sha256(account_id.encode("utf-8", "surrogatepass")).hexdigest()[:HASHED]
    return "-".join(filter(None, (plain_words(account_id).lower(), digest))) + ".html"


def page_paths(
    folder: str | Path, beside: str | Path, account_ids: Iterable[str]
) -> dict[str, str]:
    """Return the paths of the pages that exist in a folder, relative to the file ``beside``.

    Accounts without a page are left out, so that no link is broken. Raises OptionError if the
    folder is not a folder of account pages.
    """
    if not (Path(folder) / ACCOUNT_PAGES.needed).is_file():
        raise OptionError(
            f"{shown(folder)} is not {ACCOUNT_PAGES.what}",
            "Write them first: leadsignal.report.write_account_pages(tables, scores, folder)",
        )
    there = set(os.listdir(folder))
    way = Path(os.path.relpath(folder, Path(beside).parent))
    names = {account: page_name(account) for account in account_ids}
    return {account: (way / name).as_posix() for account, name in names.items() if name in there}


def as_url(path: str) -> str:
    """Return a relative path as a URL, with special characters escaped.

    >>> as_url("our pages/a#b.html"), as_url("c:d/e.html")
    ('our%20pages/a%23b.html', 'c%3Ad/e.html')
    """
    return quote(os.fsencode(path))
