"""A real PostgreSQL for tests: on loopback, on a random port, in a temporary folder.

It is Debian's ``postgresql`` package (or any other whose ``initdb`` can be found), run as its own
user where the tests run as root, and gone with all its data when the tests end.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

USER = "leadsignal"
DATABASE = "postgres"


@dataclass(frozen=True)
class Server:
    """A running server, and how to reach it."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """The URL without a password, as it may stand in leadsignal.toml."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def full_url(self) -> str:
        """The URL with the password."""
        return self.url.replace("@", f":{quote(self.password, safe='')}@", 1)

    def run(self, *statements: str) -> None:
        """Run statements, each alone, and commit."""
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.full_url) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.full_url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


def why_not() -> str:
    """Return why no server can be started here, or nothing."""
    if _programs() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.geteuid() == 0 and _own_user() is None:
        return "there is no user postgres to run PostgreSQL as"
    return ""


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a server with an empty database, and take it away at the end."""
    programs, user = _programs(), _own_user()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="leadsignal-postgres-"))
    server = Server(_free_port(), secrets.token_hex(8))
    # A password that shows what is quoted and scrubbed: every sign that URLs give a meaning to.
    server = Server(server.port, f"s3cr:t/@p%&{server.password}'ü")
    (folder / "password").write_text(server.password, encoding="utf-8")
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)
    process = None
    try:
        data = folder / "data"
        _run(
            programs / "initdb", "-D", data, "-U", USER, "-E", "UTF8", "--locale=C.UTF-8",
            "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync", user=user,
        )  # fmt: skip
        settings = {
            "listen_addresses": "127.0.0.1", "port": server.port, "unix_socket_directories": "",
            "fsync": "off", "shared_buffers": "32MB", "max_connections": 20, "timezone": "UTC",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, *options],
                stdout=log, stderr=log, cwd="/", **_as(user),
            )  # fmt: skip
        _wait(server, process, folder / "log")
        yield server
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # At once: nothing is to be kept.
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """Return the folder of initdb: Debian keeps it out of the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    on_path = shutil.which("initdb")
    found = [*([Path(on_path).resolve().parent] if on_path else []), *reversed(debian)]
    return next((path for path in found if (path / "initdb").exists()), None)


def _own_user() -> str | None:
    """Return the user to run as: PostgreSQL refuses to run as root."""
    import pwd

    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


def _as(user: str | None) -> dict[str, Any]:
    """Return how to run as another user, without the groups of root."""
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _run(*command: Any, user: str | None) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True, text=True, cwd="/", check=False, **_as(user),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        try:
            server.query("SELECT 1")
        except Exception:  # noqa: BLE001
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
