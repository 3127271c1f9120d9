"""Thousands of parts read as a few: those whose columns are alike, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from leadsignal.sources.parts import Part


@dataclass
class CombinedParts:
    """Parts of like columns, in their order; ``whole`` reads all of them as one.

    ``rows`` says how many rows each part gave, once ``whole`` was read.
    """

    parts: Sequence[Part]
    whole: Part
    rows: list[int] = field(default_factory=list)


def in_groups(parts: Sequence[Part]) -> list[CombinedParts]:
    """Return parts in groups: neighbours that can be read as one are one group."""
    grouped = groupby(enumerate(parts), lambda pair: _kind(*pair))
    return [_together([part for _, part in group]) for _, group in grouped]


def single_part(part: Part) -> CombinedParts:
    """Return a part as a separate group."""
    return CombinedParts([part], part)


def _kind(number: int, part: Part) -> object:
    """Return what neighbours must share to be read as one; the number where nobody may."""
    if part.file is None or part.on_demand or (part.reader is None and part.rows is None):
        return number
    return (part.reader is None, part.header_line, tuple(part.columns.items()), part.types)


def _together(parts: list[Part]) -> CombinedParts:
    if len(parts) == 1:
        return single_part(parts[0])
    group = CombinedParts(parts, parts[0])
    if parts[0].reader is None:
        group.rows = [part.rows or 0 for part in parts]
        listed = ", ".join(part.path for part in parts)
        relation = f"read_parquet([{listed}], hive_partitioning = false)"
        group.whole = replace(parts[0], relation=relation)
    else:
        group.whole = replace(parts[0], reader=lambda: _chained(group))
    return group


def _chained(group: CombinedParts) -> Any:
    """Return one stream of the rows of all parts; it counts them as they pass."""
    import pyarrow as pa

    first = group.parts[0].reader()
    group.rows = [0] * len(group.parts)

    def batches() -> Iterator[Any]:
        for number, part in enumerate(group.parts):
            for batch in first if number == 0 else part.reader():
                group.rows[number] += batch.num_rows
                yield batch

    return pa.RecordBatchReader.from_batches(first.schema, batches())
