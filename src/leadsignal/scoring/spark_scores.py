"""Scores on Apache Spark: the values of `score_panel`, computed where the rows are.

Spark forecasts and ranks all rows, and finds the next steps. The reasons compare at most 5,000
accounts with at most 20,000 others; these rows are collected on the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from leadsignal.engine.spark import in_memory
from leadsignal.errors import ModelError
from leadsignal.model.explanation import COMPARED
from leadsignal.model.learners import LEARNERS
from leadsignal.model.persistence.saved_models import model_bytes, model_from_bytes
from leadsignal.scoring.holdout import HELD_OUT, hold_out
from leadsignal.scoring.next_steps import account_steps
from leadsignal.scoring.reasons import REASONS, account_reasons, reason_texts
from leadsignal.scoring.scores import alerts_of, explained_of, row_scores, score_columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from leadsignal.config.success import Process
    from leadsignal.indicators.declare import Indicator
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.stats.estimates import Estimate

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
