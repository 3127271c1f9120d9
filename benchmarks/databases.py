"""CPU seconds and peak memory of reading events from databases and from Parquet.

The same rows are in a Parquet file, a DuckDB file, SQLite and a local PostgreSQL server started for
the benchmark. Each is read, including checks, in a fresh process; the resources of the PostgreSQL
server itself are not counted.

    python benchmarks/databases.py [--events 5e6] [--sources parquet postgresql]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

ACCOUNTS = 20_000
SOURCES = ("parquet", "duckdb", "postgresql", "sqlite")


def make(folder: Path, events: int) -> None:
    """Write accounts and behaviors as Parquet, and into a DuckDB file."""
    import duckdb

    con = duckdb.connect(str(folder / "crm.duckdb"))
    con.execute("SELECT setseed(0.5)").fetchall()
    con.execute(
        f"""CREATE TABLE accounts AS SELECT printf('A%06d', i) AS account_id,
        DATE '2020-01-06' + CAST(random() * 900 AS INT) AS started_on FROM range({ACCOUNTS}) t(i)"""
    ).fetchall()
    con.execute(
        f"""CREATE TABLE behaviors AS SELECT printf('A%06d', CAST(random() * {ACCOUNTS - 1} AS INT))
        AS account_id, TIMESTAMP '2023-01-01' + to_seconds(CAST(random() * 6e7 AS BIGINT))
        AS occurred_at, printf('behavior_%d', CAST(random() * 5 AS INT)) AS behavior,
        printf('user_%d', CAST(random() * 40 AS INT)) AS user_id,
        CAST(random() * 10 AS DECIMAL(12, 2)) AS quantity FROM range({events})"""
    ).fetchall()
    for name in ("accounts", "behaviors"):
        con.execute(f"COPY {name} TO '{folder}/{name}.parquet'").fetchall()
    con.close()


def fill_postgres(folder: Path, server: Any) -> None:
    """Copy the Parquet files to the server, batch by batch."""
    import pyarrow.parquet as pq
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(server.full_url) as connection, connection.cursor() as cursor:
        for name in ("accounts", "behaviors"):
            file = pq.ParquetFile(folder / f"{name}.parquet")
            for number, batch in enumerate(file.iter_batches(500_000)):
                cursor.adbc_ingest(name, batch, mode="append" if number else "create")
        connection.commit()


def fill_sqlite(folder: Path) -> None:
    """Copy the Parquet files to SQLite; dates become texts."""
    import pyarrow.parquet as pq

    con = sqlite3.connect(folder / "crm.db")
    for name in ("accounts", "behaviors"):
        file = pq.ParquetFile(folder / f"{name}.parquet")
        columns = file.schema_arrow.names
        con.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        for batch in file.iter_batches(200_000):
            rows = zip(*([str(cell) for cell in c.to_pylist()] for c in batch.columns), strict=True)
            con.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", rows)
    con.commit()
    con.close()


def read(folder: Path, url: str | None) -> dict[str, Any]:
    """Read the tables and return the time and memory used."""
    from leadsignal.config.credentials import Source
    from leadsignal.config.project import Project
    from leadsignal.config.table_settings import TableSource
    from leadsignal.tables import read_tables

    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    if url is None:
        tables = read_tables(folder)
    else:
        source = Source("crm", url, password_env="PGPASSWORD" if "@" in url else None)
        asked = {n: TableSource(source="crm", table=(n,)) for n in ("accounts", "behaviors")}
        tables = read_tables(".", project=Project(tables=asked, sources={"crm": source}))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "rows": tables.rows_read["behaviors"],
        "cpu_seconds": round(cpu, 1),
        "seconds": round(time.monotonic() - started, 1),
        "peak_mb": peak(),
    }


def peak() -> int:
    """Return the peak memory of this process in MB; getrusage would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main() -> None:
    """Fill the databases, and read each in a separate process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=float, default=5e6)
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(read(Path(options.one[0]), options.one[1] or None)))
        return
    from postgres_server import running_server

    needed = "postgresql" in options.sources
    with tempfile.TemporaryDirectory() as name, running_server() if needed else nullcontext() as pg:
        folder = Path(name)
        make(folder, int(options.events))
        if pg:
            fill_postgres(folder, pg)
            os.environ["PGPASSWORD"] = pg.password
        if "sqlite" in options.sources:
            fill_sqlite(folder)
        urls = {
            "parquet": "",
            "duckdb": f"duckdb:///{folder}/crm.duckdb",
            "postgresql": pg.url if pg else "",
            "sqlite": f"sqlite:///{folder}/crm.db",
        }
        for source in options.sources:
            command = [sys.executable, __file__, "--one", name, urls[source]]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(source, done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
