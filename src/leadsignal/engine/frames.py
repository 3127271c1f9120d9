"""Build the sorted frame of a panel from batches, without a second copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray


def as_frame(portions: Iterable[pa.Table], most: int) -> pd.DataFrame:
    """Return the rows of all batches as a frame; ``most`` is an upper bound on their number.

    Numbers are written directly into one array, as a second copy of a large panel would double the
    memory.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    numbers: NDArray[np.float64] = np.empty((0, most))
    others, names, rows = [], [], 0
    for part in portions:
        names = [field.name for field in part.schema if pa.types.is_float64(field.type)]
        numbers = numbers if len(numbers) else np.empty((len(names), most))
        for column, name in zip(numbers, names, strict=True):
            column[rows : rows + len(part)] = part[name].to_numpy()
        # Arrow shares equal texts, of which a panel has many.
        others.append(
            part.drop_columns(names).to_pandas(
                date_as_object=False, coerce_temporal_nanoseconds=True
            )
        )
        rows, order = rows + len(part), part.column_names
    rest = pd.concat(others, ignore_index=True)
    frame = pd.DataFrame(numbers[:, :rows].T, columns=pd.Index(names), copy=False)
    for place, name in enumerate(order):
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
