"""The panel on Apache Spark and its scores, computed where the rows are.

Spark forecasts and ranks all rows, and finds the next steps. The reasons compare at most 5,000
accounts with at most 20,000 others; these rows are collected on the driver.

For the warnings, each table is read for its days and numbers of records only, and the accounts for
two numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.accounts import first_of, shown_columns
from leadsignal.arguments import Duration, checked, days_in, refuse_name
from leadsignal.config.success import SuccessAnalysis
from leadsignal.engine.spark import (
    Rows,
    TablesInSpark,
    in_memory,
    panel_rows,
    source_view,
    spark_session,
)
from leadsignal.errors import ModelError
from leadsignal.evaluation.backtest import Counts, doubt_of_expected
from leadsignal.indicators.declare import Indicator
from leadsignal.ingestion.check_report import DataWarning, affecting
from leadsignal.ingestion.dialect import Spark
from leadsignal.ingestion.feed_health import assess_feed, chance_of_silence, daily_counts, lateness
from leadsignal.model.explanation import COMPARED
from leadsignal.model.learners import LEARNERS
from leadsignal.model.provenance import refuse_other_analysis
from leadsignal.model.saved_models import model_bytes, model_from_bytes
from leadsignal.panel import Panel
from leadsignal.results import to_html
from leadsignal.scoring.feeds import HELD_OUT, hold_out
from leadsignal.scoring.reasons import REASONS, account_reasons, account_steps, reason_texts
from leadsignal.scoring.scores import alerts_of, explained_of, row_scores, score_columns
from leadsignal.tables import Tables
from leadsignal.workers import log_warnings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from leadsignal.config.project import Behaviors, Project
    from leadsignal.config.success import Process
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.stats import Estimate


ROWS_AT_ONCE = 50_000
"""Number of rows per batch: large enough for speed, small enough for a small executor."""
RANK = "rank"
"""Column with the rank of a score, 1 for the highest risk; rows in Spark have no order."""
STEPS = 10_000
"""Number of risk intervals that are ranked separately, so that no machine sorts all rows."""
TYPES = {
    "snapshot_on": "DATE", "next_renewal": "DATE", "clipped": "BIGINT", "hindsight": "BOOLEAN",
    HELD_OUT: "BOOLEAN", "risk": "DOUBLE", "arr": "DOUBLE", "expected_arr_loss": "DOUBLE",
}  # fmt: skip
"""Spark types of columns; ``still_active_…`` columns are DOUBLE, all others STRING."""


@dataclass(frozen=True)
class RowScoring:
    """Computes the part of the scores that depends on each row alone, on Spark's workers.

    ``model`` is the result of `sent_model`. ``holdout`` is a share and its seed, with 0 for none.
    """

    model: ChurnModel | bytes
    processes: Sequence[Process]
    effects: Mapping[str, Estimate]
    holdout: tuple[float, int]

    def scores(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the part of the scores that depends on each row alone."""
        model = _loaded(self.model) if isinstance(self.model, bytes) else self.model
        steps = account_steps(rows, self.processes, self.effects)
        frame = row_scores(model, rows, steps)
        share, seed = self.holdout
        return frame.assign(**{HELD_OUT: hold_out(rows["customer_id"], share, seed)})

    def batches(self, schema: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[Any]]:
        """Return the function that Spark calls with batches of rows."""

        def scored(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for begin in range(0, batch.num_rows, ROWS_AT_ONCE):
                    part = batch.slice(begin, ROWS_AT_ONCE)
                    rows = part.to_pandas(date_as_object=False, coerce_temporal_nanoseconds=True)
                    yield _as_batch(self.scores(rows), schema)

        return scored


def sent_model(model: ChurnModel) -> ChurnModel | bytes:
    """Return a model ready to be sent: its saved bytes, or itself with a custom classifier."""
    return model_bytes(model) if model.estimator in LEARNERS else model


@lru_cache(maxsize=2)
def _loaded(content: bytes) -> ChurnModel:
    return model_from_bytes(content)


def _as_batch(frame: pd.DataFrame, schema: str) -> pa.RecordBatch:
    import pyarrow as pa

    kinds = {"DATE": pa.date32(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_(),
             "DOUBLE": pa.float64(), "STRING": pa.string()}  # fmt: skip
    pairs = [field.rsplit(" ", 1) for field in schema.split(", ")]
    fields = pa.schema([(name, kinds[kind]) for name, kind in pairs])
    return pa.RecordBatch.from_pandas(frame, schema=fields, preserve_index=False)


def forecasts(rows: DataFrame, model: ChurnModel, scoring: RowScoring) -> DataFrame:
    """Return the forecasts of panel rows, computed on Spark's workers."""
    columns = [*row_columns(model), HELD_OUT]
    schema = ", ".join(f"{name} {_type(name)}" for name in columns)
    return rows.mapInArrow(scoring.batches(schema), schema)


def scored_columns(
    model: ChurnModel, processes: Sequence[Process], columns: Sequence[str]
) -> list[str]:
    """Return the columns of a panel that its scores need."""
    states = [f"{p.name}_{what}" for p in processes for what in ("state", "days_in_state")]
    read = dict.fromkeys(
        ["account_id", "customer_id", "snapshot_on", "arr", "days_to_renewal", *states,
         *model.features_.names]
    )  # fmt: skip
    return [name for name in read if name in columns]


def row_columns(model: ChurnModel) -> list[str]:
    """Return the columns of `row_scores`."""
    active = [f"still_active_{days}d" for days in model.hazards_.ends]
    return [
        "account_id", "snapshot_on", "risk", *active, "arr", "next_renewal", "expected_arr_loss",
        "clipped", "clipped_indicators", "open_processes", "next_step", "model_version",
        "hindsight",
    ]  # fmt: skip


def _type(name: str) -> str:
    return "DOUBLE" if name.startswith("still_active_") else TYPES.get(name, "STRING")


def ranked(scored: DataFrame) -> DataFrame:
    """Return scores with their rank: highest risk first, ties in the order of account_id."""
    parts = scored.selectExpr("*", f"CAST(floor(risk * {STEPS}) AS INT) AS step")
    before = "ORDER BY step DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    counts = parts.groupBy("step").count()
    higher = counts.selectExpr("step", f"coalesce(sum(count) OVER ({before}), 0) AS higher")
    within = "row_number() OVER (PARTITION BY step ORDER BY risk DESC, account_id)"
    joined = parts.join(higher.hint("broadcast"), "step")
    return joined.selectExpr("*", f"higher + {within} AS {RANK}").drop("step", "higher")


def reasons_of(
    rows: DataFrame,
    ranks: DataFrame,
    model: ChurnModel,
    indicators: Mapping[str, Indicator],
    count: int,
    explained: int,
) -> pd.DataFrame:
    """Return the reasons for the highest risks as text: account_id, reason_1 to reason_3.

    The accounts are compared with those chosen by `compared_with`, an evenly spaced subset.
    """
    import pandas as pd

    every = max(1, -(-count // COMPARED))
    compared = (
        "true" if every == 1 else f"(row_number() OVER (ORDER BY account_id) - 1) % {every} = 0"
    )
    marks = ranks.selectExpr("account_id", f"{RANK} <= {explained} AS mine", f"{compared} AS other")
    names = dict.fromkeys(["account_id", *model.features_.names])
    here = rows.select(*names).join(marks.where("mine OR other"), "account_id")
    found = in_memory(here, "account_id")
    mine = found[found["mine"].to_numpy(dtype=bool)]
    others = found[found["other"].to_numpy(dtype=bool)]
    worded = {
        account: (texts := reason_texts(listed)) + [""] * (REASONS - len(texts))
        for account, listed in account_reasons(model, mine, others, indicators).items()
    }
    columns = [f"reason_{rank + 1}" for rank in range(REASONS)]
    frame = pd.DataFrame.from_dict(worded, orient="index", columns=pd.Index(columns))
    return frame.rename_axis("account_id").reset_index()


def totals(scored: DataFrame) -> tuple[int, float]:
    """Return the number of scores and the sum of their risks; raises ModelError without any."""
    ((count, expected),) = scored.selectExpr("count(*)", "sum(risk)").collect()
    if not count:
        raise ModelError("no account is active on the panel's day", "Choose another as_of date")
    return int(count), float(expected)


def whole_scores(
    rows: DataFrame,
    scored: DataFrame,
    count: int,
    model: ChurnModel,
    indicators: Mapping[str, Indicator],
    capacity: float,
    names: DataFrame | None,
    holdout: bool,
) -> DataFrame:
    """Return the complete scores, with the parts that need all rows: alerts and reasons.

    ``scored`` is the result of `forecasts`, with ``count`` rows; ``names`` has the names of the
    accounts by account_id.
    """
    alerts = alerts_of(capacity, count)
    ranks = ranked(scored)
    reasons = reasons_of(rows, ranks, model, indicators, count, explained_of(alerts))
    texts = [str(name) for name in reasons]
    sent = scored.sparkSession.createDataFrame(
        reasons.to_numpy().tolist(), ", ".join(f"{name} STRING" for name in texts)
    )
    whole = ranks.join(sent.hint("broadcast"), "account_id", "left")
    named = [] if names is None else [one for one in names.columns if one != "account_id"]
    if names is not None:
        whole = whole.join(names, "account_id", "left")
    filled = {name: f"coalesce(`{name}`, '') AS `{name}`" for name in (*texts[1:], *named)}
    filled["alert"] = f"{RANK} <= {alerts} AS alert"
    columns = score_columns(row_columns(model), named, holdout=holdout)
    return whole.selectExpr(*[filled.get(name, f"`{name}`") for name in (*columns, RANK)])


def silent_feeds(
    frames: Mapping[str, DataFrame], tables: Collection[str], project: Project, as_of: date
) -> Iterator[str]:
    """Yield a sentence for each table, among those that a model reads, without recent records.

    ``frames`` are the rows and versions of all tables by view, cut at ``as_of``. The rules are
    those of `find_feeds`; tables that declare ``complete_through`` are not checked.
    """
    ended = {name for name, source in project.tables.items() if source.complete_through}
    chance = chance_of_silence(len(frames) - 1) if len(frames) > 1 else 1.0
    for table in sorted(set(tables) - ended - {"accounts"}):
        if (frame := frames.get(source_view(table))) is None:
            continue
        days = frame.selectExpr("CAST(known_on AS DATE) AS day").groupBy("day").count()
        first, counts = daily_counts(sorted(map(tuple, days.collect())), as_of)
        if first is None:
            yield f"{table} has no rows: its indicators count as unknown"
            continue
        health = assess_feed(table, first, counts, chance)
        if health.stopped:
            late = lateness(table, health.last_record, health.usual_days)
            yield f"{late}; the scores count the silence as no activity"


def last_horizon_in_spark(
    accounts: DataFrame | None, project: Project, as_of: date, horizon: int
) -> Counts | None:
    """Return the churns of the last completed horizon; None if no account was active before it."""
    begin, source = as_of - timedelta(days=horizon), project.tables.get("accounts")
    late = source is not None and source.complete_from and source.complete_from > begin
    if accounts is None or late:
        return None
    since, known = f"DATE '{begin}'", first_of("ended_on", "end_known_on")
    kept = ", ".join(map(Spark().literal, project.not_churn))
    other = f"COALESCE(end_reason IN ({kept}), FALSE)" if kept else "FALSE"
    active = f"started_on < {since} AND COALESCE({known} >= {since}, TRUE)"
    ((count, churned),) = (
        accounts.where(f"superseded_on IS NULL AND {active}")
        .selectExpr("count(*)", f"count_if(ended_on IS NOT NULL AND NOT {other})")
        .collect()
    )
    return (int(churned), int(count)) if count else None


@dataclass(frozen=True, repr=False, eq=False)
class SparkPanel:
    """A panel whose rows Spark computes: one row per account and snapshot, unordered.

    ``frame`` is a Spark DataFrame with the columns of ``Panel.frame``. It is computed when rows are
    requested; ``close`` frees the memory and disk space it uses. ``columns`` maps the source tables
    to the columns that were read. ``behaviors`` are the behaviours with indicators of their own.
    ``warnings`` are those of the tables.
    """

    frame: DataFrame
    indicators: tuple[Indicator, ...]
    as_of_date: date
    every: int
    project: Project
    analysis: SuccessAnalysis
    columns: Mapping[str, tuple[str, ...]]
    behaviors: Behaviors | None
    _rows: Rows
    warnings: tuple[DataWarning, ...] = ()
    _kept: list[DataFrame] = field(default_factory=list)

    def __enter__(self) -> SparkPanel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory and disk space in Spark; afterwards, no rows can be requested."""
        while self._kept:
            self._kept.pop().unpersist()
        self._rows.close()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            refuse_name(self, name, Panel)

    def current(self) -> DataFrame:
        """Return the rows on ``as_of_date``: active accounts, whether notice was given or not."""
        return self.frame.where(f"snapshot_on = DATE '{self.as_of_date}'")

    def collect(self) -> Panel:
        """Compute the rows and return them as an ordinary panel, which must fit into memory.

        Spark limits their size to ``spark.driver.maxResultSize``.
        """
        return Panel(
            self._rows.to_pandas("account_id", "snapshot_on"),
            self.indicators,
            self.as_of_date,
            self.every,
            self.project,
            self.analysis,
            self.columns,
            behaviors=self.behaviors,
        )

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Compute the rows and write them as a folder of Parquet files, each sorted by account.

        Raises pyspark's AnalysisException if the folder exists and ``overwrite`` is False.
        """
        mode = "overwrite" if overwrite else "error"
        ordered = self.frame.sortWithinPartitions("account_id", "snapshot_on")
        ordered.write.mode(mode).parquet(str(path))

    def score(
        self,
        model: ChurnModel,
        *,
        capacity: float | None = None,
        holdout: float | None = None,
        effects: Mapping[str, Estimate] | None = None,
    ) -> DataFrame:
        """Score the accounts active on ``as_of_date`` that have not given notice, in Spark.

        The values equal those of `score_accounts`: risks, alerts, reasons, next steps, and account
        names. The column ``rank`` gives the order, with 1 for the highest risk. Rows are forecast
        in Arrow batches on Spark's workers, on which leadsignal must be installed, and cached until
        `close`. Only the rows needed for the reasons, at most 25,000, are collected on the driver.

        Two things differ from `score_accounts`. Effects of processes are shown only if given as
        ``effects``. The last state of a late table is not used: its silence counts as no activity.
        Warnings are logged: of the data, of late and empty tables, and if far more or fewer churns
        are expected than there were in the last horizon.

        Parameters
        ----------
        model : ChurnModel
            A fitted model with the success analysis of the panel.
        capacity : float, optional
            Share of accounts to alert. Default: the project's.
        holdout : float, optional
            Share of customers, chosen at random, not to contact. Default: the project's.
        effects : mapping, optional
            Effects of processes to show with the next step. Default: none.

        Returns
        -------
        pyspark.sql.DataFrame
            Scores, to be written as a table: ``scores.write.saveAsTable("scores")``.

        Raises
        ------
        ModelError
            If the panel lacks what the model needs, or no account is active.
        OptionError
            If the panel has another success analysis than the model.
        """
        refuse_other_analysis(model.analysis_, self.analysis, "the panel")
        model.features_.refuse_missing(self.frame.columns)
        share = self.project.holdout if holdout is None else holdout
        processes = self.analysis.processes
        seed = self.project.holdout_seed
        scoring = RowScoring(sent_model(model), processes, effects or {}, (share or 0, seed))
        # The forecasts read the rows, and then the reasons read some of them again.
        read = scored_columns(model, processes, self.frame.columns)
        rows = self.current().where("NOT notice_given").select(*read).persist()
        scored = forecasts(rows, model, scoring).persist()
        self._kept.extend([rows, scored])
        declared = {indicator.name: indicator for indicator in self.indicators}
        capacity = self.project.capacity if capacity is None else capacity
        count, expected = totals(scored)
        self._warn(model, count, expected)
        names = self._names()
        return whole_scores(rows, scored, count, model, declared, capacity, names, bool(share))

    def _warn(self, model: ChurnModel, count: int, expected: float) -> None:
        """Log what casts doubt on scores."""
        read, horizon = self._rows.read, int(model.hazards_.ends[-1])
        tables = {table for names in model.origin_.indicators.values() for table in names}
        accounts = read.get(source_view("accounts"))
        last = last_horizon_in_spark(accounts, self.project, self.as_of_date, horizon)
        warnings = [
            *silent_feeds(read, tables, self.project, self.as_of_date),
            *affecting(self.warnings, "score"),
            *doubt_of_expected(expected, count, last, horizon),
        ]
        log_warnings(f"scores of {self.as_of_date}", warnings)

    def _names(self) -> DataFrame | None:
        """Return the names of accounts, if the tables have them."""
        accounts = self._rows.read.get(source_view("accounts"))
        shown = shown_columns(self.project, self.columns.get("accounts", ()))
        if accounts is None or not shown:
            return None
        return accounts.where("superseded_on IS NULL").select("account_id", *shown)

    def __repr__(self) -> str:
        families = ", ".join(dict.fromkeys(i.family for i in self.indicators))
        return (
            f"SparkPanel every {self.every} days up to {self.as_of_date}; its rows are computed"
            f" when they are asked for\n{len(self.indicators)} indicators: {families}"
        )

    def _repr_html_(self) -> str:
        return to_html(repr(self))

    def to_dict(self) -> dict[str, Any]:
        """Return what is known about the panel before its rows are computed, ready for JSON."""
        return {
            "as_of": self.as_of_date.isoformat(),
            "every_days": self.every,
            "indicators": [indicator.name for indicator in self.indicators],
        }


@checked
def build_spark_panel(
    tables: Tables | TablesInSpark,
    analysis: SuccessAnalysis | None = None,
    *,
    every: Duration | None = None,
    only_as_of: bool = False,
    session: SparkSession | None = None,
    staging: str | Path | None = None,
) -> SparkPanel:
    """Return the panel of `build_panel` as rows that Spark computes.

    ``tables`` are checked tables, or those of `read_spark_tables`, whose rows are already in Spark.
    ``only_as_of`` keeps only the rows on the as_of date, as `build_snapshot` does. ``session``
    defaults to the active session, or else to a new local one. ``staging`` is the folder through
    which checked tables reach the machines of a cluster (default for a local session: a temporary
    folder). Raises OptionError if pyspark is missing, or a cluster has no ``staging``.
    """
    running, analysis = spark_session(session), analysis or SuccessAnalysis(())
    step = tables.project.every if every is None else days_in(every)
    folder = None if staging is None else Path(staging)
    recipe, rows = panel_rows(tables, analysis, step, running, folder, only_as_of=only_as_of)
    return SparkPanel(
        rows.frame,
        recipe.indicators,
        tables.as_of_date,
        step,
        tables.project,
        analysis,
        {name: tables.columns(name) for name in tables.names},
        recipe.behaviors,
        rows,
        tables.warnings,
    )
