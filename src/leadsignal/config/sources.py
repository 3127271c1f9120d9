"""The sections ``[sources.NAME]``: where databases are; secrets in them are refused."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from leadsignal.config.credentials import (
    Source,
    a_url,
    a_variable,
    is_secret_name,
    secret_in,
)
from leadsignal.config.drivers import a_driver, refuse_unknown
from leadsignal.config.toml_files import Settings, a_text
from leadsignal.errors import OptionError

ELSEWHERE = (
    "Take it out, change it if others saw the file, and name an environment variable "
    "(password_env, url_env) or a credentials file outside the project"
)
_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
_SOURCE: dict[str, Callable[[Any], Any]] = {
    "url": a_url,
    "url_env": a_variable,
    "user_env": a_variable,
    "password_env": a_variable,
    "credentials": a_text,
    "driver": a_driver,
}


def take_sources(settings: Settings, value: object, folder: Path) -> dict[str, Source]:
    """Return the sources of a project file, and record faults in the settings."""
    section = settings.section(("sources",), value)
    return {
        name: _take_source(settings, name, content, folder) for name, content in section.items()
    }


def _take_source(settings: Settings, name: str, content: object, folder: Path) -> Source:
    path = ("sources", name)
    content = _without_secrets(settings, path, content)
    section = settings.section(path, content, (*_SOURCE, "options"))
    taken = settings.take_all(path, section, _SOURCE)
    secret = secret_in(taken.get("url", ""))
    if secret:
        settings.fault((*path, "url"), f"holds {secret}", ELSEWHERE)
    if not {"url", "url_env", "credentials"} & set(section):
        settings.fault(path, "has no url", "Give url, or url_env where it holds a password")
    if "credentials" in taken:
        file = folder / Path(taken["credentials"]).expanduser()
        taken["credentials"] = file
        _refuse_inside(settings, (*path, "credentials"), file, folder)
    options = _take_options(settings, (*path, "options"), section.get("options", {}))
    if "url" in taken and not secret and taken.get("driver") == section.get("driver"):
        try:
            refuse_unknown(taken["url"], taken.get("driver"), options)
        except OptionError as error:
            settings.fault((*path, "url"), error.problem, error.remedy)
    return Source(name=name, options=options, folder=folder, **taken)


def _without_secrets(settings: Settings, path: tuple[str, ...], content: object) -> object:
    if not isinstance(content, dict):
        return content
    for key in content:
        if key not in _SOURCE and is_secret_name(key):
            settings.fault((*path, key), "is a secret", ELSEWHERE)
    return {
        key: value for key, value in content.items() if key in _SOURCE or not is_secret_name(key)
    }


def _refuse_inside(settings: Settings, path: tuple[str, ...], file: Path, folder: Path) -> None:
    """Refuse a credentials file beside the tables, since it would be shared with them."""
    around = {*file.resolve().parents, *Path(os.path.abspath(file)).parents}
    if around & {folder.resolve(), Path(os.path.abspath(folder))}:
        remedy = "Move it outside, as to ~/.config/leadsignal/, and correct the path"
        settings.fault(path, "is inside the project's folder", remedy, str(file))
    elif not file.is_file():
        settings.fault(path, "no such file", "Correct the path", str(file))


def _take_options(settings: Settings, path: tuple[str, ...], value: object) -> dict[str, Any]:
    section = settings.section(path, value)
    for key, content in section.items():
        nested = content if isinstance(content, Mapping) else {}
        for secret in [name for name in (key, *nested) if is_secret_name(str(name))]:
            settings.fault((*path, key), f"{secret!r} is a secret", ELSEWHERE)
        if isinstance(content, str) and secret_in(content):
            settings.fault((*path, key), f"holds {secret_in(content)}", ELSEWHERE)
    return dict(section)


def a_table_name(value: object) -> tuple[str, ...]:
    """Accept the name of a database table and return its parts, case unchanged.

    >>> a_table_name("crm.accounts"), a_table_name('crm."odd.name"')
    (('crm', 'accounts'), ('crm', 'odd.name'))
    """
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) and v for v in value):
        parts = tuple(value)
    else:
        parts = _parts(a_text(value))
    if not 1 <= len(parts) <= 3 or any("\0" in part for part in parts):
        raise OptionError(
            "is not the name of a table",
            'Write "accounts", "crm.accounts", or in parts, as in ["crm", "odd.name"]',
        )
    return parts


def _parts(text: str) -> tuple[str, ...]:
    """Return the parts of a dotted name, with dots allowed in quotes; empty if it is not a name."""
    parts, at = [], 0
    while at <= len(text):
        found = _PART.match(text, at)
        if not found:
            return ()
        parts.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        at = found.end() + 1
        if found.end() < len(text) and text[found.end()] != ".":
            return ()
    return tuple(parts)
