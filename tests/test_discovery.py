"""Discovery: states agree with the engine, the planted is found, nothing where nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.config.project import Behaviors
from leadsignal.ingestion.dialect import day_number
from leadsignal.success_analysis.discovery import _apart, _comments, _controls_line
from leadsignal.success_analysis.discovery_candidates import (
    Candidate,
    Definitions,
    KnownBefore,
    adoption_states,
    definitions_of,
    in_order,
    process_name,
    read_events,
    rows_at_risk,
    whose,
)
from leadsignal.success_analysis.discovery_evidence import (
    _corrected,
    _critical,
    chances_of,
    matched_sets,
    measured_results,
)
from leadsignal.success_analysis.discovery_selection import _correlations, _highest_correlations

mpl.use("Agg")
PLANTED = {"reconciliation_completed", "close_review_held"}
TABLES = ("accounts", "behaviors", "usage", "results")


def tables_of(world: str, seed: int) -> ls.Tables:
    simulation = ls.simulate(1000, seed=seed, world=world)
    frames = {name: simulation.tables[name] for name in TABLES}
    return ls.read_tables(frames, as_of=simulation.as_of, attributes=["segment", "employees"])


@pytest.fixture(scope="module")
def leading() -> ls.Tables:
    return tables_of("leading", 1001)


@pytest.fixture(scope="module")
def panel(leading: ls.Tables) -> ls.Panel:
    return ls.build_panel(leading)


@pytest.fixture(scope="module")
def nothing_keeps() -> Callable[[str], ls.Discovery]:
    """The discovery in a world, made once."""
    return cache(lambda world: ls.discover_processes(tables_of(world, 1000)))


@pytest.fixture(scope="module")
def found(leading: ls.Tables) -> ls.Discovery:
    return ls.discover_processes(leading)


def stands(
    episodes: pd.DataFrame, accounts: np.ndarray, account: np.ndarray, day: np.ndarray
) -> np.ndarray:
    """Adopted or not at each account's day, read off episodes."""
    number = pd.Index(accounts).get_indexer(pd.Index(episodes["account_id"]))
    days = [
        pd.to_datetime(episodes[c]).to_numpy().astype("datetime64[D]").astype(np.int64)
        for c in ("adopted_on", "lapsed_on")
    ]
    last = np.where(episodes["lapsed_on"].isna(), 10**6, days[1])
    rows = pd.DataFrame({"account": account, "day": day, "row": np.arange(len(day))})
    spans = pd.DataFrame({"account": number, "adopted": days[0], "last": last})
    pairs = rows.merge(spans, on="account")
    inside = pairs[(pairs["adopted"] <= pairs["day"]) & (pairs["day"] < pairs["last"])]
    return np.isin(np.arange(len(day)), inside["row"])


@pytest.mark.parametrize("world", ["leading", "messy"])
def test_states_agree_with_the_episodes_of_the_engine(world: str) -> None:
    simulation = ls.simulate(120, seed=3, world=world)
    tables = ls.read_tables({k: v for k, v in simulation.tables.items() if k in TABLES},
                            as_of=simulation.as_of, not_churn=["completed"])  # fmt: skip
    candidates = [
        Candidate("reconciliation_completed", 4, 2, 30, 2),
        Candidate("close_review_held", 2, 2, 45, 3),
        Candidate("dashboard_viewed", 8, 3, 90, 1),
        Candidate("sponsor_meeting", 1, 1, 30, 1),
    ]
    account, accounts, day = whose(in_order(ls.build_panel(tables)))
    states = adoption_states(read_events(tables, accounts), candidates, account, day)
    complete_from = tables.coverage["behaviors"].complete_from
    assert complete_from is not None
    known = day_number(complete_from) + 135
    compared = day >= known
    assert compared.sum() > 1000
    for n, candidate in enumerate(candidates):
        analysis = ls.SuccessAnalysis((candidate.as_process(),))
        there = stands(ls.panel.adoption_episodes(tables, analysis), accounts, account, day)
        assert 0 < there[compared].mean() < 1
        np.testing.assert_array_equal(states[compared, n], there[compared])


def test_states_by_hand() -> None:
    """Two users, days 1, 3 and 12; quantity 1 each. At day 13, windows of 5 days."""
    frames = {
        "accounts": pd.DataFrame({"account_id": ["a"], "started_on": ["1970-01-01"]}),
        "behaviors": pd.DataFrame(
            {
                "account_id": "a",
                "occurred_at": ["1970-01-02", "1970-01-04", "1970-01-13"],
                "behavior": "x",
                "user_id": ["u", "v", "u"],
            }
        ),
    }
    tables = ls.read_tables(frames, as_of="1970-02-01")
    events = read_events(tables, np.array(["a"], dtype=object))
    days = np.array([2, 4, 6, 7, 12, 13, 17, 18])
    two_people = Candidate("x", 2, 2, 5, 1)
    once = Candidate("x", 1, 1, 5, 1)
    again = Candidate("x", 1, 1, 5, 2)
    states = adoption_states(events, [two_people, once, again], np.zeros(8, np.int64), days)
    # [t-5, t): both users only while 1 and 3 are inside, at t = 4, 5 and 6.
    assert states[:, 0].tolist() == [False, True, True, False, False, False, False, False]
    assert states[:, 1].tolist() == [True, True, True, True, False, True, True, False]
    # and one in [t-10, t-5) before it: 3 and 1 at t = 7, 12 and 3 at t = 13.
    assert states[:, 2].tolist() == [False, False, False, True, False, True, False, False]


def test_rows_at_risk_read_the_state_a_warning_time_before(
    leading: ls.Tables, panel: ls.Panel
) -> None:
    complete_from = leading.coverage["behaviors"].complete_from
    assert complete_from is not None
    begun = day_number(complete_from)
    at_risk = rows_at_risk(panel, 90, KnownBefore(begun, 135))
    accounts = leading.frame("accounts").set_index("account_id").loc[at_risk.accounts]
    started = accounts["started_on"].to_numpy().astype("datetime64[D]").astype(np.int64)
    told = accounts["end_known_on"].fillna(accounts["ended_on"])
    known = np.where(told.isna(), 10**6, told.to_numpy().astype("datetime64[D]").astype(np.int64))
    now = at_risk.day + 90
    np.testing.assert_array_equal(at_risk.start, now - started[at_risk.account])
    # Still at risk now, and the end is dated by the day it was known, within the row.
    assert (known[at_risk.account] > now).all()
    ends = known[at_risk.account] - started[at_risk.account]
    np.testing.assert_array_equal(at_risk.stop[at_risk.event], ends[at_risk.event])
    assert (at_risk.stop - at_risk.start <= panel.every).all()
    # Old accounts are told only once the longest windows lie within the data.
    old = started[at_risk.account] < begun
    assert (at_risk.day[old] >= begun + 135).all()
    # Nothing that the risk sets hold equal is adjusted for; usage and activity are.
    assert {"usage_to_best", "activity_events_30d", "employees"} <= set(at_risk.adjusted_for)
    assert not {"tenure_days", "term_months"} & set(at_risk.adjusted_for)


def test_matched_sets_hold_accounts_at_risk_at_the_tenure_of_the_end(panel: ls.Panel) -> None:
    at_risk = rows_at_risk(panel, 90, KnownBefore(0, 135))
    sets = matched_sets(at_risk, seed=0)
    case = sets.row[sets.first[:-1]][sets.of]
    assert at_risk.event[sets.row[sets.first[:-1]]].all()
    time = at_risk.stop[case]
    assert (at_risk.start[sets.row] < time).all()
    assert (at_risk.stop[sets.row] >= time).all()
    assert (at_risk.stratum[sets.row] == at_risk.stratum[case]).all()
    others = np.delete(np.arange(len(sets.row)), sets.first[:-1])
    assert (at_risk.cluster[sets.row][others] != at_risk.cluster[case][others]).all()


def test_sets_are_equal_in_what_is_matched(panel: ls.Panel) -> None:
    at_risk = rows_at_risk(panel, 90, KnownBefore(0, 135), match=["segment"])
    sets = matched_sets(at_risk, seed=0)
    segment = in_order(panel)["segment"].to_numpy()[at_risk.row][sets.row]
    assert (segment == segment[sets.first[:-1]][sets.of]).all()
    assert "segment" not in at_risk.adjusted_for
    with pytest.raises(ls.OptionError, match="segmnt"):
        rows_at_risk(panel, 90, KnownBefore(0, 135), match=["segmnt"])


def test_what_cannot_be_told_is_not_at_risk() -> None:
    told = KnownBefore(100, 30, until=200)
    day, started = np.array([110, 110, 130, 200, 201]), np.array([100, 99, 99, 0, 150])
    assert told.at(day, started).tolist() == [True, False, True, True, False]


def test_chances_and_scores_are_those_of_a_stratified_cox_model(panel: ls.Panel) -> None:
    """The score test of one state equals that of Cox's model, given the adjusters."""
    at_risk = rows_at_risk(panel, 90, KnownBefore(0, 135))
    sets = matched_sets(at_risk, seed=0)
    rng = np.random.default_rng(0)
    state = rng.random((len(at_risk), 3)) < 0.4
    chances = chances_of(sets, at_risk, np.zeros((len(at_risk), 0)))
    np.testing.assert_allclose(sets.sums(chances.chance), 1.0)
    scores = chances.scores(state)
    case = sets.first[:-1]
    # By hand: what the case has beyond its set's mean, less what the adjusters explain.
    x = state[sets.row, 0].astype(float)
    x -= sets.sums(x * chances.chance)[sets.of]
    weighed = chances.Z * chances.chance[:, None]
    x -= chances.Z @ np.linalg.solve(weighed.T @ chances.Z + 1e-9 * np.eye(chances.Z.shape[1]),
                                     weighed.T @ x)  # fmt: skip
    information = (chances.chance * x**2).sum()
    assert scores.z()[0] == pytest.approx(-x[case].sum() / np.sqrt(information), rel=1e-3)


def test_permuted_maxima_are_as_large_as_chance(panel: ls.Panel) -> None:
    """Of one coin-flip candidate, the maximum is a standard normal; of many, larger."""
    at_risk = rows_at_risk(panel, 90, KnownBefore(0, 135))
    sets = matched_sets(at_risk, seed=0)
    states = np.random.default_rng(1).random((len(at_risk), 40)) < 0.5
    chances = chances_of(sets, at_risk, np.zeros((len(at_risk), 0)))
    one = chances.scores(states[:, :1]).permuted_maxima(2000, seed=2)
    assert abs(one.mean()) < 0.1
    assert one.std() == pytest.approx(1.0, abs=0.08)
    many = chances.scores(states).permuted_maxima(500, seed=2)
    # The 95 % point of the largest of 40 independent normals is 3.02.
    assert np.quantile(many, 0.95) == pytest.approx(3.02, abs=0.25)


def test_a_corrected_p_meets_its_critical_value() -> None:
    maxima = np.random.default_rng(0).normal(size=999)
    bar = _critical(maxima, 0.02)
    assert _corrected(np.array([bar]), maxima)[0] <= 0.02
    assert _corrected(np.array([np.nextafter(bar, -1)]), maxima)[0] > 0.02 - 1e-12


def test_the_planted_processes_are_named_and_no_other(found: ls.Discovery) -> None:
    assert {p.behaviors[0] for p in found.processes} == PLANTED
    named = found.frame[found.frame["essential"]]
    assert (named["high"] < 1).all()
    assert (named["hazard_ratio"] <= 0.7).all()
    assert (named["result_low"] > 0).all()
    assert (named["q_value"] <= 0.02).all()
    assert found.cross_fitted
    assert (found.frame.loc[~found.frame["essential"], "verdict"] != "essential").all()


def test_behaviours_without_indicators_of_their_own_are_not_tried(leading: ls.Tables) -> None:
    kept = Behaviors(("reconciliation_completed", "dashboard_viewed"), others=True)
    found = ls.discover_processes(
        leading.with_behaviors(kept), at_least=[4], by_users=[2], within=["45d"], draws=100
    )
    assert {*found.frame["behavior"], *found.tried.left_out} == set(kept.keep)
    names = set(leading.frame("behaviors")["behavior"])
    assert found.tried.not_kept == len(names - set(kept.keep)) > 0
    assert f"{found.tried.not_kept} behaviours of fewer accounts were not tried" in repr(found)


@pytest.mark.parametrize("world", ["disengagement", "slow_decline"])
def test_nothing_is_named_where_nothing_keeps_accounts(
    world: str, nothing_keeps: Callable[[str], ls.Discovery]
) -> None:
    found = nothing_keeps(world)
    assert found.processes == ()
    assert not found.frame["essential"].any()
    with pytest.raises(ls.ModelError, match="no essential process"):
        found.analysis()
    assert "No process is named" in found.to_toml()


def test_what_the_leavers_drop_is_called_so(
    nothing_keeps: Callable[[str], ls.Discovery],
) -> None:
    """Whoever has decided slows at once: the strongest mark of all, and no reason to stay."""
    found = nothing_keeps("disengagement")
    row = found.frame.set_index("behavior").loc["reconciliation_completed"]
    assert row["hazard_ratio"] < 0.3
    assert row["q_value"] < 0.02
    assert row["verdict"] == "dropped by those about to leave"


@pytest.fixture(scope="module")
def with_twin() -> ls.Discovery:
    simulation = ls.simulate(1000, seed=1002, world="twin")
    frames = {name: simulation.tables[name] for name in ("accounts", "behaviors", "results")}
    tables = ls.read_tables(frames, as_of=simulation.as_of, attributes=["segment", "employees"])
    return ls.discover_processes(
        tables, at_least=[2, 4], by_users=[1], within=["45d"], sustained_for=[1]
    )


def test_a_behaviour_always_done_with_another_cannot_be_distinguished(
    with_twin: ls.Discovery,
) -> None:
    frame = with_twin.frame.set_index("behavior")
    twins = {"reconciliation_completed", "reconciliation_approved"}
    (named,) = twins & {p.behaviors[0] for p in with_twin.processes}
    (other,) = twins - {named}
    assert frame.loc[other, "verdict"] == f"cannot be distinguished from {named}"
    assert (frame.loc[named, "twins"], frame.loc[other, "twins"]) == (other, named)
    assert frame.loc[named, "together"] == 1.0
    # Each is compared without the other: both have the same ratio.
    assert frame.loc[other, "hazard_ratio"] == pytest.approx(frame.loc[named, "hazard_ratio"])
    assert set(frame.index[frame["twins"] != ""]) == twins
    (process,) = (p for p in with_twin.processes if p.behaviors == (named,))
    assert f"cannot be distinguished from {other}" in process.why
    assert "only accounts that do one without the other can tell" in repr(with_twin)


def test_what_is_named_is_compared_with_the_other_behaviours(with_twin: ls.Discovery) -> None:
    named = with_twin.frame[with_twin.frame["essential"]]
    assert (named["calibrated_high"] < 1).all()
    assert (named["calibrated_low"] < named["hazard_ratio"]).all()
    others = with_twin.frame.loc[~with_twin.frame["essential"], "calibrated"]
    assert others.isna().all()
    assert repr(with_twin).count("less the bias that the other behaviours show") == 2
    assert any("not checked here but by weigh_evidence" in note for note in with_twin.notes)


def test_a_mark_of_an_unseen_quality_is_not_named() -> None:
    simulation = ls.simulate(1000, seed=1, world="marker")
    frames = {name: simulation.tables[name] for name in ("accounts", "behaviors")}
    tables = ls.read_tables(frames, as_of=simulation.as_of, attributes=["segment", "employees"])
    found = ls.discover_processes(
        tables, at_least=[2, 4], by_users=[1], within=["45d"], sustained_for=[1]
    )
    assert found.processes == ()
    assert not any("weigh_evidence" in note for note in found.notes)


def test_correlations_of_states() -> None:
    rng = np.random.default_rng(0)
    state = rng.random(500) < 0.3
    others = np.column_stack([state, ~state, rng.random((500, 2)) < 0.6])
    found = _correlations(state, others)
    expected = [np.corrcoef(state, other)[0, 1] for other in others.T]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    share = np.column_stack([state, others]).mean(axis=0)
    assert (_highest_correlations(share, 0)[1:] >= found - 1e-12).all()


def test_few_behaviours_are_no_controls(found: ls.Discovery) -> None:
    row = found.frame.iloc[0]
    assert _controls_line(row).startswith("less the bias that the other behaviours show")
    assert _controls_line(row).endswith(")")
    doubtful = row.replace({row["calibrated_high"]: 1.2})
    assert _controls_line(doubtful).endswith("(0.24 to 1.20), so this may be no effect")
    alone = row.replace({row["calibrated"]: np.nan})
    assert _controls_line(alone) == "not compared with control behaviours: fewer than 5 others"


def test_the_block_is_read_back(found: ls.Discovery, tmp_path: Path) -> None:
    path = found.write(tmp_path / "success.toml")
    text = path.read_text(encoding="utf-8")
    assert text.count("[[process]]") == 2
    assert "# leaving: hazard ratio" in text
    assert ls.read_success_analysis(path).processes == found.processes
    assert all(p.adopt_by and p.why for p in found.processes)


def test_the_dictionary_has_the_keys_others_rely_on(found: ls.Discovery) -> None:
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    keys = {"behavior", "at_least", "by_users", "within_days", "sustained_for", "hazard_ratio",
            "low", "high", "q_value", "stability", "essential"}  # fmt: skip
    assert all(keys <= set(row) for row in content["processes"])
    assert len(content["processes"]) == len(found.frame)
    assert found.tried.compared == len(found.grid)


def test_the_picture_and_the_words(found: ls.Discovery, tmp_path: Path) -> None:
    axes = found.plot()
    assert len(axes.get_yticks()) == len(found.frame)
    assert found.draw(tmp_path / "found.png").stat().st_size > 10_000
    assert "essential: " in repr(found)
    assert "<table" in found._repr_html_()
    assert len(found.to_frame()) == 10


def test_the_same_input_gives_the_same_findings(business: ls.Tables) -> None:
    once, again = (
        ls.discover_processes(business, at_least=[2], by_users=[2], within=["45d"], draws=200)
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(once.frame, again.frame)
    assert once.to_toml() == again.to_toml()


def test_few_accounts_carry_the_choice(business: ls.Tables) -> None:
    ticks: list[tuple[int, int]] = []
    found = ls.discover_processes(
        business, at_least=[2, 4], by_users=[2], progress=lambda *at: ticks.append(at)
    )
    assert not found.cross_fitted
    assert any("chosen on the same data" in note for note in found.notes)
    assert ticks[-1][0] == ticks[-1][1]
    assert ticks == sorted(ticks, key=lambda at: at[0])


def test_without_results_they_are_not_asked_for(business_folder: Path) -> None:
    frames = {n: pd.read_csv(business_folder / f"{n}.csv") for n in ("accounts", "behaviors")}
    found = ls.discover_processes(ls.read_tables(frames), at_least=[2, 4], within=["45d"])
    assert found.frame["result_effect"].isna().all()
    assert found.tried.measuring == 0
    assert any("not judged" in note for note in found.notes)
    assert found.to_dict()["processes"][0]["result_effect"] is None


def test_results_are_compared_within_an_account(leading: ls.Tables, panel: ls.Panel) -> None:
    _, accounts, _ = whose(in_order(panel))
    measured = measured_results(leading, panel, accounts, 90)
    assert measured is not None
    means = np.bincount(measured.group, measured.value) / np.bincount(measured.group)
    np.testing.assert_allclose(means, 0, atol=1e-9)
    # The row read lies at least a warning time before the result, and belongs to its account.
    account, _, _ = whose(in_order(panel))
    np.testing.assert_array_equal(account[measured.row], measured.account)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"level": 0.0}, "level"),
        ({"floor": 1.5}, "floor"),
        ({"most": 4}, "most"),
        ({"draws": 10}, "draws"),
        ({"at_least": []}, "at_least"),
        ({"by_users": [0]}, "by_users"),
        ({"sustained_for": [1.5]}, "sustained_for"),
        ({"within": ["a month"]}, "not a duration"),
    ],
)
def test_wrong_options_are_refused(
    business: ls.Tables, options: dict[str, object], problem: str
) -> None:
    with pytest.raises(ls.OptionError, match=problem):
        ls.discover_processes(business, **options)  # type: ignore[arg-type]


def test_no_behaviors_and_no_ends_are_refused() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": ["2024-01-01"]})
    with pytest.raises(ls.OptionError, match="no behaviors"):
        ls.discover_processes(ls.read_tables({"accounts": accounts}, as_of="2025-01-01"))
    behaviors = pd.DataFrame(
        {"account_id": ["a"], "occurred_at": ["2024-02-01"], "behavior": ["x"]}
    )
    tables = ls.read_tables({"accounts": accounts, "behaviors": behaviors}, as_of="2025-01-01")
    with pytest.raises(ls.ModelError, match="only 0 churns"):
        ls.discover_processes(tables)


def test_the_grid_of_definitions() -> None:
    grid = definitions_of(90)
    assert grid.within == (30, 45, 90)
    spans = {c.span for c in grid.of("x", users=True)}
    assert max(spans) <= 135
    assert all(c.by_users <= c.at_least for c in grid.of("x", users=True))
    assert all(c.by_users == 1 for c in grid.of("x", users=False))
    asked = definitions_of(90, [3], [1], ["60d"], [4])
    assert [c.span for c in asked.of("x", users=True)] == [240]
    assert definitions_of(28).within == (9, 14, 28)
    assert isinstance(grid, Definitions)


def test_names_that_the_analysis_takes() -> None:
    assert process_name("Report Exported!") == "report_exported"
    assert process_name("§") == "p_process"


def test_the_command(
    business_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, block, told = (tmp_path / n for n in ("found.png", "found.toml", "found.json"))
    arguments = ["discover", str(business_folder), "--at-least", "4", "2", "--within", "45d", "30d",
                 "--by-users", "2", "--out", str(block), "--picture", str(picture),
                 "--json", str(told)]  # fmt: skip
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    content = json.loads(told.read_text(encoding="utf-8"))
    named = [row for row in content["processes"] if row["essential"]]
    assert picture.exists()
    assert block.exists() == bool(named)
    assert ("written to" in printed) == bool(named)
    if named:
        assert len(ls.read_success_analysis(block).processes) == len(named)


def test_names_are_kept_apart_and_comments_whole(found: ls.Discovery) -> None:
    one = Candidate("A b", 1, 1, 30, 1).as_process()
    assert [p.name for p in _apart([one, one])] == ["a_b", "a_b_2"]
    assert _comments(["told\nin two lines"]) == "# told in two lines"
    assert found.to_toml().startswith("# Discovery in")
