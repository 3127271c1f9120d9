"""Build the sorted frame of a panel from batches, without a second copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PanelRows:
    """Rows of a panel: columns of a table, then ``indicators``, of which some are ``numbers``.

    The numbers are computed when they are asked for, so that they are not all in memory. NaN stands
    for a missing value.
    """

    table: pa.Table
    numbers: Mapping[str, Callable[[], NDArray[np.float64]]] = field(default_factory=dict)
    indicators: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the columns in order."""
        last = set(self.indicators)
        return [*(n for n in self.table.column_names if n not in last), *self.indicators]

    def to_arrow(self) -> pa.Table:
        """Return all columns as one table."""
        import pyarrow as pa

        def column(name: str) -> Any:
            if name in self.numbers:
                return pa.array(self.numbers[name](), from_pandas=True)
            return self.table[name]

        return pa.table({name: column(name) for name in self.names})


def arrow_array(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return numbers as an Arrow array.

    ``pyarrow.array`` imports pandas to convert an array, which takes longer than many a query.
    """
    import numpy as np
    import pyarrow as pa

    known = None
    if missing is not None and missing.any():
        known = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    numbers = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [known, numbers])


def as_frame(portions: Iterable[PanelRows], most: int) -> pd.DataFrame:
    """Return the rows of all batches as a frame; ``most`` is an upper bound on their number.

    Numbers are written directly into one array, as a second copy of a large panel would double the
    memory.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    floats: NDArray[np.float64] = np.empty((0, most))
    others, columns, names, rows = [], [], [], 0
    for part in portions:
        names, table = part.names, part.table
        read = {one.name for one in table.schema if pa.types.is_float64(one.type)}
        columns = [name for name in names if name in read or name in part.numbers]
        floats = floats if len(floats) else np.empty((len(columns), most))
        for column, name in zip(floats, columns, strict=True):
            number = part.numbers.get(name)
            column[rows : rows + len(table)] = number() if number else table[name].to_numpy()
        # Arrow shares equal texts, of which a panel has many.
        others.append(
            table.drop_columns([*read]).to_pandas(
                date_as_object=False, coerce_temporal_nanoseconds=True
            )
        )
        rows += len(table)
    rest = pd.concat(others, ignore_index=True)
    frame = pd.DataFrame(floats[:, :rows].T, columns=pd.Index(columns), copy=False)
    for place, name in enumerate(names):
        if name in rest:
            frame.insert(place, name, rest[name])
    return frame


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Return panel rows sorted by account and snapshot, without a copy if already sorted."""
    import numpy as np
    import pandas as pd

    account = pd.factorize(rows["account_id"], sort=True)[0]
    order = np.lexsort((rows["snapshot_on"].to_numpy(), account))
    found = rows.copy(deep=False) if (order[1:] > order[:-1]).all() else rows.iloc[order]
    found.index = pd.RangeIndex(len(found))
    return found
