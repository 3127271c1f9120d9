"""Days as the engine counts them, and the dialects in which its steps are written."""

from __future__ import annotations

from leadsignal.dialect import GRID_ORIGIN, Dialect, DuckDB, Spark, day_number

__all__ = ["GRID_ORIGIN", "Dialect", "DuckDB", "Spark", "day_number"]
