"""Write docs/gallery-of-wrong-analyses.md: each analysis is made on simulated data of known truth.

    python docs/make/gallery.py docs/gallery-of-wrong-analyses.md

Every number on that page comes from here; the worlds are those of docs/simulator.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import leadsignal as ls
from leadsignal.cohorts.contrasts import MIN_ACCOUNTS
from leadsignal.formats import share_text
from leadsignal.survival import aalen_johansen, kaplan_meier

INTRO = """\
# A gallery of wrong analyses

Each of these mistakes is common, and each is repeated here on a simulated business
([the simulator](simulator.md)) whose true effects are known. So the page can say how far off each is,
and what believing it would have cost a company. `docs/make/gallery.py` writes the page and computes
every number on it.
"""


@dataclass(frozen=True)
class Entry:
    """One wrong analysis: what is done, what it says, what is so, what it costs, what to do."""

    title: str
    done: str
    says: str
    truth: str
    cost: str
    instead: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"## {self.title}",
                "",
                self.done,
                "",
                f"| it says | {self.says} |",
                "|---|---|",
                f"| the truth | {self.truth} |",
                f"| what it would have cost | {self.cost} |",
                f"| instead | {self.instead} |",
            ]
        )


@cache
def business(world: str, accounts: int, seed: int, **law: Any) -> ls.datasets.Simulation:
    """Draw a business once."""
    return ls.simulate(accounts, seed=seed, world=world, **law)


def tables_of(simulation: ls.datasets.Simulation, **options: object) -> ls.Tables:
    """Read a business as it stands on its last day."""
    filled = {name: table for name, table in simulation.tables.items() if len(table)}
    return ls.read_tables(filled, as_of=simulation.as_of, **options)  # type: ignore[arg-type]


def lives(tables: ls.Tables) -> pd.DataFrame:
    """Return each account's days of tenure and whether it has ended."""
    accounts = tables.frame("accounts")
    today = pd.Timestamp(tables.as_of_date)
    last = accounts["ended_on"].fillna(today)
    return accounts.assign(
        days=(last - accounts["started_on"]).dt.days, ended=accounts["ended_on"].notna()
    )


def immortal_time() -> Entry:
    """Measured against unmeasured customers, where measuring does nothing."""
    simulation = business("measuring_nothing", 3000, 4, measuring_rate=0.9)
    found = ls.compare_cohorts(tables_of(simulation), by="measured")
    naive, honest = found.contrast("naive"), found.contrast("time_dependent")
    assert naive is not None
    assert honest is not None
    n, h, longer = naive.hazard_ratio, honest.hazard_ratio, naive.rmst_ratio
    assert n is not None
    assert h is not None
    assert longer is not None
    return Entry(
        "Customers who measure stay longer",
        "Accounts are sorted by whether they *ever* recorded a result, and their lifetimes compared.",
        f"measured customers stay {share_text(longer.estimate - 1)} longer (of the first"
        f" {found.horizon:.0f} days) and churn {share_text(1 - n.estimate)} less often",
        f"measuring does nothing in this world; the time-dependent hazard ratio is {h.estimate:.2f}"
        f" ({h.low:.2f} to {h.high:.2f})",
        "a measurement programme for every account, justified by an artefact of the chart: nobody"
        " can be measured after having left",
        '`compare_cohorts(tables, by="measured")` ([cohorts](cohorts.md))',
    )


def the_leavers_only() -> Entry:
    """Lifetime from those who have left."""
    simulation = business("leading", 900, 2)
    accounts = lives(tables_of(simulation))
    accounts = accounts[accounts["days"] > entry(accounts)]
    left = accounts.loc[accounts["ended"], "days"]
    curve = kaplan_meier(accounts["days"], accounts["ended"], start=entry(accounts))[0]
    median = curve.quantile(0.5)
    return Entry(
        "The average lifetime of the customers who left",
        "Tenure at the end is averaged over ended accounts, and called customer lifetime.",
        f"half of customers are gone after {left.median():.0f} days",
        f"half are gone after {median.estimate:.0f} days ({median.lower:.0f} to"
        f" {median.upper:.0f}): the active accounts, which live longest, were left out",
        f"lifetime value too low by a factor of {median.estimate / left.median():.1f}, and with it"
        " every acquisition and service budget based on it",
        "a survival curve, in which active accounts count for the days they have been observed"
        " ([censoring](statistics.md#censoring))",
    )


def entry(accounts: pd.DataFrame) -> pd.Series:
    """Return the tenure at which each account is first seen: 0, or older where data begin later."""
    begin = pd.Timestamp("2021-01-04")
    days: pd.Series[Any] = (begin - accounts["started_on"]).dt.days
    return days.clip(lower=0)


def the_survivors() -> Entry:
    """Accounts older than the data."""
    accounts = lives(tables_of(business("leading", 900, 2)))
    old = accounts[entry(accounts) > 0]
    wrong = kaplan_meier(old["days"], old["ended"])[0]
    right = kaplan_meier(accounts["days"], accounts["ended"], start=entry(accounts))[0]
    days = 365
    return Entry(
        "The customers from before the data began",
        "The CRM was introduced in 2021. Accounts that started earlier are in it only if they were"
        " still active then, and are counted from their start.",
        f"of customers from before 2021, {share_text(wrong.at([days])[0])} are still active after a year",
        f"of all customers, {share_text(right.at([days])[0])} are; those that left before 2021 are not"
        " in the CRM",
        "churn seems to have become"
        f" {(1 - right.at([days])[0]) / (1 - wrong.at([days])[0]):.1f} times worse, and people search"
        " for what went wrong in 2021",
        "`complete_from` of accounts: older ones enter late, at the tenure at which they are first"
        " observed",
    )


def the_export_of_today() -> Entry:
    """Attributes as they are today."""
    simulation = business("messy", 900, 5)
    accounts = simulation.tables["accounts"]
    ended = accounts["ended_on"].notna()
    rule = accounts["seats"] == 0
    active = (~ended).sum()
    return Entry(
        "A model that reads today's export",
        "The CRM export holds `seats`. It is joined to past snapshots as if it had had the same"
        " value then.",
        f"zero seats identifies {(rule & ended).sum()} of {ended.sum()} ended accounts and"
        f" {(rule & ~ended).sum()} of the {active} others: a perfect model",
        "seats are set to zero when an account ends; before that they say nothing about it",
        f"of the {active} active accounts it alerts {(rule & ~ended).sum()}: nobody is called",
        "attributes are read only if you declare that they do not change; those that change go"
        " into `account_changes` with their dates, and `check` warns of columns that reveal the end"
        " ([tables](tables.md))",
    )


def share_ever_and_in_time(seed: int = 0) -> tuple[float, float, int]:
    """Return how many churners random lists name, on average: ever in the last year, and in time."""
    rng = np.random.default_rng(seed)
    accounts = lives(tables_of(business("leading", 900, 2)))
    churned = accounts.loc[accounts["ended"] & (accounts["days"] > 365)]
    snapshots = 365 // 28
    named = rng.random((200, len(churned), snapshots)) < 0.10
    last_chance = snapshots - 1 - 90 // 28
    return named.any(axis=2).mean(), named[:, :, last_chance].mean(), len(churned)


def alerted_at_some_time() -> Entry:
    """Caught means: on the list once."""
    ever, in_time, churned = share_ever_and_in_time()
    return Entry(
        "«We had them on the list»",
        "An alert counts as a success if the account was alerted at any time in the year before it"
        " left. Here the list is drawn **at random**, a tenth of the accounts each month.",
        f"the random list caught {share_text(ever)} of {churned} churned accounts, many of them months ahead",
        f"{share_text(in_time)} of them were on it at the last date that left 90 days to act",
        "a vendor's tool that does nothing, bought on its catch rate",
        "count only alerts at that last date, and compare with a random list of equal length"
        " ([before usage drops](before-usage-drops.md#alerts))",
    )


@cache
def proof() -> tuple[ls.Backtest, ls.ChurnEvents]:
    """Replay the alerts of a business whose usage falls only once it is too late."""
    panel = ls.build_panel(
        tables_of(business("leading", 900, 2)), horizon_analysis(business("leading", 900, 2))
    )
    methods = ["random", "usage", "context", "leading"]
    found = ls.run_backtest(panel, origins=2, methods=methods, estimator="logistic")
    return found, ls.churn_events(panel)


def horizon_analysis(simulation: ls.datasets.Simulation) -> ls.SuccessAnalysis:
    """Return the success analysis of a simulated business."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        file = Path(folder) / "success.toml"
        file.write_text(simulation.analysis_toml, encoding="utf-8")
        return ls.read_success_analysis(file)


def usage_as_the_alarm() -> Entry:
    """Usage as an early warning."""
    backtest, _ = proof()
    usage, random, leading = (backtest.methods[n] for n in ("usage", "random", "leading"))
    a, b, c = (m.recall_ahead for m in (usage, random, leading))
    return Entry(
        "Call them when usage drops",
        "Accounts whose usage has fallen the most are called first. In this world usage falls in the"
        " last two to six weeks before the end is known, and only in three accounts of ten.",
        "low usage before churn looks like a cause to act on: it *is* lower just before many churns",
        f"calling a tenth of the accounts by usage reaches {share_text(a)} of those who leave, 90 days"
        f" ahead; at random it is {share_text(b)}, by processes and results {share_text(c)}",
        f"the same number of calls by processes and results reaches {c / a:.1f} times as many of"
        " those who leave, in time",
        "`run_backtest` compares with random, usage and context at equal numbers of alerts"
        " ([before usage drops](before-usage-drops.md))",
    )


def large_accounts_adopt() -> Entry:
    """A process against not, where size drives both."""
    simulation = business("confounded", 900, 3)
    tables = tables_of(simulation, attributes=["segment", "employees"])
    analysis = horizon_analysis(simulation)
    name = analysis.processes[0].name
    plain = ls.compare_cohorts(tables, name, analysis, methods=["time_dependent"])
    fair = ls.compare_cohorts(
        tables, name, analysis, methods=["time_dependent"], adjust=["employees"]
    )
    a = plain.contrast("time_dependent")
    b = fair.contrast("time_dependent", adjusted=True)
    assert a is not None
    assert b is not None
    assert a.hazard_ratio is not None
    assert b.hazard_ratio is not None
    r, s = a.hazard_ratio, b.hazard_ratio
    return Entry(
        "Adopters churn less",
        "Accounts that have adopted a process are compared with the others by a time-dependent method, so"
        " there is no immortal time. Large accounts adopt more and leave less; the process does nothing.",
        f"adopters churn {r.estimate:.2f} times as often ({r.low:.2f} to {r.high:.2f})",
        f"the process does nothing; among accounts of equal size the ratio is {s.estimate:.2f}"
        f" ({s.low:.2f} to {s.high:.2f})",
        "an onboarding rebuilt around a habit of large customers",
        '`adjust=["employees"]`, with values from the start of the account; unmeasured confounders remain, so'
        " read the E-value ([cohorts](cohorts.md))",
    )


def the_league_table() -> Entry:
    """Sales reps ranked by raw churn."""
    simulation = business("no_effect", 900, 6, rep_effect=0.0)
    tables = tables_of(simulation, attributes=["segment", "sales_rep"])
    accounts = lives(tables).groupby("sales_rep")["ended"].agg(["size", "mean"])
    accounts = accounts[accounts["size"] >= MIN_ACCOUNTS]
    groups = ls.compare_cohorts(tables, by="sales_rep", adjust=["segment"]).groups
    assert groups is not None
    rates = [group.rate for group in groups if group.accounts >= MIN_ACCOUNTS]
    return Entry(
        "The league table of sales reps",
        f"Churn by rep, sorted. There are {len(accounts)} reps, and who sells makes **no** difference here.",
        f"the best rep lost {share_text(accounts['mean'].min())} of accounts, the worst"
        f" {share_text(accounts['mean'].max())}",
        "all reps are equal. Shrunk towards the average, their rates are"
        f" between {min(rates):.2f} and {max(rates):.2f} times the expected rate",
        "a bonus and a dismissal at random",
        "rates of small groups are shrunk, and a funnel shows the range of chance"
        " ([cohorts](cohorts.md#the-numbers))",
    )


def leavers_as_if_they_could_still() -> Entry:
    """Time to adoption by one minus Kaplan-Meier."""
    simulation = business("leading", 900, 2)
    tables = tables_of(simulation)
    analysis = horizon_analysis(simulation)
    process = analysis.processes[0].name
    episodes = ls.panel.adoption_episodes(tables, analysis).query("process == @process")
    first = episodes.groupby("account_id")["adopted_on"].min()
    accounts = lives(tables)
    accounts = accounts[entry(accounts) == 0].set_index("account_id")
    adopted = (first.reindex(accounts.index) - accounts["started_on"]).dt.days
    stop = adopted.fillna(accounts["days"]).clip(lower=1)
    days = 730
    wrong = 1 - kaplan_meier(stop, adopted.notna())[0].at([days])[0]
    cause = np.where(adopted.notna(), 1, np.where(accounts["ended"], 2, 0))
    curves = aalen_johansen(stop, cause)
    right = next(c for c in curves if c.cause == 1).at([days])[0]
    return Entry(
        "How many will adopt, with leavers censored",
        "Time to adoption by one minus Kaplan-Meier: accounts that left before adopting are treated"
        " as censored.",
        f"{share_text(wrong)} of customers adopt {process.replace('_', ' ')} within two years",
        f"{share_text(right)} do; some of the others had left by then and could no longer adopt",
        f"a plan for {share_text(wrong / right - 1)} more adopters than there will be",
        "`adoption_curves`, in which leaving competes ([competing ends](statistics.md#competing-ends))",
    )


def totals_over_tenure() -> Entry:
    """Total logins as a predictor."""
    tables = tables_of(business("no_effect", 900, 7))
    accounts = lives(tables).set_index("account_id")
    accounts = accounts[accounts["started_on"].between("2021-01-04", "2021-12-31")]
    events = tables.frame("behaviors").groupby("account_id").size()
    total = events.reindex(accounts.index).fillna(0)
    rate = total / accounts["days"].clip(lower=1)
    return Entry(
        "Total activity as a predictor",
        "One row per customer that started in 2021: all its events so far, and whether it has left."
        " Behaviour has no effect in this world.",
        f"a customer who stayed has more events than one who left in"
        f" {share_text(auc(total, ~accounts['ended']))} of pairs",
        f"by events *a day* it is {share_text(auc(rate, ~accounts['ended']))}; 50 % is chance. Customers who"
        " left early had less time to do anything",
        "a target for logins, and a model that ranks past customers well and current ones by tenure",
        "divide by tenure or, better, use dated events; `read_totals` names the columns"
        " ([one row a customer](one-row-a-customer.md))",
    )


def auc(score: pd.Series, good: pd.Series) -> float:
    """Return the chance that a good one's score lies above another's."""
    ranks = score.rank()
    n, m = good.sum(), (~good).sum()
    return float((ranks[good].sum() - n * (n + 1) / 2) / (n * m))


ENTRIES: tuple[Callable[[], Entry], ...] = (
    immortal_time,
    usage_as_the_alarm,
    alerted_at_some_time,
    the_export_of_today,
    totals_over_tenure,
    the_leavers_only,
    the_survivors,
    leavers_as_if_they_could_still,
    large_accounts_adopt,
    the_league_table,
)


def page() -> str:
    """Return the page."""
    return "\n".join([INTRO, *(f"{make()}\n" for make in ENTRIES)]).rstrip() + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
