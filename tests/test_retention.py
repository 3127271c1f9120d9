"""Retention by quarter, counted by hand and reconciled."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource


def tables_of(**more: Any) -> ls.Tables:
    """a stays and grows, b shrinks, c churns, d completes, e starts in Q2, f comes and goes."""
    accounts = pd.DataFrame(
        [
            ("a", "2023-01-10", None, None, 100, "x"),
            ("b", "2023-01-20", None, None, 200, "x"),
            ("c", "2023-02-01", "2023-05-05", "price", 300, "y"),
            ("d", "2023-02-01", "2023-06-30", "completed", 400, "y"),
            ("e", "2023-04-15", None, None, 50, "x"),
            ("f", "2023-04-10", "2023-06-10", "price", 70, "y"),
        ],
        columns=["account_id", "started_on", "ended_on", "end_reason", "arr", "kind"],
    )
    changes = pd.DataFrame(
        [
            ("a", "2023-04-01", "expansion", 30),  # on the first day of Q2: inside it
            ("a", "2023-05-01", "reduction", -10),
            ("b", "2023-06-30", "reduction", -50),
            ("e", "2023-05-01", "expansion", 5),
        ],
        columns=["account_id", "changed_at", "kind", "arr_delta"],
    )
    project = Project(
        not_churn=("completed",), tables={"accounts": TableSource(attributes=("kind",))}
    )
    return ls.read_tables(
        {"accounts": accounts, "contract_changes": changes}, project=project, as_of="2023-10-01"
    )


def test_a_quarter_by_hand() -> None:
    second = ls.churn.retention_table(tables_of()).total().iloc[1]
    # There on 1 April: a, b, c, d = 100 + 200 + 300 + 400. c churned, d completed.
    assert (second["accounts"], second["stayed"], second["new"]) == (4, 2, 1)
    assert (second["churned"], second["other_ended"], second["came_and_went"]) == (1, 1, 1)
    assert second["opening_arr"] == 1000
    assert second["expansion_arr"] == 20  # a: 30 - 10, net over the quarter
    assert second["reduction_arr"] == 50
    assert (second["churned_arr"], second["other_ended_arr"]) == (300, 400)
    assert second["new_arr"] == 55  # e with its expansion
    assert second["closing_arr"] == 120 + 150 + 55
    assert second["logo"] == 0.5
    assert second["gross"] == pytest.approx((1000 - 300 - 400 - 50) / 1000)
    assert second["net"] == pytest.approx((1000 - 300 - 400 - 50 + 20) / 1000)


def test_cohorts_by_attribute_and_by_start() -> None:
    by_kind = ls.churn.retention_table(tables_of(), by="kind").frame.set_index(["cohort", "period"])
    assert by_kind["logo"].xs(("y", pd.Period("2023Q2"))) == 0
    assert by_kind["logo"].xs(("x", pd.Period("2023Q2"))) == 1
    by_start = ls.churn.retention_table(tables_of()).frame
    assert set(by_start["cohort"]) == {"2023Q1", "2023Q2"}


@pytest.mark.parametrize("by", ["start_quarter", "segment"])
@pytest.mark.parametrize("every", ["month", "quarter", "year"])
@pytest.mark.parametrize("unit", ["account", "customer"])
def test_movements_reconcile(business: ls.Tables, by: str, every: str, unit: str) -> None:
    total = ls.churn.retention_table(business, by=by, every=every, unit=unit).total()
    moved = (
        total["opening_arr"] + total["new_arr"] + total["reactivated_arr"]
        + total["expansion_arr"] - total["reduction_arr"]
        - total["churned_arr"] - total["other_ended_arr"]
    )  # fmt: skip
    pd.testing.assert_series_equal(moved, total["closing_arr"], check_names=False)
    opening, closing = total["opening_arr"].iloc[1:], total["closing_arr"].iloc[:-1]
    assert opening.to_list() == pytest.approx(closing.to_list())
    assert (total["gross"] <= total["net"] + 1e-12).all()
    assert total["logo"].between(0, 1).all()


def returning() -> ls.Tables:
    """One customer: a ends, b starts later; c runs beside b, and its end is a reduction."""
    accounts = pd.DataFrame(
        [
            ("a", "K", "2022-03-01", "2022-11-10", 100),
            ("b", "K", "2023-02-15", None, 70),
            ("c", "K", "2023-03-01", "2023-08-01", 20),
            ("d", None, "2022-01-01", None, 10),
        ],
        columns=["account_id", "customer_id", "started_on", "ended_on", "arr"],
    )
    return ls.read_tables({"accounts": accounts}, as_of="2024-01-02")


def row_of(total: pd.DataFrame, period: str) -> Any:
    return total[total["period"].astype(str) == period].iloc[0]


def test_a_customer_that_returns_is_reactivated() -> None:
    by_account = ls.churn.retention_table(returning()).total()
    first = row_of(by_account, "2023Q1")
    # b comes after a had ended; c comes while b is there, but a had ended before as well as b: no.
    assert (first["reactivated"], first["reactivated_arr"]) == (1, 70)
    assert (first["new"], first["new_arr"]) == (1, 20)
    by_customer = ls.churn.retention_table(returning(), unit="customer").total()
    first = row_of(by_customer, "2023Q1")
    assert (first["reactivated"], first["reactivated_arr"], first["new"]) == (1, 90, 0)
    third = row_of(by_customer, "2023Q3")
    assert (third["accounts"], third["churned"]) == (2, 0)
    assert third["reduction_arr"] == 20
    assert row_of(by_customer, "2022Q4")["churned_arr"] == 100


def test_years_by_hand() -> None:
    found = ls.churn.retention_table(returning(), every="year", unit="customer")
    year = row_of(found.total(), "2023")
    # K was away on 31 December 2022: only d was there.
    assert (year["opening_arr"], year["reactivated_arr"], year["closing_arr"]) == (10, 70, 80)
    assert "over all, the last years" in repr(found)
    assert "1 customers" in repr(found)


def test_a_trailing_year_by_hand() -> None:
    """K's accounts and d from the end of April 2022, month by month, a year later."""
    found = ls.churn.retention_table(returning(), every="month", over=12)
    april = row_of(found.total(), "2023-04")
    # There on 30 April 2022: a 100 and d 10. a left in November; b 70 and c 20 came.
    assert (april["accounts"], april["churned"], april["opening_arr"]) == (2, 1, 110)
    assert (april["churned_arr"], april["closing_arr"]) == (100, 100)
    assert april["gross"] == april["net"] == pytest.approx(10 / 110)
    assert "over the 12 months until then; over all, the last months" in repr(found)
    assert found.to_dict()["over"] == 12


@pytest.mark.parametrize("unit", ["account", "customer"])
def test_a_trailing_year_that_ends_in_december_is_the_calendar_year(
    business: ls.Tables, unit: str
) -> None:
    trailing = ls.churn.retention_table(business, every="month", unit=unit, over=12).total()
    years = ls.churn.retention_table(business, every="year", unit=unit).total()
    for _, year in years.iterrows():
        same = row_of(trailing, f"{year['period']}-12")
        pd.testing.assert_series_equal(
            same.drop("period"), year.drop("period"), check_names=False, check_dtype=False
        )
    assert len(years) > 0


def test_what_is_not_there_is_refused(business: ls.Tables) -> None:
    with pytest.raises(ls.OptionError, match="by = 'colour' is not an attribute"):
        ls.churn.retention_table(business, by="colour")
    with pytest.raises(ls.OptionError, match="every = 'quater' is not allowed"):
        ls.churn.retention_table(business, every="quater")
    with pytest.raises(ls.OptionError, match="no complete calendar quarter"):
        ls.churn.retention_table(tables_of().as_of("2023-02-20"))
    with pytest.raises(ls.OptionError, match="fewer than 12 whole months"):
        ls.churn.retention_table(tables_of(), every="month", over=12)
    with pytest.raises(ls.OptionError, match="over = 0 is not allowed"):
        ls.churn.retention_table(tables_of(), over=0)


def test_it_prints_and_becomes_json() -> None:
    table = ls.churn.retention_table(tables_of())
    assert "2023Q2: 4 accounts, logo 50.0 %" in repr(table)
    assert table.to_dict()["rows"][0]["period"] == "2023Q1"
    assert "<table" in table._repr_html_()
    assert len(table.to_frame()) == len(table.frame)
