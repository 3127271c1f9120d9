"""The base class of results that hold arrays."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from leadsignal.results import Result


class ArrayResult(Result):
    """Base class of dataclasses whose arrays, all of one length, are the columns of a table.

    A subclass names these columns in ``COLUMNS``, or overrides `_table`.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = ()

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame({name: getattr(self, name) for name in self.COLUMNS})

    def to_dict(self) -> dict[str, object]:
        """Return the fields as a plain dictionary, ready for JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in self.__dict__.items()
        }
