"""The run record, and its metrics in OpenMetrics format, which Prometheus reads."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from leadsignal.arguments import checked
from leadsignal.errors import InputError, LeadsignalError, OptionError
from leadsignal.files.outputs import METRICS, RUN_RECORD, shown
from leadsignal.files.writing import SIGNALS, Interrupted, atomic_write, came
from leadsignal.model.saved_models import versions

if TYPE_CHECKING:
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.tables import Tables


Outcome = Literal["done", "done in part", "failed", "interrupted"]
FindingKind = Literal[
    "feed", "feed_loss", "indicator", "score", "alerts", "churn", "calibration", "catch", "holdout",
    "clipped",
]  # fmt: skip

HELP: Mapping[str, str] = {
    "run_info": "What ran: the command, the version of leadsignal, the version of the model.",
    "run_outcome": "1 for the outcome of the run, 0 for the other outcomes.",
    "run_finished_timestamp_seconds": "When the run ended.",
    "run_duration_seconds": "How long the run took.",
    "run_stage_duration_seconds": "How long each stage of the run took.",
    "as_of_timestamp_seconds": "The midnight, in UTC, until which the tables are read.",
    "table_rows": "Rows of each table: read, dropped, and visible at the as-of date.",
    "model_trained_through_timestamp_seconds": "The midnight through which the model was trained.",
    "model_training_rows": "Panel rows that the model was fitted on.",
    "model_training_churns": "Accounts that churned in these rows.",
    "dates": "Dates of the run that were scored, kept, or not scored.",
    "scored_accounts": "Accounts that were scored, on the newest date that was.",
    "expected_churns": "Churns expected among them within the horizon: the sum of their risks.",
    "alerts": "Accounts that are alerted.",
    "notice_given_accounts": "Accounts that have given notice, and are not scored.",
    "held_out_accounts": "Accounts that are held out for an experiment.",
    "clipped_accounts": "Accounts with values outside the range of the training data.",
    "faulty_feeds": "Tables that the model reads and that are late, missing or empty.",
    "data_warnings": "Warnings about the data, by kind.",
    "input_faults": "Faults of the input that ended the run.",
    "findings": "Findings of monitoring, by kind.",
    "drift_ratio": "The largest change of an indicator since the last run beyond the usual, as a"
    " multiple of what is tolerated.",
    "feed_silence_days": "Days since the last record of each table.",
    "realised_churns": "Churns among past scores whose horizon has passed: expected and observed.",
}
"""The metrics, all gauges, without the prefix ``leadsignal_``, and their descriptions."""
UNITS = ("seconds", "days")
COUNTS = {
    "accounts": "scored_accounts",
    "expected_churns": "expected_churns",
    "alerts": "alerts",
    "notice_given": "notice_given_accounts",
    "held_out": "held_out_accounts",
    "accounts_clipped": "clipped_accounts",
}
"""Metrics by the key of a date in the run record."""

Sample = tuple[str, dict[str, str], float]


@checked
def openmetrics(
    record: Mapping[str, Any] | str | Path,
    *,
    monitoring: Mapping[str, Any] | None = None,
    run: str | None = None,
) -> str:
    """Return the metrics of a run as OpenMetrics text.

    All metrics are gauges, so that agents that only read the older Prometheus text format, such as
    node_exporter, can read them too. They contain no account ids or names.

    Parameters
    ----------
    record : mapping, str or Path
        A run record, or the path of one (``scores.run.json``, ``_run.json``).
    monitoring : mapping, optional
        The result of `Monitoring.to_dict`.
    run : str, optional
        Value of the label ``run``, which distinguishes the runs on one machine. Default: the
        command.

    Returns
    -------
    str
        The metrics, ending in ``# EOF``.

    Raises
    ------
    OptionError
        If the record is not a run record.

    Examples
    --------
    >>> record = {"command": "fit", "outcome": "failed", "finished_at": "2025-01-06T06:00:14+00:00",
    ...           "seconds": {"read": 1.5, "total": 2.0}}
    >>> print("\\n".join(openmetrics(record).splitlines()[9:12]))
    # TYPE leadsignal_run_finished_timestamp_seconds gauge
    # UNIT leadsignal_run_finished_timestamp_seconds seconds
    # HELP leadsignal_run_finished_timestamp_seconds When the run ended.
    """
    try:
        content = _read(record)
        samples = [*_of_record(content), *_of_monitoring(monitoring or {})]
        return _text(samples, run or str(content["command"]))
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise OptionError(
            f"this is not a run record ({type(error).__name__}: {error})",
            "Give the content or the path of a file that ends in .run.json, or of _run.json",
        ) from None


def _read(record: Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    if isinstance(record, Mapping):
        return record
    content: Mapping[str, Any] = json.loads(Path(record).read_text(encoding="utf-8"))
    return content


def _of_record(record: Mapping[str, Any]) -> Iterator[Sample]:
    """Yield the metrics of a run record."""
    model, seconds = record.get("model") or {}, dict(record["seconds"])
    about = {
        "command": str(record["command"]),
        "version": str((record.get("versions") or {}).get("leadsignal", "")),
        "model_version": str(model.get("version", "")),
    }
    yield "run_info", about, 1
    for outcome in get_args(Outcome):
        yield "run_outcome", {"outcome": outcome}, float(outcome == record["outcome"])
    finished = datetime.fromisoformat(record["finished_at"]).timestamp()
    yield "run_finished_timestamp_seconds", {}, finished
    yield "run_duration_seconds", {}, seconds.pop("total")
    for stage, taken in seconds.items():
        yield "run_stage_duration_seconds", {"stage": stage}, taken
    inputs = record.get("inputs") or {}
    if inputs:
        yield "as_of_timestamp_seconds", {}, _midnight(inputs["as_of"])
    for table, rows in inputs.get("tables", {}).items():
        for state in ("read", "dropped", "visible"):
            yield "table_rows", {"table": table, "state": state}, rows[f"rows_{state}"]
    if model:
        yield "model_trained_through_timestamp_seconds", {}, _midnight(model["trained_through"])
        yield "model_training_rows", {}, model["rows"]
        yield "model_training_churns", {}, model["events"]
    yield from _of_dates(record.get("dates") or [])
    if "feeds" in inputs:
        yield from _of_feeds(inputs["feeds"])
    if error := record.get("error"):
        yield "input_faults", {}, sum(fault["count"] for fault in error.get("faults", ()))


def _of_dates(dates: list[Mapping[str, Any]]) -> Iterator[Sample]:
    """Yield the result for each date, and the counts of the latest scored date."""
    for outcome, count in Counter(str(one["outcome"]) for one in dates).items():
        yield "dates", {"outcome": outcome}, count
    scored = [one for one in dates if "accounts" in one]
    if not scored:
        return
    newest = max(scored, key=lambda one: str(one["snapshot_on"]))
    for key, metric in COUNTS.items():
        if newest.get(key) is not None:
            yield metric, {}, newest[key]
    yield from _of_feeds(newest["feeds"])
    for kind, count in Counter(str(one["kind"]) for one in newest["warnings"]).items():
        yield "data_warnings", {"kind": kind}, count


def _of_feeds(feeds: list[Mapping[str, Any]]) -> Iterator[Sample]:
    counts = Counter(str(feed["state"]) for feed in feeds)
    for state in ("late", "missing", "empty"):
        yield "faulty_feeds", {"state": state}, counts[state]


def _of_monitoring(monitoring: Mapping[str, Any]) -> Iterator[Sample]:
    """Yield the metrics of monitoring, if there was any."""
    if not monitoring:
        return
    counts = Counter(str(one["kind"]) for one in monitoring["findings"])
    for kind in get_args(FindingKind):
        yield "findings", {"kind": kind}, counts[kind]
    ratios = [abs(one["change"]) / one["tolerance"] for one in monitoring["drift"]
              if one["assessed"] and one["tolerance"] and one["change"] is not None]  # fmt: skip
    if ratios:
        yield "drift_ratio", {}, max(ratios)
    for feed in monitoring["feeds"]:
        if feed["last_record"] is not None:
            yield "feed_silence_days", {"table": feed["table"]}, feed["silent_days"]
    for arm in monitoring["realised"]:
        for kind in ("expected", "observed"):
            yield "realised_churns", {"arm": arm["arm"], "kind": kind}, arm[kind]
    for kind, count in Counter(str(one["kind"]) for one in monitoring["warnings"]).items():
        yield "data_warnings", {"kind": kind}, count


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def _text(samples: list[Sample], run: str) -> str:
    """Return samples in the text format, grouped by metric in the order of `HELP`."""
    lines = []
    for name, words in HELP.items():
        own = [(labels, value) for metric, labels, value in samples if metric == name]
        if not own:
            continue
        full = f"leadsignal_{name}"
        lines.append(f"# TYPE {full} gauge")
        lines += [f"# UNIT {full} {unit}" for unit in UNITS if name.endswith(f"_{unit}")]
        lines.append(f"# HELP {full} {words}")
        lines += [f"{full}{_labels({'run': run, **labels})} {value:.15g}" for labels, value in own]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    escapes = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    return (
        "{" + ",".join(f'{name}="{text.translate(escapes)}"' for name, text in labels.items()) + "}"
    )


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
