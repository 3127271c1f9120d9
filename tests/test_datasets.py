"""The simulator: valid tables, no look ahead, and a law that does what it says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from leadsignal import schema
from leadsignal.datasets import WORLDS, Simulation, simulate
from leadsignal.errors import OptionError


@cache
def small(world: str = "leading", seed: int = 1) -> Simulation:
    return simulate(150, seed=seed, world=world)


def faults(simulation: Simulation) -> list[str]:
    """Every rule of the schema that a simulation breaks."""
    accounts = simulation.tables["accounts"].set_index("account_id")
    found = []
    for table in schema.TABLES:
        frame = simulation.tables[table.name]
        found += [f"{table.name}.{c} missing" for c in table.required if c not in frame]
        for column in table.columns:
            if column.name in frame:
                found += column_faults(table.name, column, frame[column.name])
        if table.key and table.key in frame and "recorded_at" not in frame:
            found += [f"{table.name}: key twice"] * int(frame[table.key].duplicated().any())
        if table.repeats == "fault":
            found += [f"{table.name}: rows twice"] * int(frame.duplicated().any())
        for first, second in table.ordered:
            if first in frame and second in frame:
                found += [f"{table.name}: {second}"] * int((frame[second] < frame[first]).any())
        if table.name != "accounts":
            own = accounts.loc[frame["account_id"]]
            day = frame[table.time].to_numpy()
            outside = (day < own["started_on"].to_numpy()) | (day >= own["ended_on"].to_numpy())
            found += [f"{table.name}: outside the account's time"] * int(outside.any())
            found += [f"{table.name}: after as_of"] * int(
                (day >= np.datetime64(simulation.as_of)).any()
            )
    return found


def column_faults(table: str, column: schema.Column, values: pd.Series) -> list[str]:
    name, found = f"{table}.{column.name}", []
    if column.required and column.default is None and values.isna().any():
        found.append(f"{name}: empty")
    if column.allowed and not set(values.dropna()) <= set(column.allowed):
        found.append(f"{name}: not allowed")
    if column.minimum is not None and (values.dropna() < column.minimum).any():
        found.append(f"{name}: too small")
    if column.kind in ("day", "moment") and not pd.api.types.is_datetime64_dtype(values):
        found.append(f"{name}: no date")
    if column.kind == "decimal":
        exact = np.round(values.astype(float), column.decimals)
        found += [f"{name}: digits"] * int((exact != values).any())
    return found


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_keeps_the_schema(world: str) -> None:
    assert faults(small(world)) == []


def test_the_same_seed_gives_the_same_tables() -> None:
    again = simulate(150, seed=1)
    for name, table in small().tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name])


def test_unknown_worlds_and_fields_are_refused() -> None:
    with pytest.raises(OptionError, match="not one of leading"):
        simulate(5, world="leeding")
    with pytest.raises(OptionError, match="proces_effect"):
        simulate(5, proces_effect=0)
