"""Find the files that all rows of a project come from, if there are no other sources."""

from __future__ import annotations

import re
from pathlib import Path

from leadsignal.config.project import Project
from leadsignal.config.table_settings import FILES, TableSource
from leadsignal.errors import Fault
from leadsignal.sources.locate import Located, at_path, locate, located
from leadsignal.sources.project_files import names_in

_REPEATABLE = (
    "abs avg cast ceil coalesce concat count decimal floor greatest if ifnull least left length "
    "lower max min nullif numeric replace right round row_number split_part strftime strptime "
    "substr substring sum trim try_cast try_strptime upper varchar "
    # SQL keywords that may precede a parenthesis.
    "all and as by case columns distinct else except exclude exists from having in join not on or "
    "over select then union unpivot using values when where with"
)
"""Words that may precede a parenthesis in a query whose result does not depend on time."""
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_CALLED = re.compile(r"([\w\"']+)\s*\(")
_CHANGING = re.compile(r"(?i)--|/\*|\$|\b(sample|tablesample|current_\w+|localtime\w*)\b")
"""Comments, parameters, samples, and keywords for the current date and time."""


def files_read(project: Project) -> list[Located] | None:
    """Return the files that all rows of a project come from; None if some come from elsewhere.

    Other sources are databases, object stores, frames, and queries whose result may change with
    time. Also return None if files are missing.
    """
    if project.url is not None:
        return None
    found, faults = locate(project)
    settings = project.tables.items()
    requested: list[tuple[TableSource, Located | Fault]] = [
        (project.tables.get(one.table, TableSource()), one) for one in found
    ]
    for name, source in settings:
        if isinstance(source.users, TableSource):
            requested.append((source.users, located(name, source.users, project.folder or Path())))
    has_frames = any(
        source.users is not None and not isinstance(source.users, TableSource)
        for _, source in settings
    )
    files = [_files_of(project, *one) for one in requested]
    if faults or has_frames or None in files:
        return None
    return [one for some in files for one in some or ()]


def _files_of(
    project: Project, source: TableSource, found: Located | Fault
) -> list[Located] | None:
    if isinstance(found, Fault) or found.format == "remote":
        return None
    if found.format != "rows":
        return [found]
    query = source.query or ""
    of_files = source.source == FILES and FILES not in project.sources
    if not of_files or not is_repeatable(query):
        return None
    folder = project.folder or Path()
    named = [(at_path(found.table, folder, name), is_table) for name, is_table in names_in(query)]
    if any(is_table and isinstance(one, Fault) for one, is_table in named):
        return None
    return [one for one, _ in named if isinstance(one, Located)]


def is_repeatable(query: str) -> bool:
    """Return whether a query is certain to give the same result for the same rows at any time.

    >>> is_repeatable("SELECT * FROM 'a.csv' WHERE coalesce(x, '') <> ''")
    True
    >>> is_repeatable("SELECT * FROM 'a.csv' WHERE day < today()")
    False
    """
    plain = _QUOTED.sub(lambda text: text[0][0] * 2, query)
    called = {name.lower() for name in _CALLED.findall(plain)}
    return called <= {*_REPEATABLE.split()} and not _CHANGING.search(plain)
