"""The run record: inputs, counts, timings, versions and outcome, without any names or text."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.errors import InputError, LeadsignalError, OptionError
from leadsignal.files.locks import SIGNALS, Interrupted, came
from leadsignal.files.outputs import METRICS, RUN_RECORD, shown
from leadsignal.files.writing import atomic_write
from leadsignal.model.persistence.saved_models import versions
from leadsignal.scoring.metrics import Outcome, openmetrics

if TYPE_CHECKING:
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.tables import Tables

ENDING = ".run.json"
MAX_NAMED = 120
"""Maximum length of a table name in a path, in characters; file names are limited to 255 bytes."""


@dataclass
class RunRecord:
    """What a run has done so far. Because of its timings, identical runs have different records."""

    command: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: dict[str, float] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    dates: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    monitoring: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def place(output: str | Path) -> Path:
        """Return the path of the record of an output, beside the output.

        >>> RunRecord.place("scores.csv").name
        'scores.csv.run.json'
        """
        output = Path(output)
        if output.name in ("", ".."):
            raise OptionError(f"{shown(output)} is no name for an output", "Name a new one")
        return output.with_name(output.name + ENDING)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record the duration of a stage, in seconds."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            self.seconds[name] = round(self.seconds.get(name, 0.0) + taken, 3)

    def note_tables(self, tables: Tables) -> None:
        """Record as_of, the number of rows in each table, and how many were dropped."""
        self.inputs = {
            "as_of": tables.as_of_date.isoformat(),
            "tables": {
                name: {
                    "rows_read": tables.rows_read.get(name, 0),
                    "rows_dropped": tables.dropped_rows.get(name, 0),
                    "rows_visible": covered.rows,
                }
                for name, covered in tables.coverage.items()
            },
        }

    def note_model(self, model: ChurnModel) -> None:
        """Record which model was used."""
        self.model = {
            "version": model.version_,
            "trained_through": model.trained_through_.isoformat(),
            "rows": model.rows_,
            "events": model.events_,
            "fingerprint": model.origin_.fingerprint,
        }

    def note_error(self, error: BaseException) -> None:
        """Record the kind of error that ended the run, and the faulty input without its values."""
        self.error = {"kind": type(error).__name__}
        if (code := getattr(error, "exit_code", None)) is not None:
            self.error["exit_code"] = code
        if isinstance(error, InputError):
            kinds = Counter((fault.table, fault.column) for fault in error.faults)
            listed = sorted(kinds.items(), key=str)[:100]
            self.error["faults"] = [
                {"table": table, "column": column, "count": count}
                for (table, column), count in listed
            ]

    @property
    def outcome(self) -> Outcome:
        """The outcome of a run without an error; it is partial if feeds or dates are missing."""
        late = self.inputs.get("feeds") or any(
            one.get("feeds") or one["outcome"] == "not scored" for one in self.dates
        )
        return "done in part" if late else "done"

    def to_dict(self, outcome: Outcome, dates: Sequence[dict[str, Any]] | None = None) -> Any:
        """Return the record, ready for JSON."""
        now = datetime.now(UTC)
        return {
            "command": self.command,
            "outcome": outcome,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "finished_at": now.isoformat(timespec="seconds"),
            "seconds": {
                **self.seconds,
                "total": round((now - self.started_at).total_seconds(), 3),
            },
            "inputs": self.inputs,
            "model": self.model,
            "dates": self.dates if dates is None else list(dates),
            "error": self.error,
            "versions": versions(),
        }

    def to_json(self, outcome: Outcome, dates: Sequence[dict[str, Any]] | None = None) -> str:
        """Return the record as JSON text."""
        return json.dumps(self.to_dict(outcome, dates), indent=2) + "\n"

    def write(
        self, output: str | Path, outcome: Outcome | None = None, *, force: bool = False
    ) -> None:
        """Write the record beside an output, atomically."""
        with atomic_write(self.place(output), RUN_RECORD, force=force) as part:
            part.write_text(self.to_json(outcome or self.outcome), encoding="utf-8")

    def to_openmetrics(self, outcome: Outcome | None = None, *, run: str | None = None) -> str:
        """Return the metrics of the run as text; the label ``run`` defaults to the command."""
        record = self.to_dict(outcome or self.outcome)
        return openmetrics(record, monitoring=self.monitoring, run=run)

    def write_metrics(
        self, file: str | Path, outcome: Outcome | None = None, *, force: bool = False
    ) -> None:
        """Write the metrics of the run atomically, labelled with the file name."""
        text = self.to_openmetrics(outcome, run=Path(file).stem)
        with atomic_write(file, METRICS, force=force) as part:
            part.write_text(text, encoding="utf-8")


def table_place(model: str | Path, source: str, table: str) -> Path:
    """Return a path, beside the model's folder, that represents a database table as an output.

    It is used for its lock and run record. Characters other than letters, digits, - and . become _.

    >>> table_place("models/current", "crm", "analytics.scores").as_posix()
    'models/current.crm.analytics.scores'
    """
    model = Path(model)
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{source}.{table}")[:MAX_NAMED]
    return model.with_name(f"{model.name}.{name}")


@contextmanager
def recorded(
    command: str,
    output: str | Path | None,
    *,
    metrics: str | Path | None = None,
    force: bool = False,
) -> Iterator[RunRecord]:
    """Yield a record to fill; if the block fails or is interrupted, write it beside the output.

    The metrics are written in either case, if a file for them is named.
    """
    record = RunRecord(command)
    try:
        yield record
    except (Exception, KeyboardInterrupt) as error:
        stopped = isinstance(error, KeyboardInterrupt) or came() is not None
        record.note_error(Interrupted(came() or SIGNALS[0]) if stopped else error)
        outcome: Outcome = "interrupted" if stopped else "failed"
        # Keep the first error; on a full disk, writing the record fails too.
        with suppress(LeadsignalError, OSError):
            if metrics is not None:
                record.write_metrics(metrics, outcome, force=force)
        with suppress(LeadsignalError, OSError):
            if output is not None:
                record.write(output, outcome)
        raise
    if metrics is not None:
        record.write_metrics(metrics, force=force)
