"""Checked tables, and ``Tables.as_of(t)``, the only place where data are cut at a date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from leadsignal.account_sample import (
    AccountSample,
    customer_columns,
    day_to_cut,
    refuse_share,
    sample_of,
)
from leadsignal.arguments import checked
from leadsignal.config.project import (
    Project,
    read_project,
    settings_file,
    with_options,
    with_table_options,
)
from leadsignal.config.table_settings import TableSource
from leadsignal.errors import Fault, OptionError, TablesError, one_of
from leadsignal.ingestion.cells import sql_type
from leadsignal.ingestion.check_report import (
    AttributeKind,
    CheckedRows,
    CheckedTables,
    CheckReport,
    DataWarning,
    Loaded,
    warning_lines,
)
from leadsignal.ingestion.dialect import Dialect, DuckDB
from leadsignal.ingestion.store import Store
from leadsignal.results import html_table, to_html
from leadsignal.schema import BY_NAME, Column, Table
from leadsignal.sources.project_files import note_project
from leadsignal.workers import in_use, note_use, once_for, timed

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from leadsignal.ingestion.table_cache import TableCache
    from leadsignal.ingestion.table_reader import TableReader


@dataclass(frozen=True, repr=False, eq=False)
class Tables(CheckedTables):
    """Checked tables as they were known at midnight of ``as_of_date``.

    The rows are in a store shared by all views of the same data, so that copies are free.
    ``cache_notice`` says why the cache of an earlier reading could not be used or this one not be
    cached, if ``cache = true``. ``sample`` is the weighted sample of customers in these tables;
    None for all customers, and for a sample with equal probabilities.
    """

    project: Project
    as_of_date: date
    names: tuple[str, ...]
    attributes: Mapping[str, AttributeKind]
    dropped: tuple[Fault, ...]
    rows_read: Mapping[str, int]
    dropped_rows: Mapping[str, int]
    _store: Store
    _loaded: Mapping[str, Loaded]
    not_read: tuple[str, ...] = ()
    _found_in_reading: tuple[DataWarning, ...] = ()
    cache_notice: str = ""
    sample: AccountSample | None = None
    _members: str = ""
    """For a sample, the table in the store with its accounts."""

    def as_of(self, t: date | str) -> Tables:
        """Return the tables as they were known at midnight of another day.

        >>> import pandas as pd
        >>> accounts = pd.DataFrame(
        ...     {"account_id": ["a"], "started_on": ["2024-01-01"], "ended_on": ["2024-06-01"]}
        ... )
        >>> tables = read_tables({"accounts": accounts})
        >>> tables.as_of("2024-06-01").frame("accounts")["ended_on"].isna().item()
        True
        """
        return replace(self, as_of_date=day_to_cut(t, self.sample))

    def sample_accounts(self, share: float, *, keep_churned: bool = False, seed: int = 0) -> Tables:
        """Return the tables of a sample of customers, with all rows of all their accounts.

        Sampling depends only on a hash of the customer (or else the account) and the seed, so that
        Spark draws the same sample. Names, coverage and warnings are those of all customers.

        Parameters
        ----------
        share : float
            Probability of selecting a customer, above 0 and at most 1.
        keep_churned : bool, default False
            Keep all customers with an account whose churn is known, and sample the others. The
            result has a ``sample`` with weights; functions that cannot use them raise an error. By
            default, all customers have the same probability, and no weights are needed.
        seed : int, default 0
            Random seed.

        Returns
        -------
        Tables

        Raises
        ------
        OptionError
            If the share is out of range, or the tables are already a sample.

        Examples
        --------
        >>> import leadsignal as ls
        >>> part = ls.read_tables(ls.sample_folder()).sample_accounts(0.5, keep_churned=True)
        >>> part.sample.weights.groupby(part.sample.weights > 1).first().round(2).tolist()
        [1.0, 2.34]
        """
        refuse_share(share)
        if self._members or self.sample is not None:
            raise OptionError("these tables are a sample already", "Draw from the whole tables")
        listed = customer_columns(share, seed, self.project.not_churn, DuckDB())
        query = f"SELECT {', '.join(listed)} FROM ({self.sql('accounts')})"
        customers = self.connection.cursor().execute(query).df()
        kept = customers[customers["drawn"] | (customers["churned"] & keep_churned)]
        members = self._store.keep_ids(kept["account_id"])
        of = customers["customer"].nunique()
        sample = sample_of(kept, share, of, self.as_of_date) if keep_churned else None
        return replace(self, sample=sample, _members=members)

    def complete_through(self, last: Mapping[str, date]) -> Tables:
        """Return the tables with some of them complete only through a day, and unknown after it."""
        sources = dict(self.project.tables)
        for name, day in last.items():
            sources[name] = replace(sources.get(name, TableSource()), complete_through=day)
        return replace(self, project=replace(self.project, tables=sources))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a temporary folder beside the rows, which is removed with them at the latest."""
        with TemporaryDirectory(dir=self._store.folder) as folder:
            yield Path(folder)

    @property
    def loaded(self) -> Mapping[str, Loaded]:
        """How each table is stored."""
        return self._loaded

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection of the store; use its ``cursor()`` for queries."""
        return self._store.connection

    @cached_property
    def warnings(self) -> tuple[DataWarning, ...]:
        """Data warnings in the order of the tables, found on first access and then cached."""
        from leadsignal.ingestion.plausibility import find_warnings

        return find_warnings(
            CheckedRows(
                self.project,
                self._store,
                self._loaded,
                self.attributes,
                self._found_in_reading,
                self.as_of_date,
            )
        )

    @cached_property
    def hidden(self) -> tuple[DataWarning, ...]:
        """Counts, by table, of accounts, ends and rows that are not yet known at ``as_of_date``."""
        from leadsignal.ingestion.plausibility import hidden_rows

        return tuple(
            one
            for name in self.names
            for one in hidden_rows(self._store.query, self._table(name), self.as_of_date)
        )

    def hidden_line(self) -> str:
        """Return ``hidden`` as one line of text, empty if nothing is hidden."""
        return f"hidden: {'; '.join(map(str, self.hidden))}" if self.hidden else ""

    def _counted(self, name: str) -> tuple[int, date | None]:
        ((rows,),) = self._store.query(f"SELECT count(*) FROM ({self.sql(name)})")
        of_all = replace(self, _members="").history(name)
        ((first,),) = self._store.query(f"SELECT min(known_on) FROM ({of_all})")
        return rows, first

    def _texts(
        self, table: str, column: str, where: tuple[str, str] | None = None
    ) -> frozenset[str]:
        return self._store.values(table, column, where)

    def accounts_with(self, table: str, column: str) -> Mapping[str, int]:
        """Return the number of accounts by text in a column, for rows known on ``as_of_date``.

        For a sample, accounts outside it count too.
        """
        rows = replace(self, _members="").sql(table)
        counted = f"SELECT {column}, count(DISTINCT account_id) FROM ({rows}) GROUP BY 1"
        found = once_for(self, ("accounts with", counted), partial(self._store.query, counted))
        return {str(text): n for text, n in found if text is not None}

    def unread(self, name: str) -> tuple[str, ...]:
        """Return the columns of a table that were not read because they are not declared."""
        return tuple(self._table(name).unread)

    def sql(self, name: str) -> str:
        """Return a SELECT of a table's rows as of ``as_of_date``.

        It has every column of the schema (empty or at its default if the source has none), then
        ``known_on``, ``superseded_on`` and, for accounts, the columns beyond the schema.
        """
        return f"SELECT * FROM ({self.history(name)}) WHERE superseded_on IS NULL"

    def history(self, name: str) -> str:
        """Return a SELECT like ``sql`` that also includes superseded versions.

        ``superseded_on`` is the day on which the next version became known; it takes effect at the
        following midnight.
        """
        columns, known = cut_at(self._table(name), self.as_of_date, self.attributes, DuckDB())
        if self._members:
            known += f" AND account_id IN (SELECT id FROM {self._members})"
        return f"SELECT {', '.join(columns)} FROM {name} WHERE {known}"

    def frame(self, name: str) -> pd.DataFrame:
        """Return a table as of ``as_of_date``, in a row order independent of the source."""
        frame: pd.DataFrame = (
            self.connection.cursor().execute(f"{self.sql(name)} ORDER BY ALL").df()
        )
        return frame

    def read_beside(self, table: Table, frame: Any) -> pd.DataFrame:
        """Read a frame with another schema, with the same checks as for the tables.

        Raises TablesError with all faults.
        """
        from leadsignal.ingestion.table_reader import read_beside

        return read_beside(self.project, self._store, self._table("accounts"), table, frame)

    def _table(self, name: str) -> Loaded:
        if name not in self._loaded:
            known = "is not among these tables" if name in BY_NAME else "is not a table"
            raise OptionError(f"{name!r} {known}", one_of(self.names, name))
        return self._loaded[name]

    def __repr__(self) -> str:
        doubts = [one for one in self.warnings if one.affects]
        lines = [*warning_lines(doubts), f"Tables as of {self.as_of_date}"]
        lines += [repr(self.sample)] if self.sample else []
        for name, known in self.coverage.items():
            since = f", complete from {known.complete_from}" if known.complete_from else ""
            until = f" through {known.complete_through}" if known.complete_through else ""
            lines.append(f"{name}: {known.rows:,} rows{since}{until}")
        return "\n  ".join([*lines, *([self.hidden_line()] if self.hidden else [])])

    def _repr_html_(self) -> str:
        doubts = [one for one in self.warnings if one.affects]
        import pandas as pd

        known = list(self.coverage.values())
        table = pd.DataFrame({"table": list(self.coverage), "rows": [one.rows for one in known]})
        for name in ("complete_from", "complete_through"):
            days = [getattr(one, name) for one in known]
            if any(days):
                table[name.replace("_", " ")] = [str(day or "") for day in days]
        above = to_html("\n".join([*warning_lines(doubts), f"Tables as of {self.as_of_date}"]))
        return (
            above + html_table(table, None) + (to_html(self.hidden_line()) if self.hidden else "")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return rows, warnings and dropped rows, ready for JSON."""
        return self.report().to_dict()

    def report(self) -> CheckReport:
        """Return the report of checking the tables."""
        return CheckReport(
            self.rows_read,
            (),
            {},
            self.warnings,
            self.dropped,
            self.dropped_rows,
            self.coverage,
            self.as_of_date,
            self.not_read,
        )


def queried(tables: Tables, sql: str) -> pd.DataFrame:
    """Return the rows of a SQL query of the tables' store."""
    rows: pd.DataFrame = tables.connection.cursor().execute(sql).df()
    return rows


def cut_at(
    loaded: Loaded, as_of: date, attributes: Mapping[str, AttributeKind], d: Dialect
) -> tuple[list[str], str]:
    """Return the SQL columns of a table as known at midnight of a day, and the row condition.

    All engines use this function to cut data at a date.
    """
    day = f"DATE '{as_of}'"
    listed = [_cut(column, loaded, day, d) for column in loaded.table.columns]
    listed.append(f"{loaded.known_on} AS known_on")
    listed.append(
        f"CASE WHEN superseded_on < {day} THEN superseded_on END AS superseded_on"
        if loaded.has_versions
        else "CAST(NULL AS DATE) AS superseded_on"
    )
    for extra in loaded.extras:
        cell = d.quoted(extra)
        listed.append(f"{d.number(cell)} AS {cell}" if attributes.get(extra) == "number" else cell)
    if loaded.table.name == "accounts":
        listed += _only_dated(loaded, attributes, d)
    known = f"{loaded.known_on} < {day}"
    if loaded.vanishes:
        known += f" AND coalesce(vanished_on >= {day}, true)"
    return listed, known


def _only_dated(accounts: Loaded, attributes: Mapping[str, AttributeKind], d: Dialect) -> list[str]:
    """Return empty columns for attributes that occur only in account_changes."""
    columns = {*accounts.table.by_column, *accounts.extras}
    kinds = {"number": "DOUBLE", "text": d.typed("VARCHAR")}
    return [
        f"CAST(NULL AS {kinds[kind]}) AS {d.quoted(attribute)}"
        for attribute, kind in attributes.items()
        if attribute not in columns
    ]


def _cut(column: Column, loaded: Loaded, day: str, d: Dialect) -> str:
    """Return a column as of a day as SQL; later second dates and their columns are blank."""
    name, kind = d.quoted(column.name), d.typed(sql_type(column))
    if column.name not in loaded.columns:
        default = "NULL" if column.default is None else str(column.default).lower()
        return f"CAST({default} AS {kind}) AS {name}"
    for second in loaded.table.second_dates:
        if column.name == second.column or column.name in second.also:
            if second.column not in loaded.columns:
                return f"CAST(NULL AS {kind}) AS {name}"
            return f"CASE WHEN {d.quoted(second.column)} < {day} THEN {name} END AS {name}"
    if column.default is not None:
        return f"coalesce({name}, {str(column.default).lower()}) AS {name}"
    return name


@checked
def read_tables(
    source: str | Path | Mapping[str, Any],
    *,
    as_of: date | str | None = None,
    timezone: str | None = None,
    not_churn: Iterable[str] | None = None,
    causes: Mapping[str, Iterable[str]] | None = None,
    attributes: Iterable[str] | Mapping[str, str] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    drop_bad_rows: bool = False,
    project: Project | None = None,
) -> Tables:
    """Read and check the tables of a folder, a ``.toml`` project, or frames by name.

    ``options`` are those under [tables.NAME] in ``leadsignal.toml``, by table, such as
    ``{"behaviors": {"where": {"type": ["play"]}, "dates": "epoch ms"}}``; ``users`` may be a frame.
    Raises TablesError with all faults of all tables. ``drop_bad_rows`` continues without the
    faulty rows, and reports them in ``Tables.dropped``.

    >>> import pandas as pd
    >>> accounts = pd.DataFrame(
    ...     {"account_id": ["a"], "started_on": ["2024-01-01"], "ended_on": [None]}
    ... )
    >>> read_tables({"accounts": accounts}, as_of="2024-03-01")
    Tables as of 2024-03-01
      accounts: 1 rows
    """
    stated = {"as_of": as_of, "timezone": timezone, "not_churn": not_churn, "causes": causes}
    with timed("read tables"):
        read = _read(source, project, drop_bad_rows, stated, attributes, columns, options)
    if not isinstance(read, Tables):
        raise TablesError(read.faults, read.more)
    return read


@checked
def check_tables(
    source: str | Path | Mapping[str, Any],
    *,
    as_of: date | str | None = None,
    timezone: str | None = None,
    not_churn: Iterable[str] | None = None,
    causes: Mapping[str, Iterable[str]] | None = None,
    attributes: Iterable[str] | Mapping[str, str] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    drop_bad_rows: bool = False,
    project: Project | None = None,
) -> CheckReport:
    """Check tables as `read_tables` does, but return the faults instead of raising an error.

    Raises ProjectError and OptionError, because nothing can be checked with invalid options.

    >>> import pandas as pd
    >>> check_tables({"accounts": pd.DataFrame({"account_id": ["a"]})}).ok
    False
    """
    stated = {"as_of": as_of, "timezone": timezone, "not_churn": not_churn, "causes": causes}
    read = _read(source, project, drop_bad_rows, stated, attributes, columns, options)
    return _checked(read)[0]


def read_new_files(project: Project, skipped: frozenset[Path], drop_bad_rows: bool) -> Tables:
    """Read the tables of a project without the rows of some files, whose tables are not whole."""
    from leadsignal.ingestion.table_reader import TableReader

    reader = TableReader(project, drop_bad_rows, skipped=skipped)
    reader.read(None)
    if reader.faults:
        raise TablesError(reader.faults, reader.more)
    return _tables(reader)


def check_and_read(
    source: str | Path, project: Project, drop_bad_rows: bool = False
) -> tuple[CheckReport, Tables | None]:
    """Check tables, and return them if they have no faults."""
    return _checked(_read(source, project, drop_bad_rows))


def _checked(read: Tables | TableReader) -> tuple[CheckReport, Tables | None]:
    if isinstance(read, Tables):
        return read.report(), read
    report = CheckReport(
        read.rows_read,
        tuple(read.faults),
        read.more,
        _found_in(read),
        tuple(read.dropped),
        read.dropped_rows,
        not_read=read.not_read,
    )
    return report, None


def _read(
    source: str | Path | Mapping[str, Any],
    project: Project | None,
    drop_bad_rows: bool,
    stated: Mapping[str, Any] = MappingProxyType({}),
    attributes: Any = None,
    columns: Any = None,
    options: Any = None,
) -> Tables | TableReader:
    """Return the tables, or the reader that found faults in them.

    Tables of the same files and settings that are still in use are shared.
    """
    # Models use tables without the readers of files and databases, which take long to import.
    from leadsignal.ingestion.table_cache import TableCache
    from leadsignal.ingestion.table_reader import TableReader

    project, frames = _project_of(source, project)
    project = with_table_options(project.replace(**stated), options)
    project = with_options(project, attributes, columns)
    note_project(project, source)
    settings = settings_file(source) if isinstance(source, str | Path) else None
    if frames is not None or project.folder is None:
        reader = TableReader(project, drop_bad_rows)
        reader.read(frames, settings)
        return reader if reader.faults else _tables(reader)
    cache = TableCache(project, drop_bad_rows, settings)
    key = cache.of_session() if cache.key else ""
    earlier: Tables | None = in_use(key)
    return _read_files(cache, key) if earlier is None else earlier


def _read_files(cache: TableCache, key: str) -> Tables | TableReader:
    """Read the files of a project, or restore them from the cache; register them under the key."""
    from leadsignal.ingestion.table_reader import TableReader

    reader = cache.restored()
    if reader is None:
        reader = TableReader(cache.project, cache.drop_bad_rows)
        reader.read(None, cache.settings)
    if reader.faults:
        return reader
    tables = _tables(reader)
    known = cache.warnings(tables.as_of_date)
    if cache.project.cache and not cache.is_restored:
        known = tables.warnings
        cache.keep(reader, tables.as_of_date, known)
    tables = replace(tables, cache_notice=cache.notice)
    if known is not None:
        vars(tables)["warnings"] = known
    if key:
        note_use(key, tables)
    return tables


def _tables(reader: TableReader) -> Tables:
    as_of = reader.project.as_of or reader.latest() or date.max
    return Tables(
        reader.project,
        as_of,
        tuple(reader.loaded),
        reader.attributes,
        tuple(reader.dropped),
        reader.rows_read,
        reader.dropped_rows,
        reader.store,
        reader.loaded,
        reader.not_read,
        _found_in(reader),
    )


def _found_in(reader: TableReader) -> tuple[DataWarning, ...]:
    return tuple(DataWarning("reading", table, text) for table, text in reader.intake.notices)


def _project_of(
    source: str | Path | Mapping[str, Any], project: Project | None
) -> tuple[Project, Mapping[str, Any] | None]:
    if isinstance(source, Mapping):
        return project or Project(), source
    if isinstance(source, str | Path):
        return project or read_project(source), None
    raise OptionError(
        f"a {type(source).__name__} is not a source of tables",
        'Give a folder, a .toml file, or frames by table name, as in {"accounts": frame}',
    )
