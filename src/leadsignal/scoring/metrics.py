"""Metrics of a run in OpenMetrics format, which Prometheus and its agents read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal, get_args

from leadsignal.arguments import checked
from leadsignal.errors import OptionError

Outcome = Literal["done", "done in part", "failed", "interrupted"]
FindingKind = Literal[
    "feed", "feed_loss", "indicator", "score", "alerts", "churn", "calibration", "catch", "holdout",
    "clipped",
]  # fmt: skip

METRICS: Mapping[str, str] = {
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
    return datetime.combine(date.fromisoformat(day), time(), UTC).timestamp()


def _text(samples: list[Sample], run: str) -> str:
    """Return samples in the text format, grouped by metric in the order of `METRICS`."""
    lines = []
    for name, words in METRICS.items():
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
