"""A proposed project file: what is recognised, what is asked, and that it is TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.cli import main
from leadsignal.proposals import ProjectProposal, propose_project
from leadsignal.proposals.table_proposal import TableProposal

ACCOUNTS = "Kundennummer;Firma;Vertragsbeginn;Vertragsende;Branche\n" + "".join(
    f"00{100 + n};Firma {n};{1 + n % 28:02}.03.2022;{'01.05.2023' if n % 3 == 0 else ''};"
    f"{'Bau' if n % 2 else 'Handel'}\n"
    for n in range(40)
)
EVENTS = "when,what,company\n" + "".join(
    f"2022-0{4 + n % 5}-1{n % 9} 08:30:00,{'report' if n % 2 else 'export'},{100 + n % 40}\n"
    for n in range(200)
)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def of(proposal: ProjectProposal, table: str) -> TableProposal:
    return next(one for one in proposal.tables if one.table == table)


def test_files_of_an_unknown_system_are_recognised_by_names_and_contents(tmp_path: Path) -> None:
    write(tmp_path, kunden=ACCOUNTS, activity=EVENTS)
    proposal = propose_project(tmp_path)
    accounts, events = of(proposal, "accounts"), of(proposal, "behaviors")
    assert {one.column: one.header for one in accounts.columns} == {
        "account_id": "Kundennummer",
        "name": "Firma",
        "started_on": "Vertragsbeginn",
        "ended_on": "Vertragsende",
    }
    assert dict(accounts.options) == {"dates": "DD.MM.YYYY"}
    assert events.header_of("account_id") == "company"
    assert "some written differently" in proposal["reason"].str.cat(sep=" ")
    assert events.header_of("behavior") == "what"
    assert "Is activity.csv a table of behaviors, and does what say what was done?" in (
        events.questions
    )
    assert any("Which of the columns below" in one for one in proposal.all_questions())
    assert '# attributes = ["Branche"]' in proposal.text


def test_the_proposal_is_read_as_it_stands(tmp_path: Path) -> None:
    write(tmp_path, kunden=ACCOUNTS)
    propose_project(tmp_path).write_project()
    frame = ls.read_tables(tmp_path, as_of="2024-01-01").frame("accounts")
    assert len(frame) == 40
    assert frame["ended_on"].notna().sum() == 14
    assert frame["name"].iloc[0] == "Firma 0"
    assert frame["account_id"].iloc[0] == "00100"


def test_days_and_months_that_cannot_be_told_apart_are_asked_about(tmp_path: Path) -> None:
    rows = "".join(f"a{n},0{1 + n % 9}/0{1 + n % 7}/2022,\n" for n in range(30))
    write(tmp_path, accounts="account_id,started_on,ended_on\n" + rows)
    accounts = of(propose_project(tmp_path), "accounts")
    assert not accounts.is_ready
    assert any('dates = "DD/MM/YYYY" or "MM/DD/YYYY"' in one for one in accounts.questions)
    one_day = rows + "b,25/01/2022,\n"
    write(tmp_path, accounts="account_id,started_on,ended_on\n" + one_day)
    accounts = of(propose_project(tmp_path), "accounts")
    assert accounts.is_ready
    assert dict(accounts.options) == {"dates": "DD/MM/YYYY"}


def test_a_missing_end_is_asked_about_with_the_columns_that_hold_dates(tmp_path: Path) -> None:
    rows = "".join(f"a{n},2022-01-1{n % 9},2022-02-1{n % 9}\n" for n in range(30))
    write(tmp_path, customers="id,signup date,last contact\n" + rows)
    proposal = propose_project(tmp_path)
    assert of(proposal, "accounts").header_of("started_on") == "signup date"
    (question,) = proposal.all_questions()
    assert "counts as a customer today. Dates are in: signup date, last contact" in question


def test_rows_find_their_account_through_a_file_of_users(tmp_path: Path) -> None:
    accounts = "".join(f"A{n},2022-01-01,\n" for n in range(20))
    users = "".join(f"u{n},A{n % 20},u{n}@x.com\n" for n in range(60))
    events = "".join(f"u{n % 60},login,2022-03-0{1 + n % 9}\n" for n in range(300))
    write(
        tmp_path,
        accounts="account_id,started_on,ended_on\n" + accounts,
        users="user_id,account_id,email\n" + users,
        events="user_id,event,timestamp\n" + events,
    )
    proposal = propose_project(tmp_path)
    table = of(proposal, "behaviors")
    assert table.header_of("user_id") == "user_id"
    assert table.header_of("account_id") is None
    assert table.options["users"] == {
        "path": "users.csv",
        "columns": {"user_id": "user_id", "account_id": "account_id"},
    }
    proposal.write_project()
    behaviors = ls.read_tables(tmp_path).frame("behaviors")
    assert (
        behaviors["account_id"]
        == "A" + behaviors["user_id"].str[1:].astype(int).mod(20).astype(str)
    ).all()
    assert len(behaviors) == 300


def test_a_file_that_finds_no_account_is_a_comment_and_a_question(tmp_path: Path) -> None:
    named = EVENTS.replace("when,what,company", "timestamp,event,company")
    write(tmp_path, kunden=ACCOUNTS, activity=named.replace(",1", ",X"))
    proposal = propose_project(tmp_path)
    assert not of(proposal, "behaviors").is_ready
    assert any("Which column identifies the account?" in one for one in proposal.all_questions())
    assert "behaviors" not in tomllib.loads(proposal.text)["tables"]


@pytest.mark.parametrize("strange", ['a"b', "new\nline", "tab\tbed", "\x7f", "#", "= [", "'", "é"])
def test_whatever_the_headers_and_values_the_file_is_toml(tmp_path: Path, strange: str) -> None:
    rows = 30
    frame = pd.DataFrame(
        {
            "account_id": [f"a{n}" for n in range(rows)],
            "started_on": ["2022-01-01"] * rows,
            "ended_on": [strange] + ["2023-01-01"] * (rows - 1),
            f"kind {strange}": [f"x{strange}", "y", "z"] * 10,
            "name": [f"{strange} {n}" for n in range(rows)],
        }
    )
    frame.to_csv(tmp_path / "accounts.csv", index=False)
    content = tomllib.loads(propose_project(tmp_path).text)
    assert content["tables"]["accounts"]["columns"]["account_id"] == "account_id"


def test_a_folder_without_accounts_asks_for_them(tmp_path: Path) -> None:
    write(tmp_path, activity=EVENTS)
    proposal = propose_project(tmp_path)
    assert proposal.questions[0].startswith("Which file lists the accounts or contracts")
    assert "tables" not in tomllib.loads(proposal.text)


def test_title_lines_and_totals_are_found(tmp_path: Path) -> None:
    lines = "".join(f"a{n},2022-01-1{n % 9},,1200\n" for n in range(40))
    write(
        tmp_path,
        accounts=f"Customer report\n\naccount_id,started_on,ended_on,arr\n{lines}Total,,,48000\n",
    )
    accounts = of(propose_project(tmp_path), "accounts")
    assert accounts.file.source.header_line == 3
    assert accounts.options["footer"] == 1


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ls.OptionError, match="does not exist"):
        propose_project(tmp_path / "nowhere")
    with pytest.raises(ls.OptionError, match="no file in"):
        propose_project(tmp_path)
    write(tmp_path, kunden=ACCOUNTS)
    propose_project(tmp_path).write_project()
    with pytest.raises(ls.OptionError, match=r"leadsignal.toml' is there\. .*force=True"):
        propose_project(tmp_path).write_project()
    ls.read_tables(tmp_path)
    assert propose_project(tmp_path).write_project(force=True) == tmp_path / "leadsignal.toml"


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("account_id,started_on\n", encoding="utf-8")
    with pytest.raises(
        ls.OptionError, match=r"empty.csv: .*Give a folder with exports in it \(.csv"
    ):
        propose_project(tmp_path)
    with pytest.raises(ls.OptionError, match="is a file"):
        propose_project(tmp_path / "empty.csv")


def test_the_command_writes_the_file_and_checks_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, kunden=ACCOUNTS, activity=EVENTS)
    assert main(["init", str(tmp_path)]) in (0, 2)
    out = capsys.readouterr().out
    assert "kunden.csv: read as accounts, by its name and its columns" in out
    assert "question 1: " in out
    assert "Checked rows: accounts 40" in out
    assert out.rstrip().splitlines()[-1].startswith("next: answer 2 questions")
    assert main(["init", str(tmp_path)]) == 2
    assert "leadsignal.toml' is there. " in capsys.readouterr().err
    (tmp_path / "leadsignal.toml").write_text("spoilt = [", encoding="utf-8")
    assert main(["init", str(tmp_path)]) == 2
    assert (tmp_path / "leadsignal.toml").read_text(encoding="utf-8") == "spoilt = ["
    assert main(["init", str(tmp_path), "--force", "--quiet"]) == 0
    assert tomllib.loads((tmp_path / "leadsignal.toml").read_text(encoding="utf-8"))["tables"]


def test_versions_of_contracts_in_a_file_called_accounts(tmp_path: Path) -> None:
    write(
        tmp_path,
        accounts="id,account_id,created_at,expires_at,updated_at\n"
        "s1,B,2019-03-26 09:28:17,2019-05-26 09:37:26,2019-05-26 09:37:26\n"
        "s3,A,2015-02-11 08:20:39,,2015-02-11 08:20:39\n"
        "s3,A,2015-02-11 08:20:39,2022-07-11 08:23:42,2022-07-11 08:23:42\n"
        "s4,B,2021-01-01 00:00:00,,2021-01-01 00:00:00\n",
    )
    contracts = of(propose_project(tmp_path), "contracts")
    assert contracts.header_of("recorded_at") == "updated_at"
    propose_project(tmp_path).write_project()
    frame = ls.read_tables(tmp_path).frame("accounts")
    ends = frame.set_index("account_id")["ended_on"].dt.strftime("%Y-%m-%d").dropna()
    assert ends.to_dict() == {"A": "2022-07-11", "B": "2019-05-26"}
    assert set(frame["account_id"]) == {"A", "B", "B/2"}


def test_a_month_per_column_becomes_rows(tmp_path: Path) -> None:
    accounts = "".join(f"A{n},2022-01-01,\n" for n in range(20))
    usage = "".join(f"A{n},{n},{2 * n},\n" for n in range(20))
    write(
        tmp_path,
        accounts="account_id,started_on,ended_on\n" + accounts,
        usage="customer,2023-01,2023-02,2023-03\n" + usage,
    )
    proposal = propose_project(tmp_path)
    assert of(proposal, "usage").reason == "a column for each month"
    proposal.write_project()
    assert ls.read_tables(tmp_path).frame("usage")["amount"].astype(float).sum() == 3 * 190


def test_a_cancellation_as_the_only_end_is_a_question(tmp_path: Path) -> None:
    rows = "".join(
        f"c{n},active,2024-01-0{1 + n % 9},{'2024-08-01' if n % 2 else ''}\n" for n in range(30)
    )
    write(tmp_path, stripe="customer,status,created,canceled_at\n" + rows)
    contracts = of(propose_project(tmp_path), "contracts")
    assert contracts.header_of("ended_on") == "canceled_at"
    assert contracts.questions == (
        "Is canceled_at the day on which a contract ended, or the day of the notice?",
    )


def test_what_is_not_used_is_said(tmp_path: Path) -> None:
    write(tmp_path, people="email,customer\na@x.com,c1\nb@x.com,c2\n", flat="age,left\n3,1\n4,0\n")
    proposal = propose_project(tmp_path)
    assert "it has no dates" in proposal.not_used["flat.csv"]
    assert "people.csv" in proposal.not_used


def starts(rows: int) -> list[str]:
    return [f"2022-0{1 + n % 9}-1{n % 9}" for n in range(rows)]


def test_subscriptions_are_the_contracts_where_opportunities_are_there_too(tmp_path: Path) -> None:
    """The larger file of deals fits contracts less well than the one of subscriptions."""
    days = starts(60)
    write(
        tmp_path,
        accounts="account_id,company_name,signup_date\n"
        + "".join(f"A{n},Firm {n},{days[n]}\n" for n in range(30)),
        opportunities="opp_id,account_id,plan,stage,amount,created_date\n"
        + "".join(f"O{n},A{n % 30},Pro,Lost,{n}.5,{days[n]}\n" for n in range(60)),
        subscriptions="sub_id,account_id,plan,mrr,start_date,end_date,status\n"
        + "".join(f"S{n},A{n},Pro,{n}.5,{days[n]},,active\n" for n in range(30)),
    )
    proposal = propose_project(tmp_path)
    contracts = of(proposal, "contracts")
    assert contracts.file.path == "subscriptions.csv"
    assert contracts.header_of("ended_on") == "end_date"
    assert proposal.not_used["opportunities.csv"] == "contracts are read from subscriptions.csv"


def test_what_was_charged_is_no_table_and_customers_are_accounts(tmp_path: Path) -> None:
    """An account id and a day of creation do not make tickets, nor a name a plan."""
    days = starts(40)
    write(
        tmp_path,
        customers="customer_id,name,email,created_at,city\n"
        + "".join(f"c{n},Firm {n},x{n}@y.com,{days[n]},Pune\n" for n in range(40)),
        invoices="invoice_id,customer_id,amount_due,status,created_at\n"
        + "".join(f"i{n},c{n},9,paid,{days[n]}\n" for n in range(40)),
        subscriptions="subscription_id,customer_id,status,plan_amount,created_at\n"
        + "".join(f"s{n},c{n},active,{99 + n},{days[n]}\n" for n in range(40)),
    )
    proposal = propose_project(tmp_path)
    assert [one.table for one in proposal.tables] == ["contracts", "accounts"]
    assert of(proposal, "accounts").header_of("account_id") == "customer_id"
    assert proposal.not_used["invoices.csv"].startswith("it says what was charged")
    period, end, *_ = proposal.all_questions()
    assert "How long is a billing period?" in period
    assert "Which column is the first day without the contract?" in end


def test_use_by_feature_is_behaviour(tmp_path: Path) -> None:
    days = starts(200)
    write(
        tmp_path,
        accounts="account_id,account_name,signup_date\n"
        + "".join(f"A{n},Firm {n},2021-12-0{1 + n % 9}\n" for n in range(20)),
        feature_usage="usage_id,account_id,usage_date,feature_name,usage_count\n"
        + "".join(f"U{n},A{n % 20},{days[n]},feature_{n % 7},{n % 5}\n" for n in range(200)),
    )
    found = of(propose_project(tmp_path), "behaviors")
    assert {one.column: one.header for one in found.columns} == {
        "account_id": "account_id",
        "occurred_at": "usage_date",
        "behavior": "feature_name",
        "quantity": "usage_count",
    }


SUBSCRIPTIONS = "Subscription;Client No;Client;Active since;Contract end;Account manager\n"
SUBSCRIPTIONS += "".join(
    f"S{n};C{n // 2};Client {n // 2};{1 + n % 28:02}.03.2022;{'01.05.2023' if n % 3 else ''};Ines\n"
    for n in range(40)
)


def test_names_and_owners_of_accounts_are_taken_from_their_contracts(tmp_path: Path) -> None:
    write(tmp_path, subscriptions=SUBSCRIPTIONS)
    proposal = propose_project(tmp_path)
    assert of(proposal, "contracts").header_of("started_on") == "Active since"
    assert proposal.all_questions() == []
    proposal.write_project()
    accounts = ls.read_tables(tmp_path, as_of="2024-01-01").frame("accounts")
    assert accounts["name"].iloc[0] == "Client 0"
    assert set(accounts["owner"]) == {"Ines"}
    assert len(accounts) == 20


def test_a_list_that_is_not_recognised_comes_with_what_to_write(tmp_path: Path) -> None:
    odd = SUBSCRIPTIONS.replace("Subscription;Client No", "A;B").replace("Active since", "C")
    write(tmp_path, subscriptions=odd)
    (question,) = propose_project(tmp_path).all_questions()
    assert (
        'If it is subscriptions.csv, write [tables.contracts], path = "subscriptions.csv"'
        in question
    )
    assert "headers: A, B, Client, C, Contract end, Account manager." in question


@pytest.mark.parametrize(("comma", "expected"), [(True, 12 * 1_010.5), (False, 12 * 10.5)])
def test_a_monthly_amount_is_asked_about_with_a_query_that_works(
    tmp_path: Path, comma: bool, expected: float
) -> None:
    first, *lines = ACCOUNTS.splitlines()
    amounts = [f"{1_010 + n}" if comma else f"{10 + n}" for n in range(len(lines))]
    fraction = ",5" if comma else ".5"
    priced = [f"{first};MRR (EUR)"]
    priced += [f"{line};{amount}{fraction}" for line, amount in zip(lines, amounts, strict=True)]
    write(tmp_path, kunden="\n".join(priced) + "\n")
    proposal = propose_project(tmp_path)
    (question,) = [one for one in proposal.all_questions() if "per month" in one]
    query = question.split("replace path by ")[1].split(" and add")[0]
    proposal.write_project()
    project = tmp_path / "leadsignal.toml"
    text = project.read_text("utf-8").replace('path = "kunden.csv"', query)
    text = text.replace("account_id = ", 'arr = "arr"\naccount_id = ', 1)
    project.write_text(text, "utf-8")
    accounts = ls.read_tables(tmp_path).frame("accounts")
    assert accounts.loc[accounts["account_id"] == "00100", "arr"].tolist() == [expected]
