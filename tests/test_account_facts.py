"""Names, owners, ARR and next renewals: shown where the tables have them, hidden on request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.accounts import account_names, shown_name
from leadsignal.report import report_page, review_page, summarise
from leadsignal.scoring import read_scores

NAMES: dict[int, str] = {0: "=HYPERLINK(1)", 1: "NA", 2: "Größe & Söhne <b>", 3: "00123", 4: ""}


@pytest.fixture(scope="module")
def named(business_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ls.Tables:
    """The business with names and owners, some of them awkward."""
    folder = tmp_path_factory.mktemp("named")
    copytree(business_folder, folder, dirs_exist_ok=True)
    accounts = pd.read_csv(folder / "accounts.csv", dtype=str, keep_default_na=False)
    numbers = np.arange(len(accounts))
    accounts["name"] = [NAMES.get(int(number) % 40, f"Company {number:03}") for number in numbers]
    accounts["owner"] = np.where(numbers % 2, "Ana Lima", "Jo Wu")
    accounts.to_csv(folder / "accounts.csv", index=False)
    return ls.read_tables(folder)


@pytest.fixture(scope="module")
def scores(named: ls.Tables, business_model: ls.ChurnModel) -> ls.Scores:
    return ls.score_accounts(business_model, named)


def test_scores_repeat_the_names_of_accounts(named: ls.Tables, scores: ls.Scores) -> None:
    accounts = named.frame("accounts").set_index("account_id")
    expected = accounts.loc[scores.frame["account_id"], ["name", "owner"]].fillna("")
    assert scores.frame[["name", "owner"]].to_numpy().tolist() == expected.to_numpy().tolist()
    assert list(scores.frame.columns[:4]) == ["account_id", "name", "owner", "snapshot_on"]
    assert (scores.frame["name"] == "").any()


def test_revenue_is_that_of_the_day(named: ls.Tables, scores: ls.Scores) -> None:
    first = named.frame("accounts").set_index("account_id")["arr"].astype(float)
    changed = named.frame("contract_changes").groupby("account_id")["arr_delta"].sum()
    expected = first.add(changed.astype(float), fill_value=0)[scores.frame["account_id"]]
    np.testing.assert_allclose(scores.frame["arr"], expected, atol=0.005)
    loss = scores.frame["risk"] * scores.frame["arr"]
    np.testing.assert_allclose(scores.frame["expected_arr_loss"], loss)


def test_the_next_renewal_is_whole_terms_after_the_start_or_the_last_renewal(
    named: ls.Tables, scores: ls.Scores
) -> None:
    accounts = named.frame("accounts").set_index("account_id")
    renewals = named.frame("contract_changes").query("kind == 'renewal'")
    as_of = pd.Timestamp(named.as_of_date)
    for row in scores.frame.head(60).itertuples():
        account = accounts.loc[row.account_id]
        mine = renewals[renewals["account_id"] == row.account_id].sort_values("changed_at")
        terms = mine["term_months"].dropna() if len(mine) else mine["term_months"]
        months = int(terms.iloc[-1]) if len(terms) else int(account["term_months"])
        begin = mine["changed_at"].iloc[-1] if len(mine) else account["started_on"]
        steps = range(400)
        days = (pd.Timestamp(str(begin)) + pd.DateOffset(months=months * step) for step in steps)
        assert row.next_renewal == next(day for day in days if day >= as_of)


def test_a_file_of_scores_comes_back_as_it_was_written(scores: ls.Scores, tmp_path: Path) -> None:
    for ending in (".csv", ".parquet"):
        scores.write(tmp_path / f"scores{ending}")
        back = read_scores(tmp_path / f"scores{ending}")
        pd.testing.assert_frame_equal(
            back[["account_id", "name", "owner", "next_renewal"]],
            scores.frame[["account_id", "name", "owner", "next_renewal"]],
            check_dtype=False,
        )
    text = (tmp_path / "scores.csv").read_text(encoding="utf-8")
    assert "'=HYPERLINK" in text
    assert ",=HYPERLINK" not in text


def test_lists_say_the_name_and_the_id(named: ls.Tables, scores: ls.Scores) -> None:
    first = scores.frame.iloc[0]
    assert shown_name(first["account_id"], first["name"]) in repr(scores)
    review = ls.review_account(named, first["account_id"])
    assert review.title == shown_name(first["account_id"], first["name"])
    assert first["owner"] in review_page(review)
    labels = [label.get_text() for label in scores.plot(accounts=5).get_yticklabels()]
    expected = scores.frame.head(5)
    assert labels == [n or a for n, a in zip(expected["name"], expected["account_id"], strict=True)]


def test_ids_alone_where_people_are_to_be_hidden(
    named: ls.Tables, business_model: ls.ChurnModel, tmp_path: Path
) -> None:
    hidden = replace(named, project=named.project.replace(people="ids"))
    scores = ls.score_accounts(business_model, hidden)
    assert account_names(hidden).columns.empty
    assert {"name", "owner"}.isdisjoint(scores.frame.columns)
    scores.write(tmp_path / "scores.csv")
    review = ls.review_account(hidden, scores.frame["account_id"].iloc[0])
    texts = [(tmp_path / "scores.csv").read_text("utf-8"), repr(scores), review_page(review)]
    for text in texts:
        assert "Company" not in text
        assert "Ana Lima" not in text
    with pytest.raises(ls.OptionError, match="Did you mean 'ids'"):
        named.project.replace(people="id")


def test_a_report_names_accounts_with_owner_and_renewal(
    scores: ls.Scores, business_panel: ls.Panel
) -> None:
    page = report_page(summarise(business_panel, scores=scores))
    first = scores.frame.iloc[0]
    assert f'{first["name"]} <span class="id small soft">{first["account_id"]}</span>' in page
    assert '<th scope="col">Owner</th>' in page
    assert '<th scope="col">Next renewal</th>' in page
    assert "<b>" not in page.split("Größe &amp; Söhne ")[1][:20]
