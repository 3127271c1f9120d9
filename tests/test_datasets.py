"""The simulator: valid tables, no look ahead, and a law that does what it says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import leadsignal as ls
from leadsignal import schema
from leadsignal.datasets import WORLDS, Simulation, sample_folder, simulate, write_sample
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


def test_months_of_practice_count_in_their_world() -> None:
    """The hazard follows the share of the last 26 weeks, found here from the weekly practices."""
    truth = small("months_of_practice").truth
    practices = truth.practices.set_index(["account_id", "monday"])
    names = ["weekly_reconciliation", "monthly_close_review"]
    average = practices[names].groupby("account_id").rolling(26).mean().sum(axis=1, skipna=False)
    average = average.droplevel(0).dropna()
    days = average.index.to_frame(index=False).rename(columns={"monday": "day"})
    # Takeovers add to the hazard; without them the ratio is exact.
    law = replace(truth.law, acquired_rate=0.0)
    with_effect = replace(truth, law=law).hazards(days)
    without = replace(truth, law=replace(law, process_effect=0.0)).hazards(days)
    at_risk = without > 0
    expected = np.exp(-law.process_effect * (average.to_numpy()[at_risk] - 0.9))
    assert with_effect[at_risk] / without[at_risk] == pytest.approx(expected, rel=1e-4)
    assert average[at_risk].nunique() > 20


def test_the_same_seed_gives_the_same_tables() -> None:
    again = simulate(150, seed=1)
    for name, table in small().tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name])


def test_unknown_worlds_and_fields_are_refused() -> None:
    with pytest.raises(OptionError, match="not one of leading"):
        simulate(5, world="leeding")
    with pytest.raises(OptionError, match="proces_effect"):
        simulate(5, proces_effect=0)


def test_one_account_does_not_depend_on_how_many_there_are() -> None:
    few, many = simulate(20, seed=1), small()
    for name, table in few.tables.items():
        same = many.tables[name]
        same = same[same["account_id"].isin(few.tables["accounts"]["account_id"])]
        order = list(table.columns)
        pd.testing.assert_frame_equal(
            table.sort_values(order, ignore_index=True),
            same.sort_values(order, ignore_index=True),
            check_dtype=False,  # pandas 3 has another one for a column of nothing but None
        )


def test_names_are_added_and_nothing_else_changes() -> None:
    plain, named = small().tables, simulate(150, seed=1, named=True).tables
    added = ["name", "owner", "currency"]
    pd.testing.assert_frame_equal(named["accounts"].drop(columns=added), plain["accounts"])
    for name in plain.keys() - {"accounts"}:
        pd.testing.assert_frame_equal(named[name], plain[name])
    accounts = named["accounts"]
    assert accounts[added].notna().all(axis=None)
    assert (accounts["currency"] == "EUR").all()
    by_customer = accounts.groupby("customer_id")["name"].nunique()
    assert (by_customer == 1).all()
    assert accounts["name"].nunique() == len(by_customer)
    assert set(accounts.groupby("region")["owner"].nunique()) == {3}


def test_tables_are_written_as_parquet_where_asked(tmp_path: Path) -> None:
    made = simulate(20, seed=1, days=400, world="messy")
    made.write(tmp_path / "csv")
    made.write(tmp_path / "mixed", parquet=["behaviors", "usage"])
    files = {file.name for file in (tmp_path / "mixed").glob("*.parquet")}
    assert files == {"behaviors.parquet", "usage.parquet"}
    plain, mixed = ls.read_tables(tmp_path / "csv"), ls.read_tables(tmp_path / "mixed")
    for name in plain.names:
        pd.testing.assert_frame_equal(mixed.frame(name), plain.frame(name))
    with pytest.raises(OptionError, match=r"'behaviours'"):
        made.write(tmp_path / "no", parquet=["behaviours"])
    assert not (tmp_path / "no").exists()


def visible(simulation: Simulation, cut: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Rows and second dates strictly before the cut."""
    out = {}
    for table in schema.TABLES:
        frame = simulation.tables[table.name]
        frame = frame[frame[table.time] < cut].copy()
        for second in table.second_dates:
            if second.column in frame:
                hidden = ~(frame[second.column] < cut)
                for column in (second.column, *second.also):
                    frame[column] = frame[column].where(~hidden)
        out[table.name] = frame.sort_values(list(frame.columns), ignore_index=True)
    return out


@pytest.mark.parametrize("world", ["leading", "disengagement", "slow_decline"])
def test_what_is_seen_before_a_day_does_not_depend_on_what_comes_after(world: str) -> None:
    short = simulate(150, seed=1, world=world, days=900)
    cut = pd.Timestamp(short.as_of)
    for name, table in visible(small(world), cut).items():
        pd.testing.assert_frame_equal(table, visible(short, cut)[name], check_dtype=False)


@cache
def large(world: str = "leading") -> Simulation:
    return simulate(1000, seed=6, world=world)


def grid(simulation: Simulation, every: int = 91) -> pd.DataFrame:
    """Accounts active and without notice on some days, and whether they left within 180 days."""
    accounts = simulation.tables["accounts"]
    as_of = pd.Timestamp(simulation.as_of)
    days = pd.date_range("2021-06-07", as_of - pd.Timedelta(days=181), freq=f"{every}D")
    rows = accounts.merge(pd.DataFrame({"snapshot_on": days}), how="cross")
    rows = rows[(rows["started_on"] < rows["snapshot_on"])]
    rows = rows[~(rows["end_known_on"] < rows["snapshot_on"])]
    rows = rows[~(rows["ended_on"] <= rows["snapshot_on"])]
    left = (rows["ended_on"] - rows["snapshot_on"]).dt.days
    return rows.assign(event=(left <= 180).astype(float))


@pytest.mark.parametrize("world", ["leading", "no_effect", "disengagement"])
def test_the_oracle_is_calibrated(world: str) -> None:
    rows = grid(large(world), every=182)
    risk = large(world).truth.oracle_risk(rows, 180)
    assert ((risk >= 0) & (risk <= 1)).all()
    band = (pd.Series(risk).rank(pct=True) * 5).astype(int).clip(upper=4).to_numpy()
    for one in range(5):
        here = band == one
        spread = np.sqrt((risk[here] * (1 - risk[here])).sum())
        assert abs(rows["event"].to_numpy()[here].sum() - risk[here].sum()) < 3.5 * spread + 1


def test_the_oracle_does_not_depend_on_the_other_rows() -> None:
    rows = grid(small()).sample(60, random_state=0)
    truth = small().truth
    whole = truth.oracle_risk(rows, 180)
    np.testing.assert_allclose(truth.oracle_risk(rows.iloc[::-3], 180), whole[::-3], rtol=1e-6)


def test_the_oracle_refuses_what_is_not_there() -> None:
    rows = grid(small()).head(1)
    with pytest.raises(KeyError, match="nobody"):
        small().truth.oracle_risk(rows.assign(account_id="nobody"), 180)
    with pytest.raises(ValueError, match="before the account's start"):
        small().truth.oracle_risk(rows.assign(snapshot_on=pd.Timestamp("2010-01-01")), 180)


def test_hazards_add_up_to_the_decisions() -> None:
    truth = small().truth
    days = pd.date_range("2021-01-04", "2024-12-31")
    every = small().tables["accounts"].merge(pd.DataFrame({"day": days}), how="cross")
    every = every[every["day"] >= every["started_on"]]
    expected = truth.hazards(every).sum()
    first = np.datetime64("2021-01-04").astype("datetime64[D]").astype(int)
    decided = ((truth.decided >= first) & (truth.decided < truth.as_of)).sum()
    assert abs(decided - expected) < 3 * np.sqrt(expected)


def oracle_episodes(simulation: Simulation, account: str) -> list[tuple[Any, Any]]:
    """Adoption of an account counted day by day, as the design has it."""
    events = simulation.tables["behaviors"]
    events = events[(events["account_id"] == account)]
    own: Any = simulation.tables["accounts"].set_index("account_id").xs(account)
    end = min(pd.Timestamp(simulation.as_of), own["ended_on"])
    end = pd.Timestamp(simulation.as_of) if pd.isna(own["ended_on"]) else end
    found, since = [], None
    mine = events[events["behavior"] == "reconciliation_completed"]
    for day in pd.date_range(own["started_on"], end):
        windows = []
        for back in (0, 30):
            stop, start = day - pd.Timedelta(days=back), day - pd.Timedelta(days=back + 30)
            part = mine[(mine["occurred_at"] >= start) & (mine["occurred_at"] < stop)]
            windows.append(len(part) >= 4 and part["user_id"].nunique() >= 2)
        if all(windows) and since is None and day < end:
            since = day
        if since is not None and (not all(windows) or day == end):
            found.append((since, pd.NaT if day == end else day))
            since = None
    return found


def test_episodes_are_adoption_by_the_definition() -> None:
    accounts = small().tables["accounts"]
    young = accounts[accounts["started_on"] >= "2023-06-01"]["account_id"].head(6)
    episodes = small().truth.episodes
    for account in young:
        mine = episodes[
            (episodes["account_id"] == account) & (episodes["process"] == "weekly_reconciliation")
        ]
        counted = oracle_episodes(small(), account)
        assert list(mine["adopted_on"]) == [begin for begin, _ in counted]
        assert mine["lapsed_on"].tolist() == [end for _, end in counted] or all(
            pd.isna(a) == pd.isna(b) and (pd.isna(a) or a == b)
            for a, (_, b) in zip(mine["lapsed_on"], counted, strict=True)
        )


def test_the_sample_is_written_byte_for_byte(tmp_path: Path) -> None:
    """But for Parquet, whose bytes depend on the version that writes them: its rows are equal."""
    again = write_sample(tmp_path / "sample")
    names = sorted(path.name for path in sample_folder().iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    for name in names:
        if name.endswith(".parquet"):
            given, made = (pq.read_table(folder / name) for folder in (sample_folder(), again))
            assert made.equals(given), name
        else:
            assert (again / name).read_bytes() == (sample_folder() / name).read_bytes(), name
    assert sum(path.stat().st_size for path in again.iterdir()) < 7_000_000


def test_a_small_sample_holds_the_first_accounts_of_the_sample(small_sample: Path) -> None:
    few, all_of_them = (
        pd.read_csv(folder / "accounts.csv") for folder in (small_sample, sample_folder())
    )
    same = all_of_them[all_of_them["account_id"].isin(few["account_id"])]
    columns = list(few.columns)
    pd.testing.assert_frame_equal(
        few.sort_values(columns, ignore_index=True), same.sort_values(columns, ignore_index=True)
    )
    assert 280 < len(few) < 320


def gap(simulation: Simulation, column: str) -> float:
    """Difference of the end rate a year between states of the latent practice, in logs."""
    weeks = simulation.truth.practices
    ends = simulation.tables["accounts"].set_index("account_id")["end_known_on"]
    known = weeks["account_id"].map(ends)
    last = (known >= weeks["monday"]) & (known < weeks["monday"] + pd.Timedelta(days=7))
    inside = weeks["monday"] >= "2021-01-04"
    state = weeks[column].astype(float) > 0.5
    rates = [last[inside & (state == value)].mean() for value in (False, True)]
    return float(np.log(rates[1] / rates[0]))


def test_practice_protects_only_where_the_law_says_so() -> None:
    assert gap(large(), "success") < -0.7
    assert abs(gap(large("no_effect"), "success")) < 0.3
    # They mark an end that was decided before.
    assert gap(large("disengagement"), "success") < -0.4


def fall(simulation: Simulation, weeks_before: int) -> float:
    """Median usage so many weeks before the end was told, over that of a year's best."""
    usage = simulation.tables["usage"]
    accounts = simulation.tables["accounts"].dropna(subset=["end_known_on"])
    merged = usage.merge(accounts[["account_id", "end_known_on", "started_on"]], on="account_id")
    merged = merged[merged["end_known_on"] - merged["started_on"] > pd.Timedelta(days=400)]
    week = (merged["end_known_on"] - merged["used_on"]).dt.days // 7
    at = merged[week == weeks_before].set_index("account_id")["amount"]
    usual = merged[week > 44].groupby("account_id")["amount"].median()
    return float((at / usual).dropna().mean())


def test_usage_falls_when_the_law_says_so() -> None:
    late, slow, never = large(), small("slow_decline", 2), large("no_effect")
    assert fall(late, 12) > 0.85
    assert fall(late, 0) < 0.85
    assert fall(slow, 4) < 0.4
    assert fall(never, 0) > 0.9


def test_large_accounts_adopt_more_where_size_confounds() -> None:
    def correlation(world: str) -> float:
        weeks = large(world).truth.practices
        size = large(world).tables["accounts"].set_index("account_id")["employees"]
        practised = weeks.groupby("account_id")["weekly_reconciliation"].mean()
        return float(practised.corr(np.log(size), method="spearman"))

    assert correlation("confounded") > 0.25
    assert abs(correlation("no_effect")) < 0.1


def test_notice_can_be_switched_off() -> None:
    accounts = simulate(150, seed=3, notice=False).tables["accounts"].dropna(subset=["ended_on"])
    later = accounts["ended_on"] - accounts["end_known_on"]
    assert (later <= pd.Timedelta(days=1)).all()
    noticed = small().tables["accounts"].dropna(subset=["ended_on"])
    assert ((noticed["ended_on"] - noticed["end_known_on"]).dt.days > 10).mean() > 0.9


def test_mess_is_as_announced() -> None:
    tables = simulate(300, seed=4, world="messy").tables
    assert (tables["accounts"]["end_reason"] == "completed").any()
    assert (tables["accounts"]["seats"] == 0).equals(tables["accounts"]["ended_on"].notna())
    versions = tables["commitments"].groupby("commitment_id")["due_on"].nunique()
    assert (versions > 1).any()
    late = tables["behaviors"]["recorded_at"] - tables["behaviors"]["occurred_at"]
    assert (late > pd.Timedelta(days=1)).any()
    assert (late >= pd.Timedelta(0)).all()
    assert tables["usage"]["used_on"].min() > tables["behaviors"]["occurred_at"].min()


def test_customers_come_back_under_their_own_name() -> None:
    accounts = large().tables["accounts"].sort_values("started_on")
    again = accounts[accounts["customer_id"].duplicated(keep=False)]
    first = again.groupby("customer_id").nth(0).set_index("customer_id")
    second = again.groupby("customer_id").nth(1).set_index("customer_id")
    assert len(second) > 0
    assert (second["started_on"] > first.loc[second.index, "ended_on"]).all()
    assert (second["industry"] == first.loc[second.index, "industry"]).all()


def test_importing_the_simulator_does_not_import_pandas() -> None:
    code = "import leadsignal.datasets, sys; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
