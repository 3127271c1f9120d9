"""What is wrong with the records: each kind changes what it says, and nobody's end."""

from __future__ import annotations

from functools import cache

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.datasets.tables import EXIT_CALL, RECORDINGS, TWIN

OPTIONS = {"seed": 3, "world": "no_effect", "days": 1095}


@pytest.fixture(scope="module")
def plain() -> ls.datasets.Simulation:
    return ls.simulate(150, **OPTIONS)  # type: ignore[arg-type]


@cache
def recorded(name: str) -> ls.datasets.Simulation:
    return ls.simulate(150, recording=(name,), **OPTIONS)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_truth_stays_and_the_tables_can_be_read(
    name: str, plain: ls.datasets.Simulation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = recorded(name)
    assert (found.truth.ended == plain.truth.ended).all()
    changed = [
        table for table in plain.tables if not found.tables[table].equals(plain.tables[table])
    ]
    assert changed, "a recording that changes nothing"
    folder = tmp_path_factory.mktemp(name)
    found.write(folder)
    assert ls.read_tables(folder).names


def test_each_kind_does_what_it_says(plain: ls.datasets.Simulation) -> None:
    accounts = plain.tables["accounts"]
    ended = set(accounts.loc[accounts["ended_on"].notna(), "account_id"])
    calls = recorded("backfilled").tables["behaviors"].query("behavior == @EXIT_CALL")
    assert set(calls["account_id"]) == ended
    assert EXIT_CALL not in set(plain.tables["behaviors"]["behavior"])
    twins = recorded("twin").tables["behaviors"]
    assert (twins["behavior"] == TWIN).sum() == (
        twins["behavior"] == "reconciliation_completed"
    ).sum()
    arr = recorded("arr_today").tables["accounts"].set_index("account_id")["arr"]
    assert (arr[list(ended)] == 0).all()
    assert (arr.drop(list(ended)) > 0).all()
    surveys = recorded("exit_surveys").tables["surveys"]
    assert set(surveys["account_id"]) <= ended


def test_expansions_are_signed_before_renewals_that_come() -> None:
    changes = recorded("expansion_before_renewal").tables["contract_changes"]
    signed = changes[changes["kind"] == "expansion"]
    renewals = changes[changes["kind"] == "renewal"]
    later = signed["changed_at"] + pd.Timedelta(days=30)
    pairs = set(zip(renewals["account_id"], renewals["changed_at"], strict=True))
    assert len(signed)
    assert set(zip(signed["account_id"], later, strict=True)) <= pairs


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ls.OptionError, match="'lost' is not a kind of recording"):
        recorded("lost")
