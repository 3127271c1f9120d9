"""Gainsight: a workbook of companies, the history of scores, calls to action, success plans."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

import pandas as pd

from exports.business import (
    EXPORTED,
    Contract,
    Truth,
    contracts,
    name_of,
    owner_of,
    truth_of,
    write_rows,
)

CUSTOMERS = 120


def write(folder: Path, seed: int = 0) -> Truth:
    """Write ``Company.xlsx`` and three reports as CSV with American dates.

    A call to action is a flag only if its type is Risk; a draft of a plan is not agreed.
    """
    random = Random(seed)
    given = contracts(random, CUSTOMERS, histories=False)
    folder.mkdir(parents=True, exist_ok=True)
    companies = pd.DataFrame([_company(one) for one in given])
    companies.to_excel(folder / "Company.xlsx", sheet_name="Company", index=False)
    scores = [row for one in given for row in _scores(random, one)]
    header: tuple[str, ...]
    header = ("Company Id", "Company Name", "Snapshot Date", "Overall Score", "Color")
    write_rows(folder / "Scorecard History.csv", header, scores)
    calls = [row for one in given for row in _calls(random, one)]
    header = ("Company Id", "Company Name", "Name", "Type", "Reason", "Priority", "Created Date",
              "Due Date", "Closed Date")  # fmt: skip
    write_rows(folder / "CTA.csv", header, calls)
    plans = [row for one in given for row in _plans(random, one)]
    header = ("Company Id", "Company Name", "Success Plan Name", "Status", "Active Date",
              "Due Date", "Closed Date")  # fmt: skip
    write_rows(folder / "Success Plans.csv", header, plans)
    flags = sum(row[3] == "Risk" for row in calls)
    agreed = sum(row[4] != "" for row in plans)
    return truth_of(given, scores=len(scores), flags=flags, plans=agreed)


def _company(one: Contract) -> dict[str, object]:
    return {
        "Gsid": gsid(one.customer),
        "Company Name": name_of(one.customer),
        "CSM": owner_of(one.customer),
        "Original Contract Date": pd.Timestamp(one.started_on),
        "Renewal Date": pd.Timestamp(EXPORTED + timedelta(days=one.customer)),
        "ARR": 12 * one.monthly,
        "Status": "Churned" if one.ended_on and one.ended_on <= EXPORTED else "Active",
        "Stage": "Adoption",
        "Churn Date": pd.Timestamp(one.ended_on) if one.ended_on else pd.NaT,
        "Churn Notice Date": pd.Timestamp(one.cancelled_on) if one.cancelled_on else pd.NaT,
    }


def _scores(random: Random, one: Contract) -> list[tuple[object, ...]]:
    """Return a score every 60 days."""
    count = (_last(one) - one.started_on).days // 60
    days = [one.started_on + timedelta(days=60 * n) for n in range(1, count)]
    scores = [random.randint(20, 100) for _ in days]
    return [
        (gsid(one.customer), name_of(one.customer), _american(day), score, _colour(score))
        for day, score in zip(days, scores, strict=True)
    ]


def _colour(score: int) -> str:
    return "Red" if score < 50 else "Yellow" if score < 75 else "Green"


def _calls(random: Random, one: Contract) -> list[tuple[object, ...]]:
    made: list[tuple[object, ...]] = []
    for _ in range(random.randint(0, 3)):
        length = (_last(one) - one.started_on).days
        opened = one.started_on + timedelta(days=random.randint(0, length))
        closed = opened + timedelta(days=random.randint(0, 30))
        kind = random.choice(("Risk", "Lifecycle", "Opportunity"))
        made.append((gsid(one.customer), name_of(one.customer), "Call", kind, "Usage", "High",
                     _american(opened), _american(opened + timedelta(days=14)),
                     _american(closed) if closed <= _last(one) else ""))  # fmt: skip
    return made


def _plans(random: Random, one: Contract) -> list[tuple[object, ...]]:
    active = one.started_on + timedelta(days=random.randint(0, 20))
    due = active + timedelta(days=120)
    closed = due if due < _last(one) and random.random() < 0.5 else None
    is_draft = random.random() < 0.2
    status = "Draft" if is_draft else "Closed" if closed else "Active"
    dates = ("", "", "") if is_draft else (_american(active), _american(due), _american(closed))
    return [(gsid(one.customer), name_of(one.customer), "Reach first value", status, *dates)]


def _last(one: Contract) -> date:
    return min(one.ended_on or EXPORTED, EXPORTED - timedelta(days=2))


def gsid(customer: int) -> str:
    return f"1P02{customer * 7919:032X}"


def _american(day: date | None) -> str:
    return day.strftime("%m/%d/%Y") if day else ""
