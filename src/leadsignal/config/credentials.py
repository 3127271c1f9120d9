"""Named sources and their credentials, which are kept out of every message.

Allow-lists name the databases, drivers and options that a source may use. Project files often come
from other people and must only say where rows are: anything outside the lists could load a library,
run a command or a statement, or read another file.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from leadsignal.errors import OptionError, SourceError
from leadsignal.package_data import packaged_toml

ALLOWED = packaged_toml("leadsignal.config", "allowed.toml")
"""What a project may name: databases, drivers, object stores, options and currencies."""
ADBC_SCHEMES: Mapping[str, Sequence[str]] = ALLOWED["adbc"]
DIALECTS: Mapping[str, Sequence[str]] = ALLOWED["dialects"]
FLIGHT = ADBC_SCHEMES["adbc_driver_flightsql"]
STORES: Sequence[str] = ALLOWED["stores"]
FILES = ("duckdb",)
_ODBC = re.compile(r"ODBC Driver \d+ for SQL Server")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*):")


def a_driver(value: object) -> str:
    """Accept the name of an allowed ADBC driver package."""
    if not isinstance(value, str) or value not in ADBC_SCHEMES:
        raise OptionError(
            "must be a supported ADBC driver package", f"Allowed: {', '.join(ADBC_SCHEMES)}"
        )
    return value


def refuse_unknown(url: str, driver: str | None, options: Mapping[str, Any]) -> None:
    """Raise OptionError if a source uses a driver or an option that is not allowed."""
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    if _is_chain(url):
        raise OptionError("is a chain of stores", "Write the URL of the store itself")
    if driver is not None:
        a_driver(driver)
        if scheme not in ADBC_SCHEMES[driver]:
            ways = " or ".join(f"{one}:" for one in ADBC_SCHEMES[driver])
            raise OptionError(f"is not a URL of {driver}", f"Begin it with {ways}")
    elif not _is_known(scheme):
        raise OptionError(
            f"{scheme}: is not a supported database or object store",
            f"Allowed: {', '.join([*DIALECTS, *FILES, *STORES, *FLIGHT])}",
        )
    _refuse_options(url, options, scheme, driver is None)


def _is_chain(url: str) -> bool:
    location = url.partition("?")[0]
    return "::" in re.sub(r"\[[0-9A-Fa-f:.%]*\]", "", location)


def _is_known(scheme: str) -> bool:
    name, _, driver = scheme.partition("+")
    if scheme in (*FILES, *STORES, *FLIGHT, "postgres"):
        return True
    return name in DIALECTS and (not driver or driver in DIALECTS[name])


def _refuse_options(url: str, options: Mapping[str, Any], scheme: str, plain: bool) -> None:
    of_store = plain and scheme in STORES
    allowed: list[str] = ALLOWED["store_options" if of_store else "database_options"]
    allowed = [*allowed, "driver"] if plain and scheme.startswith("mssql") else allowed
    for name in options:
        if str(name).lower() not in allowed and not (_is_adbc(str(name)) and not of_store):
            raise OptionError(f"option {name!r} is not allowed", f"Allowed: {', '.join(allowed)}")
    query = [] if of_store else parse_qsl(url.partition("?")[2], keep_blank_values=True)
    for name, _ in query:
        if name.lower() not in allowed and not _is_adbc(name):
            raise OptionError(
                f"{name!r} in the URL is not allowed", f"Allowed: {', '.join(allowed)}"
            )
    for name, value in [*query, *options.items()]:
        if name.lower() == "driver" and not _ODBC.fullmatch(str(value)):
            raise OptionError(
                f"driver = {value!r} is not a Microsoft driver",
                "Write ODBC Driver 18 for SQL Server",
            )
        if name.lower() == "sslkey" and ":" in str(value):
            raise OptionError("sslkey names an OpenSSL engine", "Give the path of the key file")


@contextmanager
def installed_only() -> Iterator[None]:
    """Import drivers from installed packages only, not from the current folder."""
    here = os.path.realpath(os.getcwd())
    around = [path for path in sys.path if not path or os.path.realpath(path) == here]
    sys.path[:] = [path for path in sys.path if path not in around]
    try:
        yield
    finally:
        sys.path[:0] = around


def _is_adbc(name: str) -> bool:
    """Return whether this is an option of an ADBC driver that does not load a library."""
    low = name.lower()
    return low.startswith("adbc.") and not any(
        w in low for w in ("extension", "driver", "entrypoint")
    )


# Credentials --------------------------------------------------------------------------------------


HIDDEN = "***"
SHORTEST = 6
"""Minimum length of a secret from the environment; shorter values would match ordinary words."""
SECRET_WORDS = (
    "password", "passwd", "pwd", "passphrase", "passfile", "secret", "token", "credential",
    "private_key", "access_key", "account_key", "api_key", "apikey", "signature",
    "connection_string",
)  # fmt: skip
"""Options and URL parameters whose names contain one of these words hold a secret."""
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*):(//)?")
_USER_INFO = re.compile(r"(?<=://)([^\s/?#'\"@]*):([^\s'\"]*)@")
_PARAMETER = re.compile(
    rf"((?:^|[?&;\s{{]|%3B)[\w.\-]*(?:{'|'.join(SECRET_WORDS)})[\w.\-]*\s*(?:=|%3D)\s*)"
    r"(\"[^\"]*\"|'[^']*'|[^\s&;]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """A named database or object store, with the place of its credentials but not their values.

    ``url`` has no password. ``url_env``, ``user_env`` and ``password_env`` name environment
    variables; ``credentials`` is a TOML file outside the project with ``url``, ``user``,
    ``password`` or ``options``. ``driver`` is an ADBC driver package; ``options`` are passed to it
    or to fsspec. Relative paths in a URL start from ``folder``.
    """

    name: str
    url: str | None = field(default=None, repr=False)
    url_env: str | None = None
    user_env: str | None = None
    password_env: str | None = None
    credentials: Path | None = None
    driver: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    folder: Path | None = None


@dataclass(frozen=True, repr=False)
class Access:
    """A source with its credentials, for the driver only, never for a message."""

    name: str
    url: str
    driver: str | None
    options: Mapping[str, Any]
    secrets: tuple[str, ...]
    folder: Path | None = None

    @property
    def scheme(self) -> str:
        """The scheme of the URL, in lower case."""
        found = _URL.match(self.url)
        return found[1].lower() if found else ""

    def hide(self, text: object) -> str:
        """Return a text with all secrets masked."""
        return hide_secrets(str(text), (*self.secrets, *_of_environment()))

    def file(self, name: str) -> Path:
        """Return the file that a URL such as duckdb:///crm.duckdb names."""
        path = Path(unquote(name)).expanduser()
        return path if path.is_absolute() else (self.folder or Path()) / path


def _of_environment() -> Iterator[str]:
    """Yield secrets that drivers read themselves, such as PGPASSWORD and AWS_SECRET_ACCESS_KEY."""
    for name, value in os.environ.items():
        if is_secret_name(name) and len(value) >= SHORTEST:
            yield from _forms(value)


def is_url(text: object) -> bool:
    """Return whether a text is a URL rather than a path.

    >>> is_url("s3://bucket/accounts.parquet"), is_url("crm/accounts.csv")
    (True, False)
    """
    found = _URL.match(text) if isinstance(text, str) else None
    return bool(found and found[2])


def hide_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace secrets, and whatever looks like a password in a URL, by ``***``.

    >>> hide_secrets("cannot reach postgresql://me:pass@host/db")
    'cannot reach postgresql://me:***@host/db'
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _USER_INFO.sub(rf"\1:{HIDDEN}@", text)
    text = re.sub(r"(?<=[?&])(sig|sas|key)=[^\s&'\"]+", rf"\1={HIDDEN}", text)
    return _PARAMETER.sub(rf"\1{HIDDEN}", text)


def secret_in(url: str) -> str | None:
    """Describe the secret in a URL, a password or a parameter; None if there is none.

    >>> secret_in("postgresql://me:pass@host/db")
    'a password'
    """
    user_info, _, _ = _divided(url)
    if ":" in user_info or _is_ambiguous(url):
        return "a password"
    for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if is_secret_name(name) or _PARAMETER.search(value):
            return f"the secret {name!r}"
    return None


def _divided(url: str) -> tuple[str, str, str]:
    """Split a URL as drivers do: user and password, host and port, and the rest."""
    rest = url.partition("://")[2]
    location = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user_info, _, host = location.rpartition("@")
    return user_info, host, rest[len(location) :]


def _is_ambiguous(url: str) -> bool:
    """Return whether a password may contain characters that end it, as in me:pa/ss@host.

    A driver would take the rest of the password for the host.
    """
    user_info, host, rest = _divided(url)
    if ":" not in f"{user_info}{host}":
        return False
    port = host.rpartition(":")[2]
    in_parameters = "@" in rest and not user_info and not port.isdigit()
    return "@" in user_info or "@" in rest.partition("?")[0] or in_parameters


def is_secret_name(name: str) -> bool:
    """Return whether an option of this name holds a secret."""
    bare = name.lower().replace("-", "_").rpartition(".")[2]
    return bare in ("key", "sas", "sig") or any(word in bare for word in SECRET_WORDS)


def named_source(sources: Mapping[str, Source], name: str) -> Source:
    """Return a source by name; raises SourceError if it does not exist."""
    if name not in sources:
        known = f"Allowed: {', '.join(sources)}" if sources else "Give it in Project(sources=…)"
        raise SourceError(f"{name!r} is not a source", known)
    return sources[name]


def open_source(source: Source) -> Access:
    """Return a source with its credentials from the environment or from its file.

    Raises SourceError if something is missing; it names variables and files, never values.
    """
    credentials = _held(source)
    url = _variable(source, source.url_env) or credentials.get("url") or source.url
    if url is None:
        raise SourceError(f"source {source.name!r} has no url", "Give url, or url_env")
    where = f"${source.url_env}" if source.url_env else "the credentials file"
    if not _URL.match(url):
        problem = f"what {where} holds for source {source.name!r} is not a URL"
        raise SourceError(problem, "Write it as postgresql://user@host:5432/database")
    user = _variable(source, source.user_env) or credentials.get("user")
    password = _variable(source, source.password_env) or credentials.get("password")
    if _is_ambiguous(url):
        problem = f"the URL of source {source.name!r} has an @, /, ? or # in its password"
        raise SourceError(problem, "Write them as %40, %2F, %3F and %23, or use password_env")
    secrets = [password] if password else []
    options: dict[str, Any] = {**source.options, **credentials.get("options", {})}
    secrets += [str(value) for name, value in options.items() if is_secret_name(name)]
    secrets += [str(value) for value in credentials.get("options", {}).values()]
    try:
        refuse_unknown(url, source.driver, options)
    except OptionError as error:
        raise SourceError(f"source {source.name!r}: {error.problem}", error.remedy) from None
    return Access(
        source.name,
        _with_user(url, user, password),
        source.driver,
        options,
        (*_all_forms(secrets), *secrets_of(url)),
        source.folder,
    )


def _forms(secret: str) -> set[str]:
    """Return the forms of a secret in a message: plain, in a URL, in Python, or cut into parts."""
    plain = {secret, unquote(secret)}
    coded = {coding(text) for text in plain for coding in (quote_plus, quote)}
    coded |= {quote(text, safe="") for text in plain}
    return plain | coded | {repr(text)[1:-1] for text in plain}


def _variable(source: Source, name: str | None) -> str | None:
    if name is None:
        return None
    value = os.environ.get(name)
    if not value:
        problem = f"the environment variable {name} of source {source.name!r} is not set"
        raise SourceError(problem, f"Set it before you run this: export {name}=…")
    return value


def _held(source: Source) -> dict[str, Any]:
    """Return the content of the credentials file."""
    import tomllib

    if source.credentials is None:
        return {}
    place = f"the credentials file {source.credentials} of source {source.name!r}"
    if not source.credentials.is_file():
        raise SourceError(f"{place} is not a file", "Correct the path")
    try:
        content = tomllib.loads(source.credentials.read_text(encoding="utf-8"))
    except OSError:
        raise SourceError(f"{place} cannot be read", "Correct the path, or its owner") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        remedy = 'Write password = "…" in it, and nothing else that is not TOML'
        raise SourceError(f"{place} is not valid TOML", remedy) from None
    texts_held = all(isinstance(content.get(name, ""), str) for name in ("url", "user", "password"))
    if set(content) - {"url", "user", "password", "options"} or not (
        texts_held and isinstance(content.get("options", {}), dict)
    ):
        remedy = "It may hold the texts url, user and password, and a section [options]"
        raise SourceError(f"{place} does not contain the expected keys", remedy)
    return content


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the secrets in a URL, in every form in which a message may show them."""
    found = [_divided(url)[0].partition(":")[2]]
    found += [value for key, value in parse_qsl(url.partition("?")[2]) if is_secret_name(key)]
    return _all_forms(found)


def _all_forms(secrets: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({form for secret in secrets if secret for form in _forms(secret)}))


def _with_user(url: str, user: str | None, password: str | None) -> str:
    """Insert a user and a password, percent-encoded, into a URL."""
    if user is None and password is None:
        return url
    scheme = url.partition("://")[0]
    user_part, host, path = _divided(url)
    old_user, _, old_password = user_part.partition(":")
    user = quote(user, safe="") if user else old_user
    secret = quote(password, safe="") if password else old_password
    login = f"{user}:{secret}" if secret else user
    return f"{scheme}://{login}@{host}{path}"


def a_url(value: object) -> str:
    """Accept a URL without a password."""
    if not isinstance(value, str) or not _URL.match(value):
        raise OptionError("must be a URL", 'Write "postgresql://user@host:5432/database"')
    return value


def a_variable(value: object) -> str:
    """Accept the name of an environment variable."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise OptionError(
            "must be the name of an environment variable", 'Write it as in "WAREHOUSE_PASSWORD"'
        )
    return value
