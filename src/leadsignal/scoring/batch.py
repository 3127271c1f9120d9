"""Files of scores: a folder in which each date is written once and never changed; the call list."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leadsignal.arguments import checked
from leadsignal.config.toml_files import a_day
from leadsignal.errors import ModelError, OptionError
from leadsignal.files.outputs import (
    CALL_LIST,
    RUN_RECORD,
    SCORES_BY_DATE,
    SCORES_OF_DATE,
    as_url,
    check_folder,
    page_paths,
)
from leadsignal.files.outputs import SCORES as SCORES_FILE
from leadsignal.files.writing import (
    atomic_write,
    exclusive_lock,
    plain_frame,
    safe_frame,
    whole_files,
    whole_folder,
)
from leadsignal.formats import of_hundred
from leadsignal.ingestion.check_report import refuse_warnings
from leadsignal.ingestion.dialect import GRID_ORIGIN, day_number
from leadsignal.results import to_html
from leadsignal.scoring.feeds import HELD_OUT, with_hindsight
from leadsignal.scoring.record import RunRecord
from leadsignal.scoring.scores import (
    TEXTS,
    Scores,
    check_ending,
    score_accounts,
    write_csv,
    write_rows,
)
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

    __repr__ = __str__

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
    make_folder(Path(folder))

    def scored_on(day: date) -> DateScored:
        place = partition(folder, day)
        if place.exists() and day not in named:
            if not (place / SCORES).is_file():
                remedy = f"Look at it, or give --replace {day}"
                raise OptionError(f"{place} holds no {SCORES}", remedy)
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

    done = tuple(map(scored_on, dates))
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


def make_folder(folder: Path) -> None:
    """Create a folder of scores by date, unless it exists."""
    if not check_folder(folder, SCORES_BY_DATE).is_dir():
        with whole_folder(folder, SCORES_BY_DATE):
            pass


def partition(folder: str | Path, day: date) -> Path:
    """Return the folder with the scores of a date.

    >>> partition("scores", date(2025, 12, 31)).as_posix()
    'scores/snapshot_on=2025-12-31'
    """
    return Path(folder) / f"{PARTITION}{day}"


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


ENDINGS = (".csv", ".xlsx")
COLUMNS = {
    "account_id": ("Account", 14),
    "name": ("Name", 28),
    "owner": ("Owner", 18),
    "arr": ("ARR", 12),
    "currency": ("Currency", 10),
    "next_renewal": ("Next renewal", 13),
    "risk": ("Risk of leaving", 18),
    "expected_arr_loss": ("Expected loss", 14),
    "why": ("Why", 60),
    "next_step": ("Next step", 60),
    "listed_since": ("On the list since", 16),
    "change": ("Change", 28),
}
"""Heading and width (in characters) of each column."""
REASONS_SHOWN = 2
MOVED = 0.1
"""Smallest difference from the previous risk that is reported as a change."""
Order = Literal["risk", "expected_arr_loss"]


@checked
def call_list(
    scores: Scores | pd.DataFrame, earlier: pd.DataFrame | None = None, *, by: Order = "risk"
) -> pd.DataFrame:
    """Return the alerted accounts with what to know before a call, then those that left the list.

    Parameters
    ----------
    scores : Scores or DataFrame
        The scores, or a table of them.
    earlier : DataFrame, optional
        Scores of earlier days, as returned by `read_scores` for a folder. Scores from the same day
        or later are ignored.
    by : {"risk", "expected_arr_loss"}, default "risk"
        Sort key, in descending order.

    Returns
    -------
    DataFrame
        One row per account: ``account_id``, ``name``, ``owner`` and ``currency`` (if the tables
        have them), ``arr``, ``next_renewal``, ``risk``, ``expected_arr_loss``, ``why`` (up to two
        reasons), ``next_step``, ``listed_since`` (first day of the current unbroken series of
        alerts) and ``change``. Held-out accounts are not listed. Accounts that have left the list
        since the previous day come last, with the reason.

    Raises
    ------
    OptionError
        If ``by`` is neither of the two values.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> panel = ls.build_panel(tables)
    >>> model = ls.ChurnModel(estimator="logistic").fit(panel)
    >>> listed = ls.scoring.call_list(ls.score_accounts(model, tables, panel=panel))
    >>> listed["change"].unique().tolist()
    ['']
    """
    import pandas as pd

    if by not in ("risk", "expected_arr_loss"):
        raise OptionError(f"by = {by!r}", "Sort by risk or expected_arr_loss")
    frame = scores if isinstance(scores, pd.DataFrame) else scores.frame
    days = _alerts_by_day(frame, earlier)
    before = days.pop(max(days)) if days else None
    now = frame[on_list(frame)].sort_values([by, "account_id"], ascending=[False, True])
    listed = _described(now)
    history = [*days.values(), *([before] if before is not None else [])]
    listed["listed_since"] = [
        _since(account, history, day)
        for account, day in zip(now["account_id"], now["snapshot_on"], strict=True)
    ]
    if before is None:
        return listed.assign(change="")
    listed["change"] = list(_changes(now, before))
    gone = _gone(frame, before)
    return pd.concat([listed, gone], ignore_index=True) if len(gone) else listed


def on_list(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows of scores are on the call list: alerted and not held out."""
    excluded = frame[HELD_OUT].astype(bool) if HELD_OUT in frame else False
    listed: pd.Series[bool] = frame["alert"].astype(bool) & ~(frame["alert"].isna() | excluded)
    return listed


def _alerts_by_day(
    frame: pd.DataFrame, earlier: pd.DataFrame | None
) -> dict[pd.Timestamp, pd.DataFrame]:
    """Return the call lists of earlier days, indexed by account, the earliest first."""
    if earlier is None or not len(frame):
        return {}
    past = earlier[earlier["snapshot_on"] < frame["snapshot_on"].iloc[0]]
    return {
        day: rows[on_list(rows)].set_index("account_id")
        for day, rows in past.groupby("snapshot_on", sort=True)
    }


def _since(account: object, history: list[pd.DataFrame], today: pd.Timestamp) -> pd.Timestamp:
    since = today
    for listed in reversed(history):
        if account not in listed.index:
            break
        since = listed["snapshot_on"].iloc[0]
    return since


def _described(now: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the call list for alerted accounts."""
    kept = [name for name in COLUMNS if name in now]
    listed = now[kept].reset_index(drop=True)
    reasons = now[[f"reason_{rank}" for rank in range(1, REASONS_SHOWN + 1)]].fillna("")
    why = ["; ".join(filter(None, texts)) for texts in reasons.to_numpy().tolist()]
    place = list(listed.columns).index("expected_arr_loss") + 1
    listed.insert(place, "why", why)
    return listed


def _changes(now: pd.DataFrame, before: pd.DataFrame) -> Iterator[str]:
    risks = before["risk"].to_dict()
    for account, risk in zip(now["account_id"], now["risk"], strict=True):
        was = risks.get(account)
        if was is None:
            yield "new"
            continue
        moved = "up" if risk > was else "down"
        yield f"{moved} from {of_hundred(was)} of 100" if abs(risk - was) >= MOVED else ""


def _gone(frame: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Return the accounts of the previous list that are no longer on it."""
    import pandas as pd

    now = frame.set_index("account_id")
    gone = before[~before.index.isin(now.index[on_list(frame).to_numpy()])]
    kept = [name for name in ("name", "owner", "currency") if name in gone]
    rows = gone[kept].reset_index()
    rows["risk"] = now["risk"].reindex(gone.index).to_numpy()
    left = "off the list: ended, or notice given"
    rows["change"] = [left if pd.isna(risk) else "off the list" for risk in rows["risk"]]
    return rows


@checked
def write_call_list(
    scores: Scores | pd.DataFrame,
    path: str | Path,
    earlier: pd.DataFrame | None = None,
    *,
    by: Order = "risk",
    pages: str | Path | None = None,
    force: bool = False,
) -> None:
    """Write the call list for readers, as ``.csv`` or ``.xlsx``.

    Columns have readable headings, and a risk is written as "about 35 of 100". A workbook has a
    frozen header row, filters and column widths; its risks are numbers, so that they can be sorted.
    Parameters are those of `call_list`. ``pages`` is a folder written by `write_account_pages`:
    each account is linked to its page, from its cell in a workbook or in a last column "Page" of a
    CSV. ``force`` replaces a file that is not a call list. Raises OptionError for another
    extension, for a folder without account pages, and as `call_list` does, and WriteError if
    writing fails.
    """
    check_call_list(path)
    table = call_list(scores, earlier, by=by)
    paths = None if pages is None else page_paths(pages, path, table["account_id"])
    with atomic_write(path, CALL_LIST, force=force) as part:
        (_write_csv if Path(path).suffix.lower() == ".csv" else _write_workbook)(table, part, paths)


def check_call_list(path: str | Path) -> None:
    """Raise OptionError unless the file ends in ``.csv`` or ``.xlsx``."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise OptionError(f"{path} ends in {ending or 'nothing'}", "Name a .csv or .xlsx file")


Paths = Mapping[str, str] | None
"""Path of the page of each account that has one; None if there are no pages."""


def _write_csv(table: pd.DataFrame, part: Path, paths: Paths) -> None:
    risks = [f"{of_hundred(risk)} of 100" if risk == risk else "" for risk in table["risk"]]
    money = {name: table[name].round(0) for name in ("arr", "expected_arr_loss") if name in table}
    headings = {name: heading for name, (heading, _) in COLUMNS.items()}
    headed = table.assign(risk=risks, **money).rename(columns=headings)
    if paths is not None:
        headed["Page"] = [paths.get(account, "") for account in table["account_id"]]
    write_csv(headed, part, float_format="%.0f")


def _write_workbook(table: pd.DataFrame, part: Path, paths: Paths) -> None:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    sheet: Any = book.active
    sheet.title = "Call list"
    shown = safe_frame(table.assign(risk=(100 * table["risk"]).round(0)))
    names = [str(name) for name in shown.columns]
    sheet.append([COLUMNS[name][0] for name in names])
    for row in shown.itertuples(index=False):
        sheet.append([None if value != value else value for value in row])
    formats = {
        "risk": '"about "0" of 100"',
        "arr": "#,##0",
        "expected_arr_loss": "#,##0",
        "next_renewal": "yyyy-mm-dd",
        "listed_since": "yyyy-mm-dd",
    }
    for number, name in enumerate(names, 1):
        letter = get_column_letter(number)
        sheet.column_dimensions[letter].width = COLUMNS[name][1]
        for cell in sheet[letter][1:]:
            cell.number_format = formats.get(name, cell.number_format)
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    for place, account in enumerate(table["account_id"], 2):
        if paths and account in paths:
            cell = sheet.cell(place, names.index("account_id") + 1)
            cell.hyperlink = as_url(paths[account])
            cell.font = Font(color="0563C1", underline="single")
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "B2"
    sheet.auto_filter.ref = sheet.dimensions
    book.save(part)
