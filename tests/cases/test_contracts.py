"""Accounts and contract changes from contracts, by hand and beside a slow derivation."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from contract_rows import BEGIN, Row, accounts_on, changes_on, days, random_contracts
from leadsignal.cli import main
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource

AS_OF = date(2025, 6, 1)
COMPARED = ("started_on", "ended_on", "end_known_on", "arr", "term_months", "plan", "customer_id")


def read(rows: list[Row], **options: Any) -> ls.Tables:
    return ls.read_tables({"contracts": pd.DataFrame(rows, dtype=object)}, as_of=AS_OF, **options)


def plain(value: Any) -> Any:
    if value is None or pd.isna(value):
        return None
    return value.date() if isinstance(value, pd.Timestamp) else value


def found_accounts(tables: ls.Tables) -> dict[str, Row]:
    frame = tables.frame("accounts")
    return {
        row["account_id"]: {name: plain(row[name]) for name in COMPARED}
        for row in frame.to_dict("records")
    }


def found_changes(tables: ls.Tables) -> Counter[tuple[Any, ...]]:
    if "contract_changes" not in tables.names:
        return Counter()
    names = ["account_id", "changed_at", "kind", "arr_delta", "term_months"]
    rows = tables.frame("contract_changes")[names].to_dict("records")
    return Counter(tuple(plain(row[name]) for name in names) for row in rows)


def by_day(changes: Counter[tuple[Any, ...]]) -> dict[tuple[Any, ...], float]:
    """The change of ARR of each account and day, where it is not zero."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for (account, day, _, delta, _), times in changes.items():
        sums[account, day] += delta * times
    return {key: value for key, value in sums.items() if value}


@pytest.mark.parametrize("seed", range(60))
def test_as_of_is_what_the_contracts_known_by_then_give(seed: int) -> None:
    rows = random_contracts(seed)
    tables = read(rows)
    for step in range(5, 800, 47):
        t = BEGIN + days(step)
        cut = tables.as_of(t)
        accounts = accounts_on(rows, t)
        assert found_accounts(cut) == accounts, t
        found, expected = found_changes(cut), changes_on(rows, t)
        if seed % 2:
            mine = {key: v for key, v in by_day(found).items() if key[0] in accounts}
            assert mine == by_day(expected), t
        else:
            assert found == expected, t


# Counted by hand ----------------------------------------------------------------------------------


def listed(text: str) -> pd.DataFrame:
    """A table written as lines of cells; "-" is an empty cell."""
    head, *rows = (line.split() for line in text.strip().splitlines())
    return pd.DataFrame(rows, columns=head).replace("-", None)


def lives(tables: ls.Tables) -> dict[str, tuple[str, str]]:
    """Start and end of each account, as texts."""
    frame = tables.frame("accounts").set_index("account_id")
    days = frame[["started_on", "ended_on"]].apply(lambda day: day.dt.strftime("%Y-%m-%d"))
    return {
        str(account): (row["started_on"], "" if pd.isna(row["ended_on"]) else row["ended_on"])
        for account, row in days.iterrows()
    }


def remarks(tables: ls.Tables) -> list[str]:
    return [str(warning) for warning in tables.warnings]


OPEN = """
customer from       to
A        2023-01-01 2023-03-01
A        2023-03-20 -
B        2023-01-01 -
B        2023-02-01 2023-05-01
C        2023-01-01 2023-04-01
"""


def test_a_customer_with_an_open_contract_is_a_customer(tmp_path: Path) -> None:
    listed(OPEN).to_csv(tmp_path / "contracts.csv", index=False)
    columns = 'columns = { account_id = "customer", started_on = "from", ended_on = "to" }'
    (tmp_path / "leadsignal.toml").write_text(f"[tables.contracts]\n{columns}\n")
    tables = ls.read_tables(tmp_path)
    assert tables.as_of_date == date(2023, 5, 2)
    assert lives(tables) == {
        "A": ("2023-01-01", ""),
        "B": ("2023-01-01", ""),
        "C": ("2023-01-01", "2023-04-01"),
    }
    with (tmp_path / "leadsignal.toml").open("a") as file:
        file.write('gap = "2w"\n')
    assert lives(ls.read_tables(tmp_path)) == {
        "A": ("2023-01-01", "2023-03-01"),
        "A/2": ("2023-03-20", ""),
        "B": ("2023-01-01", ""),
        "C": ("2023-01-01", "2023-04-01"),
    }


def test_trials_are_not_paid_and_their_rows_are_left_out() -> None:
    contracts = listed("""
        account_id started_on trial_ends_on ended_on   cancelled_on
        paid       2023-01-01 2023-01-15    -          -
        tried      2023-01-01 2023-01-15    2023-01-15 -
        gave_up    2023-01-01 2023-01-15    -          2023-01-08
        withdrawn  2023-02-01 -             -          2023-01-20
        direct     2023-01-01 -             2023-09-01 2023-07-01
        """)
    behaviors = listed("""
        account_id occurred_at behavior
        paid       2023-01-03  export
        paid       2023-02-03  export
        tried      2023-01-03  export
        """)
    tables = ls.read_tables({"contracts": contracts, "behaviors": behaviors}, as_of="2024-01-01")
    assert lives(tables) == {"paid": ("2023-01-15", ""), "direct": ("2023-01-01", "2023-09-01")}
    assert tables.frame("accounts")["end_known_on"].dt.strftime("%F").tolist()[0] == "2023-07-01"
    assert tables.frame("behaviors")["occurred_at"].dt.strftime("%F").tolist() == ["2023-02-03"]
    assert remarks(tables)[:3] == [
        "contracts: 3 contracts of 3 accounts ended in the trial or were cancelled before they "
        "began: not counted as paid",
        "behaviors: 1 row of 1 account without a paid contract: left out",
        "behaviors: 1 row left out: 1 before the account's start, 0 after its end. To treat them "
        'as faults, set outside = "fault" under [tables.behaviors]',
    ]


UPGRADES = """
account_id started_on ended_on   arr plan  term_months
A          2023-01-01 2023-06-10 100 basic 12
A          2023-06-11 2024-06-11 150 pro   12
A          2023-09-01 2023-12-01 40  seats -
A          2024-06-11 -          150 pro   24
"""


def test_changes_are_differences_between_contracts() -> None:
    """100; 150 from 11 June; 190 from 1 September; 150 again from 1 December; renewed in June."""
    tables = ls.read_tables({"contracts": listed(UPGRADES)}, as_of="2024-09-01")
    assert lives(tables) == {"A": ("2023-01-01", "")}
    account = tables.frame("accounts").iloc[0]
    assert (account["arr"], account["term_months"], account["plan"]) == (100, 12, "basic")
    changes = tables.frame("contract_changes")
    rows = changes[["changed_at", "kind", "arr_delta", "term_months"]].assign(
        changed_at=changes["changed_at"].dt.strftime("%F")
    )
    assert [tuple(None if pd.isna(v) else v for v in row) for row in rows.to_numpy()] == [
        ("2023-06-11", "expansion", 50, None),
        ("2023-06-11", "plan change", 0, None),
        ("2023-06-11", "renewal", 0, 12),
        ("2023-09-01", "expansion", 40, None),
        ("2023-12-01", "reduction", -40, None),
        ("2024-06-11", "renewal", 0, 24),
    ]
    panel = ls.build_panel(tables).frame
    last = panel[panel["snapshot_on"] == panel["snapshot_on"].max()].iloc[0]
    assert last["term_months"] == 24
    renews_on = last["snapshot_on"] + pd.Timedelta(days=last["days_to_renewal"])
    assert renews_on == pd.Timestamp("2026-06-11")
    assert last["arr"] == 150


def test_rows_of_a_customer_who_returned_belong_to_the_stay_of_their_day() -> None:
    contracts = listed("""
        account_id started_on ended_on
        A          2022-01-01 2023-01-01
        A          2023-06-01 2024-01-01
        B          2022-01-01 -
        """)
    tickets = listed("""
        account_id opened_at
        A          2022-05-01
        A          2023-03-01
        A          2023-06-01
        A          2023-07-01
        B          2023-07-01
        """)
    tables = ls.read_tables({"contracts": contracts, "tickets": tickets}, as_of="2024-06-01")
    accounts = tables.frame("accounts")
    assert accounts[["account_id", "customer_id"]].to_numpy().tolist() == [
        ["A", "A"],
        ["A/2", "A"],
        ["B", "B"],
    ]
    assert tables.frame("tickets")["account_id"].tolist() == ["A", "A/2", "A/2", "B"]
    assert "tickets: 1 row left out: 0 before the account's start, 1 after" in remarks(tables)[0]
    retention = ls.churn.retention_table(tables, every="year").total().set_index("period")
    assert [retention[name]["2023"] for name in ("accounts", "churned")] == [2, 1]


def test_a_planned_end_is_no_churn_and_no_fact() -> None:
    soon = (pd.Timestamp.now().normalize() + pd.Timedelta(days=40)).strftime("%F")
    contracts = listed(f"""
        account_id started_on ended_on
        A          2023-01-01 {soon}
        B          2023-02-01 2023-05-03
        """)
    tables = ls.read_tables({"contracts": contracts})
    assert tables.as_of_date == date(2023, 5, 4)
    assert lives(tables) == {"A": ("2023-01-01", ""), "B": ("2023-02-01", "2023-05-03")}


def test_amounts_are_brought_to_a_year() -> None:
    contracts = listed("""
        account_id started_on arr mrr amount period
        a          2023-01-01 600 10  1      month
        b          2023-01-01 -   10  1      month
        c          2023-01-01 -   -   30     quarterly
        d          2023-01-01 -   -   60     6_months
        e          2023-01-01 -   -   5      -
        """).replace("6_months", "6 months")
    project = Project(tables={"contracts": TableSource(period="month")})
    tables = ls.read_tables({"contracts": contracts}, project=project, as_of="2024-01-01")
    assert tables.frame("accounts")["arr"].tolist() == [600, 120, 120, 120, 60]
    faults = ls.check_tables({"contracts": contracts}).faults
    assert [(fault.line, fault.problem) for fault in faults] == [
        (5, "nothing says what period the amount is for")
    ]
    faults = ls.check_tables({"contracts": contracts.replace("quarterly", "fortnight")}).faults
    assert (faults[1].column, faults[1].value) == ("period", None)
    assert faults[1].problem == "is not a period"


def test_reversed_contracts_are_faults_and_empty_ones_an_account_of_zero_days() -> None:
    contracts = listed("""
        account_id started_on ended_on   arr
        a          2023-05-01 2023-04-01 5
        b          2023-05-01 2023-05-01 7
        c          2023-05-01 2023-05-01 7
        c          2023-05-01 -          9
        """)
    (fault,) = ls.check_tables({"contracts": contracts}).faults
    assert (fault.line, fault.problem) == (1, "is before started_on")
    tables = ls.read_tables({"contracts": contracts.iloc[1:]}, as_of="2024-01-01")
    assert lives(tables) == {"b": ("2023-05-01", "2023-05-01"), "c": ("2023-05-01", "")}
    assert tables.frame("accounts")["arr"].tolist() == [7, 9]
    assert [one.kind for one in tables.warnings] == ["zero_days"]


def test_versions_are_resolved() -> None:
    """The end of s3 was recorded in August 2022 only, that of s4 never."""
    contracts = listed("""
        contract_id account_id started_on ended_on   recorded_at
        s3          A          2019-02-11 -          2019-02-11
        s3          A          2019-02-11 2022-03-01 2022-08-11
        s4          B          2019-02-13 -          2022-07-20
        """)
    tables = ls.read_tables({"contracts": contracts})
    assert tables.as_of_date == date(2022, 8, 12)
    assert lives(tables) == {"A": ("2019-02-11", "2022-03-01"), "B": ("2019-02-13", "")}
    assert lives(tables.as_of("2022-08-11")) == {"A": ("2019-02-11", ""), "B": ("2019-02-13", "")}
    assert lives(tables.as_of("2022-07-20")) == {"A": ("2019-02-11", "")}
    assert (
        "1 account recorded only on or after 2022-07-20" in tables.as_of("2022-07-20").hidden_line()
    )


def test_closing_arr_is_the_sum_over_the_contracts_of_the_day() -> None:
    contracts = listed("""
        account_id started_on ended_on   arr
        X          2023-01-15 2024-04-01 1200
        Y          2024-04-01 -          600
        Z          2023-01-15 2024-04-01 100
        Z          2024-04-01 2024-07-01 130
        """)
    tables = ls.read_tables({"contracts": contracts}, as_of="2024-10-05")
    total = ls.churn.retention_table(tables).total().set_index("period")
    assert total["closing_arr"].to_dict() == {
        pd.Period("2023Q1"): 1300, pd.Period("2023Q2"): 1300, pd.Period("2023Q3"): 1300,
        pd.Period("2023Q4"): 1300, pd.Period("2024Q1"): 1300, pd.Period("2024Q2"): 730,
        pd.Period("2024Q3"): 600,
    }  # fmt: skip
    moved = [total[f"{name}_arr"]["2024Q2"] for name in ("new", "expansion", "churned")]
    assert moved == [600, 30, 1200]


# Beside accounts ----------------------------------------------------------------------------------


def test_accounts_without_dates_give_names_and_attributes() -> None:
    accounts = listed("""
        account_id name   segment end_reason
        A          Apex   large   price
        B          Bolt   small   -
        N          Nobody small   -
        """)
    contracts = listed("""
        account_id started_on ended_on
        A          2022-01-01 2022-06-01
        A          2023-01-01 2023-08-01
        B          2022-01-01 -
        D          2022-01-01 -
        """)
    tickets = listed("account_id opened_at\nN 2022-03-01\nB 2022-03-01")
    frames = {"accounts": accounts, "contracts": contracts, "tickets": tickets}
    tables = ls.read_tables(frames, as_of="2024-01-01", attributes=["segment"])
    found = tables.frame("accounts")[["account_id", "name", "segment", "end_reason"]]
    assert [tuple(None if pd.isna(v) else v for v in row) for row in found.to_numpy()] == [
        ("A", "Apex", "large", None),
        ("A/2", "Apex", "large", "price"),
        ("B", "Bolt", "small", None),
        ("D", None, None, None),
    ]
    assert remarks(tables)[:4] == [
        "accounts: no started_on and ended_on here: accounts start and end by their contracts",
        "accounts: 1 account without a paid contract: left out",
        "accounts: 1 account of contracts not listed here: added",
        "tickets: 1 row of 1 account without a paid contract: left out",
    ]


def test_accounts_with_dates_are_compared_with_contracts() -> None:
    accounts = listed("""
        account_id started_on ended_on   arr
        same       2022-01-01 2023-01-10 100
        without    2022-01-01 -          100
        late       2022-03-01 -          100
        longer     2022-01-01 2023-06-01 100
        gone       2022-01-01 2023-01-01 100
        here       2022-01-01 -          100
        dear       2022-01-01 -          120
        """)
    contracts = listed("""
        account_id started_on ended_on   cancelled_on arr term_months
        same       2022-01-01 2023-01-01 2022-12-01   100 12
        late       2022-01-01 -          -            100 12
        longer     2022-01-01 2023-01-01 -            100 12
        gone       2022-01-01 -          -            100 12
        here       2022-01-01 2022-07-01 -            100 12
        dear       2022-01-01 -          -            100 12
        unknown    2022-01-01 -          -            100 12
        """)
    frames = {"accounts": accounts, "contracts": contracts}
    tables = ls.read_tables(frames, as_of="2024-01-01")
    assert remarks(tables)[0] == (
        "contracts: 1 account without a paid contract; 1 account of contracts not listed in "
        "accounts: left out; 1 account started more than 30 days before or after the first "
        "contract; 1 account ended more than 30 days before or after the last contract; 1 account "
        "ended, but with an open contract; 1 account active, but without an open contract; 1 "
        "account with another ARR at the start than the contracts of that day. Start, end and ARR "
        "are those of accounts"
    )
    found = tables.frame("accounts").set_index("account_id")
    assert found.loc["same", "ended_on"] == pd.Timestamp("2023-01-10")
    assert found.loc["same", "end_known_on"] == pd.Timestamp("2022-12-01")
    assert found.loc["dear", "arr"] == 120
    assert found["term_months"].count() == 6


# What must not matter -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_order_of_rows_and_names_do_not_matter(seed: int) -> None:
    rows = random_contracts(seed)
    expected = found_accounts(read(rows)), found_changes(read(rows))
    new = dict(zip("abcd", ["zz", "a9", "m", "0"], strict=True))
    old = {name: account for account, name in new.items()}
    renamed = [
        {**r, "account_id": new[r["account_id"]], "contract_id": f"{len(rows) - k}x"}
        if "recorded_at" not in r
        else {**r, "account_id": new[r["account_id"]], "contract_id": f"x{r['contract_id']}"}
        for k, r in enumerate(reversed(rows))
    ]
    tables = read(renamed)

    def back(account: str) -> str:
        name, sign, stay = account.partition("/")
        return old[name] + sign + stay

    accounts = {
        back(account): {**row, "customer_id": old[row["customer_id"]]}
        for account, row in found_accounts(tables).items()
    }
    changes = Counter({(back(k[0]), *k[1:]): n for k, n in found_changes(tables).items()})
    assert (accounts, changes) == expected


def a_business() -> pd.DataFrame:
    """Yearly contracts that follow each other without a gap; one in four ends early."""
    rng, rows = np.random.default_rng(4), []
    for k in range(120):
        start, plan = pd.Timestamp("2020-01-06") + pd.Timedelta(days=7 * k), "ab"[k % 2]
        while start < pd.Timestamp("2024-01-01"):
            early = rng.random() < (0.4 if plan == "a" else 0.1)
            end = start + pd.Timedelta(days=int(rng.integers(30, 300)) if early else 365)
            over = end < pd.Timestamp("2024-01-01")
            rows.append((f"k{k}", start, end if over else pd.NaT, 100 + 10 * (k % 7), plan, 12))
            if early or not over:
                break
            start = end
    names = ["account_id", "started_on", "ended_on", "arr", "plan", "term_months"]
    return pd.DataFrame(rows, columns=names)


def test_a_billing_export_alone_gives_what_its_accounts_would() -> None:
    contracts = a_business()
    alone = ls.read_tables({"contracts": contracts}, as_of="2024-01-01")
    by_account = contracts.groupby("account_id")
    accounts = by_account.first().drop(columns="ended_on").reset_index()
    accounts["ended_on"] = by_account["ended_on"].agg(lambda ends: ends.iloc[-1]).to_numpy()
    following = contracts[by_account.cumcount() > 0]
    changes = following[["account_id", "started_on", "term_months"]].assign(
        kind="renewal", arr_delta=0
    )
    frames = {
        "accounts": accounts,
        "contract_changes": changes.rename(columns={"started_on": "changed_at"}),
    }
    project = Project(tables={"contract_changes": TableSource(complete_from=date(2020, 1, 6))})
    whole = ls.read_tables(frames, as_of="2024-01-01", attributes=["plan", "arr"], project=project)
    found, expected = (
        ls.build_panel(tables).frame.drop(columns="customer_id") for tables in (alone, whole)
    )
    pd.testing.assert_frame_equal(found, expected)
    assert {"plan", "arr_now", "days_to_renewal"} <= set(found)


def test_a_billing_export_alone_is_enough_for_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_business().to_csv(tmp_path / "contracts.csv", index=False)
    (tmp_path / "leadsignal.toml").write_text("[project]\nas_of = 2024-01-01\n")
    folder, model = str(tmp_path), str(tmp_path / "model")
    assert main(["check", folder]) == 0
    assert "derived: accounts 120 rows, contract_changes 189 rows" in capsys.readouterr().out
    assert main(["compare", folder, "--by", "plan", "--quiet"]) == 0
    assert main(["fit", folder, "--out", model, "--estimator", "logistic", "--quiet"]) == 0
    scores = tmp_path / "scores"
    assert main(["score", folder, "--model", model, "--out", str(scores), "--quiet"]) == 0
    active = sum(pd.isna(a_business().groupby("account_id")["ended_on"].agg(lambda e: e.iloc[-1])))
    assert len(pd.read_parquet(scores)) == active


def test_states_that_do_not_go_with_what_contracts_count_as_are_noted() -> None:
    contracts = listed("""
        account_id started_on ended_on   status
        a          2023-01-01 -          canceled
        b          2023-01-01 2023-05-01 canceled
        c          2023-01-01 -          trialing
        d          2023-01-01 -          active
        """)
    tables = ls.read_tables({"contracts": contracts}, as_of="2024-01-01")
    assert remarks(tables)[:2] == [
        "contracts: 1 contract with status 'canceled' but without an end: counted as open until "
        "ended_on is given",
        "contracts: 1 contract with status 'trialing', counted as paid. To leave them out, "
        "list the others in where",
    ]


def test_spark_refuses_contracts() -> None:
    from leadsignal.engine.recipe import misnamed

    (fault, _) = misnamed({"contracts"}, "Spark")
    assert (fault.table, fault.problem) == ("contracts", "is not read from Spark")


def test_without_a_column_of_ends_all_are_customers_and_a_warning_says_so() -> None:
    contracts = listed("account_id started_on\na 2023-01-01\nb 2023-02-01")
    tables = ls.read_tables({"contracts": contracts}, as_of="2024-01-01")
    assert lives(tables) == {"a": ("2023-01-01", ""), "b": ("2023-02-01", "")}
    assert [one.kind for one in tables.warnings] == ["no_ends"]


def test_faults_of_contracts_name_the_row_and_bad_rows_can_be_dropped() -> None:
    contracts = listed("""
        account_id started_on ended_on
        a          2023-01-01 2023-03-01
        b          2023-02-30 -
        """)
    behaviors = listed("account_id occurred_at behavior\na 2023-02-01 x\nb 2023-02-01 x")
    frames = {"contracts": contracts, "behaviors": behaviors}
    (fault,) = ls.check_tables(frames).faults
    assert (fault.table, fault.line, fault.column) == ("contracts", 2, "started_on")
    tables = ls.read_tables(frames, drop_bad_rows=True, as_of="2024-01-01")
    assert lives(tables) == {"a": ("2023-01-01", "2023-03-01")}
    assert dict(tables.dropped_rows) == {"contracts": 1, "behaviors": 1}
    nobody = ls.check_tables({"contracts": contracts.iloc[:0]}).faults
    assert [fault.problem for fault in nobody] == ["no contract was ever paid"]


def test_a_customer_called_like_a_return_is_a_fault() -> None:
    contracts = listed("""
        account_id started_on ended_on
        a          2022-01-01 2022-03-01
        a          2023-01-01 -
        a/2        2022-01-01 -
        """)
    (fault,) = ls.check_tables({"contracts": contracts}).faults
    assert (fault.column, fault.value) == ("account_id", "a/2")
