"""What is worked out once in a session, and what differs and is worked out anew."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal import panel, workers
from leadsignal.model.stacked_model import fit_hazards
from leadsignal.scoring.scores import proven_effects


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The random states of the fits that were really made, from an empty cache on."""
    made: list[int] = []

    def counted(*args: object) -> object:
        made.append(args[5])  # type: ignore[arg-type]
        return fit_hazards(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("leadsignal.model.churn_model.fit_hazards", counted)
    monkeypatch.setenv(workers.CACHE_SWITCH, "1")
    monkeypatch.setattr(workers, "MAX_FITS", 2)
    workers.forget()
    yield made
    workers.forget()


def model(**settings: object) -> ls.ChurnModel:
    return ls.ChurnModel(estimator="logistic", **settings)  # type: ignore[arg-type]


def test_the_same_fit_is_made_once(fits: list[int], business_panel: ls.Panel) -> None:
    first, second = model().fit(business_panel), model().fit(business_panel)
    assert len(fits) == 1
    assert first.version_ == second.version_
    rows = business_panel.current()
    assert np.array_equal(first.predict(rows).risk, second.predict(rows).risk)


def test_what_differs_is_fitted_anew(fits: list[int], business_panel: ls.Panel) -> None:
    model().fit(business_panel)
    frame = business_panel.frame.copy()
    name = next(i.name for i in business_panel.indicators if i.kind == "number")
    frame.loc[frame.index[5], name] = 7.5
    model().fit(replace(business_panel, frame=frame))
    model(random_state=1).fit(business_panel)
    model(horizon="90d").fit(business_panel)
    model(roles=("leading",)).fit(business_panel)
    assert len(fits) == 5


def test_a_fit_by_another_library_is_never_kept(fits: list[int], business_panel: ls.Panel) -> None:
    from sklearn.tree import DecisionTreeClassifier

    for _ in range(2):
        ls.ChurnModel(estimator=DecisionTreeClassifier(max_depth=2)).fit(business_panel)
    assert len(fits) == 2


def test_those_go_that_were_asked_for_longest_ago(
    fits: list[int], business_panel: ls.Panel
) -> None:
    for state in (0, 1, 0, 2, 0, 1):
        model(random_state=state).fit(business_panel)
    assert fits == [0, 1, 2, 1]


def test_the_cache_can_be_turned_off(
    fits: list[int], business_panel: ls.Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(workers.CACHE_SWITCH, "0")
    model().fit(business_panel)
    model().fit(business_panel)
    assert len(fits) == 2


def test_effects_of_processes_are_found_once_for_the_same_tables(
    fits: list[int], business: ls.Tables, business_analysis: ls.SuccessAnalysis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    weighed: list[str] = []

    def counted(context: ls.AsOfContext, by: str) -> None:
        weighed.append(by)

    monkeypatch.setattr("leadsignal.scoring.scores.controlled_effect", counted)
    for _ in range(2):
        proven_effects(business, business_analysis)
    assert len(weighed) == len(business_analysis.processes)
    proven_effects(business, ls.SuccessAnalysis(business_analysis.processes[:1]))
    assert len(weighed) == len(business_analysis.processes) + 1


def test_what_is_kept_goes_with_its_tables(fits: list[int]) -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": ["2024-01-01"], "ended_on": [None]})
    tables = ls.read_tables({"accounts": accounts})
    workers.once_for(tables, "key", lambda: 1)
    assert workers.once_for(tables, "key", lambda: 2) == 1
    assert len(workers._by_owner) == 1
    del tables
    gc.collect()
    assert not workers._by_owner


def test_a_panel_of_the_same_tables_is_built_once_and_is_a_copy(
    fits: list[int], business: ls.Tables, business_analysis: ls.SuccessAnalysis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    built: list[int] = []
    build = panel._build

    def counted(*args: object, **options: object) -> ls.Panel:
        built.append(1)
        return build(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(panel, "_build", counted)
    first = ls.build_panel(business, business_analysis)
    expected = first.frame.copy()
    first.frame["arr"] = -1.0
    steps: list[tuple[int, int]] = []
    second = ls.build_panel(
        business, business_analysis, progress=lambda done, of: steps.append((done, of))
    )
    assert len(built) == 1
    assert steps == [(1, 1)]
    pd.testing.assert_frame_equal(second.frame, expected)
    assert second.episodes is not first.episodes
    ls.build_panel(business, business_analysis, every="14d")
    ls.build_panel(business, every="14d")
    assert len(built) == 3


def test_a_panel_that_is_large_is_not_kept(
    fits: list[int], business: ls.Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "MAX_KEPT", 1000)
    ls.build_panel(business)
    assert workers.recalled(business, "panel") is None


@pytest.mark.parametrize("cache", ["false", "true"])
def test_tables_that_are_in_use_are_not_read_again(
    fits: list[int], tmp_path: Path, cache: str
) -> None:
    folder = ls.simulate(30, seed=2).write(tmp_path / "tables")
    settings = folder / "leadsignal.toml"
    settings.write_text(settings.read_text().replace("[project]", f"[project]\ncache = {cache}"))
    first = ls.read_tables(folder)
    assert ls.read_tables(folder) is first
    assert ls.check_tables(folder).to_dict() == first.report().to_dict()
    earlier = ls.read_tables(folder, as_of=first.as_of_date - timedelta(1))
    assert earlier is not first
    assert ls.read_tables(folder, drop_bad_rows=True) is not first
    (folder / "notes.txt").write_text("not a table")
    assert ls.read_tables(folder).not_read == (*first.not_read, "notes.txt")
    (folder / "notes.txt").unlink()
    assert ls.read_tables(folder) is first
    with (folder / "accounts.csv").open("a") as file:
        file.write("\n")
    assert ls.read_tables(folder) is not first


def test_tables_go_when_nobody_uses_them(fits: list[int], tmp_path: Path) -> None:
    folder = ls.simulate(30, seed=2).write(tmp_path / "tables")
    place = Path(ls.read_tables(folder)._store.folder)
    gc.collect()
    assert not place.exists()


def test_files_with_faults_are_read_again(fits: list[int], tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("account_id,started_on,ended_on\na,2024-13-01,\n")
    for _ in range(2):
        with pytest.raises(ls.TablesError, match="2024-13-01"):
            ls.read_tables(tmp_path)
    accounts.write_text("account_id,started_on,ended_on\na,2024-12-01,\n")
    assert len(ls.read_tables(tmp_path).frame("accounts")) == 1


def test_the_cache_of_tables_can_be_turned_off(
    fits: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ls.simulate(30, seed=2).write(tmp_path / "tables")
    monkeypatch.setenv(workers.CACHE_SWITCH, "0")
    first = ls.read_tables(folder)
    assert ls.read_tables(folder) is not first
