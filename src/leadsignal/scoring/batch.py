"""Scores by date in a folder: each date is written once, completely, and never changed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leadsignal.arguments import checked
from leadsignal.config.toml_files import a_day
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.outputs import (
    RUN_RECORD,
    SCORES_BY_DATE,
    SCORES_OF_DATE,
    check_folder,
)
from leadsignal.files.outputs import SCORES as SCORES_FILE
from leadsignal.files.writing import exclusive_lock, plain_frame, whole_files, whole_folder
from leadsignal.ingestion.check_report import refuse_warnings
from leadsignal.ingestion.dialect import GRID_ORIGIN, day_number
from leadsignal.results import to_html
from leadsignal.scoring.feeds import with_hindsight
from leadsignal.scoring.record import RunRecord
from leadsignal.scoring.scores import TEXTS, Scores, check_ending, score_accounts, write_rows
from leadsignal.workers import Progress

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.tables import Tables

SCORES, RECORD = "scores.parquet", "_run.json"
DAYS = ("snapshot_on", "next_renewal")
PARTITION = "snapshot_on="
"""Prefix of the folder of one date, which Hive, Spark, DuckDB and pandas read as a column."""


@dataclass(frozen=True)
class DateScored:
    """The result of a run for one date: scored, kept as it was, or not scored."""

    snapshot_on: date
    outcome: Literal["scored", "kept", "not scored"]
    path: Path
    scores: Scores | None = field(default=None, repr=False, compare=False)
    problem: str = ""

    @property
    def in_part(self) -> bool:
        """Whether the date was not scored, or some feeds were missing."""
        return self.outcome == "not scored" or bool(self.scores and self.scores.feeds)

    def __str__(self) -> str:
        text = f"{self.snapshot_on}: {self.outcome}"
        if self.scores is not None:
            text += f", {len(self.scores.frame):,} accounts"
        return f"{text}; {self.problem}" if self.problem else text

    def to_dict(self) -> dict[str, Any]:
        """Return counts without any account ids, ready for JSON."""
        content = {"snapshot_on": self.snapshot_on.isoformat(), "outcome": self.outcome}
        return {**content, **counts(self.scores)} if self.scores else content

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return to_html(str(self))


def counts(scores: Scores) -> dict[str, Any]:
    """Return the counts of scores for a run record."""
    content = scores.to_dict()
    keys = ("accounts", "alerts", "expected_churns", "notice_given", "held_out", "feeds")
    warnings = [{"kind": o.kind, "table": o.table, "column": o.column} for o in scores.warnings]
    numbers = {key: content[key] for key in (*keys, "accounts_clipped", "clipped", "hindsight")}
    # Leave out the messages, which may contain names of behaviours.
    return {**numbers, "warnings": warnings}


def dates_to_score(as_of: date, every: int, since: date | str | None = None) -> list[date]:
    """Return the dates of the snapshot grid from ``since`` on, and ``as_of`` itself.

    >>> dates_to_score(date(2024, 2, 1), 7, "2024-01-20")
    [datetime.date(2024, 1, 22), datetime.date(2024, 1, 29), datetime.date(2024, 2, 1)]
    """
    if since is None:
        return [as_of]
    first = a_day(since)
    if first > as_of:
        raise OptionError(f"since is {first}, after as_of {as_of}", "Give an earlier date")
    ahead = (GRID_ORIGIN - day_number(first)) % every
    days = range(ahead, (as_of - first).days, every)
    return [*(first + timedelta(days=day) for day in days), as_of]


@checked
def score_into(
    model: ChurnModel,
    tables: Tables,
    folder: str | Path,
    *,
    since: date | str | None = None,
    replace: Collection[date | str] = (),
    strict: bool = False,
    record: RunRecord | None = None,
    progress: Progress | None = None,
) -> tuple[DateScored, ...]:
    """Score into a folder with one part per date: ``FOLDER/snapshot_on=2025-12-31/scores.parquet``.

    Scores the as_of date of the tables and, from ``since`` on, each date of the snapshot grid that
    is not there yet. Existing scores are kept unless their date is in ``replace``. Raises
    ModelError if no date can be scored and, if ``strict``, TablesError at the first date whose
    scores have warnings.
    """
    record = record or RunRecord("score")
    named = {a_day(day) for day in replace}
    dates = sorted({*dates_to_score(tables.as_of_date, tables.project.every, since), *named})
    later = [day for day in dates if day > tables.as_of_date]
    if later:
        raise OptionError(f"{later[0]} is after as_of {tables.as_of_date}", "Give a later as_of")
    folder = Path(folder)
    _make(folder)
    done = tuple(
        _score_date(model, tables, folder, day, record, day in named, strict, progress)
        for day in dates
    )
    record.dates = [one.to_dict() for one in done]
    if all(one.outcome == "not scored" for one in done):
        raise ModelError(done[-1].problem, "Choose another as_of")
    return done


@contextmanager
@checked
def lock_scores(path: str | Path) -> Iterator[None]:
    """Prevent other runs from writing the same scores while a block runs.

    `leadsignal score` takes the same lock, so that a script and a scheduled command never write at
    the same time. The lock is released when the process ends.

    Parameters
    ----------
    path : str or Path
        Folder or file of the scores, as for `score_into`.

    Raises
    ------
    BusyError
        If another process still has the lock after LEADSIGNAL_LOCK_WAIT seconds (default 0).
    OptionError
        If the parent folder does not exist or is not writable.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, lock_scores(f"{folder}/scores"):
    ...     "score_into, read_scores and write_call_list go here"
    'score_into, read_scores and write_call_list go here'
    """
    with exclusive_lock(path):
        yield


def _make(folder: Path) -> None:
    if not check_folder(folder, SCORES_BY_DATE).is_dir():
        with whole_folder(folder, SCORES_BY_DATE):
            pass


def partition(folder: str | Path, day: date) -> Path:
    """Return the folder with the scores of a date.

    >>> partition("scores", date(2025, 12, 31)).as_posix()
    'scores/snapshot_on=2025-12-31'
    """
    return Path(folder) / f"{PARTITION}{day}"


def _score_date(
    model: ChurnModel,
    tables: Tables,
    folder: Path,
    day: date,
    record: RunRecord,
    again: bool,
    strict: bool,
    progress: Progress | None,
) -> DateScored:
    place = partition(folder, day)
    if place.exists() and not again:
        if not (place / SCORES).is_file():
            raise OptionError(f"{place} holds no {SCORES}", f"Look at it, or give --replace {day}")
        return DateScored(day, "kept", place / SCORES)
    with record.stage("score"):
        try:
            scores = score_accounts(model, tables, as_of=day, progress=progress)
        except ModelError as error:
            return DateScored(day, "not scored", place / SCORES, problem=error.problem)
    if strict:
        refuse_warnings(scores.warnings)
    scored = DateScored(day, "scored", place / SCORES, scores)
    with record.stage("write"), whole_folder(place, SCORES_OF_DATE) as part:
        write_rows(scores.frame.drop(columns="snapshot_on"), part / SCORES, ".parquet")
        text = record.to_json("done in part" if scored.in_part else "done", [scored.to_dict()])
        (part / RECORD).write_text(text, encoding="utf-8")
    return scored


def note_scored(record: RunRecord, scores: Scores) -> None:
    """Record the date and the counts of a run that scored a single date."""
    scored = {"snapshot_on": scores.as_of_date.isoformat(), "outcome": "scored"}
    record.dates = [{**scored, **counts(scores)}]


def write_recorded(
    scores: Scores, path: str | Path, record: RunRecord, *, force: bool = False
) -> None:
    """Write scores to one .csv or .parquet file with the run record beside it; both or neither."""
    path = Path(path)
    check_ending(path)
    note_scored(record, scores)
    kinds = (SCORES_FILE, RUN_RECORD)
    with whole_files([path, record.place(path)], kinds, force=force) as (part, beside):
        with record.stage("write"):
            write_rows(scores.frame, part, path.suffix)
        beside.write_text(record.to_json(record.outcome), "utf-8")


def read_scores(path: str | Path) -> pd.DataFrame:
    """Return scores from a file or a folder of dates, sorted by date and descending risk.

    If older scores lack the column ``hindsight``, it is derived from the model version. Raises
    OptionError if there are no scores.
    """
    import pandas as pd

    path = Path(path)
    if path.is_file():
        check_ending(path)
        if path.suffix == ".csv":
            return _read_csv(path)
        return _with_date(path)
    files = sorted(path.glob(f"{PARTITION}*/{SCORES}"))
    if not files:
        raise OptionError(
            f"{path} holds no scores", "Name a folder that `leadsignal score --out` wrote"
        )
    return pd.concat([_with_date(file) for file in files], ignore_index=True)


def _read_csv(path: Path) -> pd.DataFrame:
    """Read scores from CSV exactly as written: ids remain text, and escaped text is restored."""
    import pandas as pd

    names = pd.read_csv(path, nrows=0).columns
    texts = [name for name in names if name in TEXTS]
    frame = pd.read_csv(
        path,
        parse_dates=[name for name in DAYS if name in names],
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values={name: [""] for name in names if name not in TEXTS},
    )
    return with_hindsight(plain_frame(frame))


def _with_date(file: Path) -> pd.DataFrame:
    import pandas as pd

    # Open as a stream; given a path, pandas would add the date of the folder as a category.
    with file.open("rb") as stream:
        frame = pd.read_parquet(stream)
    found = re.fullmatch(rf"{PARTITION}(\d{{4}}-\d{{2}}-\d{{2}})", file.parent.name)
    if "snapshot_on" not in frame.columns and found:
        frame.insert(1, "snapshot_on", pd.Timestamp(found[1]).as_unit("ns"))
    return with_hindsight(frame)


def read_record(path: str | Path) -> dict[str, Any]:
    """Return the run record beside an output."""
    record: dict[str, Any] = json.loads(RunRecord.place(path).read_text(encoding="utf-8"))
    return record


def tables_of_runs(path: str | Path, runs: int = 4) -> frozenset[str]:
    """Return the tables that the latest runs read, according to the records beside their scores."""
    path = Path(path)
    parts = sorted(path.glob(f"{PARTITION}*/{RECORD}"))[-runs:]
    if path.is_file() and RunRecord.place(path).is_file():
        parts = [RunRecord.place(path)]
    records = [json.loads(part.read_text(encoding="utf-8")) for part in parts]
    return frozenset(
        table for record in records for table in record.get("inputs", {}).get("tables", {})
    )
