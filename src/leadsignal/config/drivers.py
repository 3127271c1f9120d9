"""Allow-lists of the databases, drivers and options that a source may use.

Project files often come from other people and must only say where rows are. Anything outside these
lists could load a library, run a command or a statement, or read another file.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from leadsignal.errors import OptionError

ADBC_SCHEMES: dict[str, tuple[str, ...]] = {
    "adbc_driver_postgresql": ("postgresql", "postgres"),
    "adbc_driver_flightsql": ("grpc", "grpc+tls", "grpc+tcp"),
    "adbc_driver_sqlite": ("file",),
    "adbc_driver_snowflake": ("snowflake",),
    "adbc_driver_bigquery": ("bigquery",),
}
FLIGHT = ADBC_SCHEMES["adbc_driver_flightsql"]
"""The allowed ADBC drivers, and the schemes of their URLs."""
DIALECTS: dict[str, tuple[str, ...]] = {
    "sqlite": ("pysqlite",),
    "postgresql": ("psycopg", "psycopg2", "pg8000"),
    "mysql": ("pymysql", "mysqldb", "mysqlconnector", "mariadbconnector"),
    "mariadb": ("pymysql", "mysqldb", "mysqlconnector", "mariadbconnector"),
    "oracle": ("oracledb",),
    "mssql": ("pymssql", "pyodbc"),
    "redshift": ("psycopg2", "redshift_connector"),
    "snowflake": ("snowflake",),
    "bigquery": ("bigquery",),
    "databricks": ("connector",),
    "trino": (),
    "clickhouse": ("http", "native"),
    "clickhousedb": ("connect",),
    "cockroachdb": ("psycopg", "psycopg2"),
}
"""The databases opened by SQLAlchemy, and the drivers allowed for each besides the default."""
STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "https", "http", "file", "memory")
"""The allowed object stores; chains such as simplecache::s3:// are refused."""
FILES = ("duckdb",)
DATABASE_OPTIONS = (
    "access_token", "account", "api_key", "application_name", "catalog", "charset",
    "client_encoding", "collation", "connect_timeout", "credentials_base64", "database", "dbname",
    "encoding", "encrypt", "gssencmode", "host", "http_path", "keepalives", "keepalives_idle",
    "location", "login_timeout", "options", "passphrase", "password", "port", "private_key",
    "project", "protocol", "read_timeout", "region", "role", "schema", "secure", "service_name",
    "sid", "ssl", "ssl_ca", "ssl_verify_cert", "ssl_verify_identity", "sslcert", "sslkey",
    "sslmode", "sslpassword", "sslrootcert", "target_session_attrs", "tcp_connect_timeout",
    "timeout", "token", "trusted_connection", "trustservercertificate", "tz", "use_unicode", "user",
    "username", "verify", "warehouse", "write_timeout",
)  # fmt: skip
"""Allowed options of databases, in the URL or separate. ADBC options begin with ``adbc.``."""
STORE_OPTIONS = (
    "access", "account_key", "account_name", "anon", "api_version", "asynchronous", "auto_mkdir",
    "block_size", "cache_timeout", "client_id", "client_kwargs", "client_secret",
    "client_secret_env", "config_kwargs", "connection_string", "consistency", "credential",
    "default_block_size", "default_cache_type", "default_fill_cache", "encoded", "endpoint_url",
    "fixed_upload_size", "headers", "key", "location_mode", "max_concurrency", "password",
    "profile", "project", "requester_pays", "s3_additional_kwargs", "sas_token", "secret",
    "session_kwargs", "session_token", "simple_links", "skip_instance_cache", "tenant_id",
    "timeout", "token", "use_listings_cache", "use_ssl", "username", "version_aware",
)  # fmt: skip
"""Allowed options of object stores. None of them can name another store, or code to run."""
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
    allowed = STORE_OPTIONS if of_store else DATABASE_OPTIONS
    allowed = (*allowed, "driver") if plain and scheme.startswith("mssql") else allowed
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
        if name.lower() == "driver" and not re.fullmatch(
            r"ODBC Driver \d+ for SQL Server", str(value)
        ):
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
