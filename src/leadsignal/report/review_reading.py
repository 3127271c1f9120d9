"""One account read from the tables as they were known on a day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from leadsignal.accounts import NAMED, named_columns
from leadsignal.arguments import checked
from leadsignal.as_of_context import AsOfContext
from leadsignal.config.success import SuccessAnalysis
from leadsignal.errors import OptionError, one_of
from leadsignal.files.writing import plain_row
from leadsignal.model.provenance import refuse_other_analysis
from leadsignal.report.review import (
    DONE,
    DONE_LATE,
    LATE,
    OPEN,
    AccountStatus,
    Missed,
    ProcessReview,
    Review,
    Risk,
)
from leadsignal.schema import BY_NAME
from leadsignal.scoring.reasons import REASONS, NextStep, account_steps
from leadsignal.scoring.scores import score_accounts
from leadsignal.sources.parts import literal
from leadsignal.targets import own_results

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.config.success import Process
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.scoring.scores import Scores
    from leadsignal.stats import Estimate
    from leadsignal.tables import Tables

WINDOW = 90
"""Days before and after an adoption over which results are averaged."""

HISTORY = {
    "plans": "agreed_on",
    "commitments": "due_on",
    "results": "measured_on",
    "tickets": "opened_at",
    "contract_changes": "changed_at",
}
"""Tables whose rows a review contains, and the date column by which they are sorted."""


@checked
def review_account(
    tables: Tables,
    account: str,
    analysis: SuccessAnalysis | None = None,
    *,
    model: ChurnModel | None = None,
    scores: Scores | None = None,
    as_of: date | str | None = None,
    context: AsOfContext | None = None,
) -> Review:
    """Return the review of one account as it was known on ``as_of``.

    Parameters
    ----------
    tables : Tables
        The tables.
    account : str
        Its account_id.
    analysis : SuccessAnalysis, optional
        Essential processes; by default those of the model or the scores.
    model : ChurnModel, optional
        Model that predicts the risk.
    scores : Scores, optional
        Scores of the same day, instead of a model.
    as_of : date or str, optional
        Day of the review; by default that of the tables.
    context : AsOfContext, optional
        Data of all accounts on that day, computed once for several reviews.

    Returns
    -------
    Review
        The review of the account on that day.

    Raises
    ------
    OptionError
        If there is no such account, the scores are of another day, the model or the scores have a
        different success analysis, or the context is of other tables.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> ls.review_account(tables, "A-10002").status.latest
    8.9
    """
    tables = tables if as_of is None else tables.as_of(as_of)
    if scores is not None and scores.as_of_date != tables.as_of_date:
        raise OptionError(
            f"the scores are of {scores.as_of_date}, the review of {tables.as_of_date}",
            "Score the accounts on the day of the review",
        )
    analysis = one_analysis(analysis, model, scores)
    row = _account_row(tables, account)
    ended = row["ended_on"]
    seen = then = AsOfContext.of(tables, analysis, context)
    if ended is not None:
        # On its last day the account is still active, with everything known then.
        seen = AsOfContext(tables.as_of(max(ended - timedelta(1), row["started_on"])), analysis)
        then = AsOfContext(tables.as_of(ended), analysis)
    snapshot = seen.snapshot.frame
    found = snapshot[snapshot["account_id"] == account]
    now: dict[Any, Any] = found.iloc[0].to_dict() if len(found) else {}
    if model is not None and scores is None and ended is None:
        scores = score_accounts(model, tables)
    review = _assembled(tables, account, then, row, now)
    risk = _risk(scores, account) if scores is not None else None
    effects = scores.effects if scores is not None else {}
    return replace(review, risk=risk, steps=next_steps(review, now, analysis, effects))


def one_analysis(
    analysis: SuccessAnalysis | None, model: ChurnModel | None, scores: Scores | None
) -> SuccessAnalysis:
    """Return the success analysis used on the page; raises OptionError if there are two."""
    trained = [model.analysis_] if model is not None else []
    trained += [scores.recipe.analysis] if scores is not None and scores.recipe else []
    found = analysis if analysis is not None else next(iter(trained), SuccessAnalysis(()))
    for one in trained:
        refuse_other_analysis(one, found, "the review")
    return found


def _account_row(tables: Tables, account: str) -> dict[str, Any]:
    frame = _rows(tables, "accounts", account)
    if not len(frame):
        sql = f"SELECT DISTINCT account_id FROM ({tables.sql('accounts')}) ORDER BY 1"
        names = [name for (name,) in tables.connection.cursor().execute(sql).fetchall()]
        raise OptionError(
            f"there is no account {account!r} on {tables.as_of_date}", _nearest(names, account)
        )
    row: dict[str, Any] = plain_row(frame.iloc[-1].to_dict())
    return row


def _nearest(names: list[str], account_id: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(account_id, names, n=5, cutoff=0.5)
    if close:
        return f"Did you mean {', '.join(close)}?"
    if len(names) <= 10:
        return one_of(names, account_id)
    return f"There are {len(names):,} accounts, from {names[0]} to {names[-1]}"


def _rows(tables: Tables, name: str, account: str) -> pd.DataFrame:
    """Return an account's visible rows of a table, by day; empty if the table is missing."""
    import pandas as pd

    if name not in tables.names:
        columns = [column for column in BY_NAME[name].columns if column.name != "recorded_at"]
        kinds: dict[str, Any] = {
            "day": "datetime64[us]",
            "number": float,
            "decimal": float,
            "boolean": bool,
        }
        return pd.DataFrame({c.name: pd.Series(dtype=kinds.get(c.kind, object)) for c in columns})
    sql = f"SELECT * FROM ({tables.sql(name)}) WHERE account_id = {literal(account)} ORDER BY ALL"
    frame: pd.DataFrame = tables.connection.cursor().execute(sql).df()
    frame = frame.drop(columns=["known_on", "superseded_on", "recorded_at"], errors="ignore")
    return frame.sort_values(HISTORY[name], kind="stable", ignore_index=True) if (
        name in HISTORY
    ) else frame  # fmt: skip


def _assembled(
    tables: Tables,
    account: str,
    context: AsOfContext,
    row: Mapping[str, Any],
    now: Mapping[str, Any],
) -> Review:
    then, analysis, episodes = context.tables, context.analysis, context.episodes
    found = {name: _rows(then, name, account) for name in HISTORY if name != "results"}
    results = _own_results(then, account, analysis)
    episodes = episodes[episodes["account_id"] == account].reset_index(drop=True)
    processes = tuple(
        _process_review(process, row, now, episodes, results) for process in analysis.processes
    )
    held_now = plain_row(now) if now else row
    attributes = {name: held_now.get(name) for name in tables.attributes}
    review = Review(
        account,
        tables.as_of_date,
        {**_people(tables, row), **_facts(row, now)},
        attributes,
        analysis.bullseye_of(attributes).objective,
        found["plans"],
        results,
        _status(results, then.as_of_date),
        processes,
        episodes,
        _with_state(found["commitments"], then.as_of_date),
        found["tickets"],
        found["contract_changes"],
        _contacts(then, account, analysis),
        (),
        (),
    )
    return replace(review, missed=tuple(find_missed(review)))


def _people(tables: Tables, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return name, owner and currency; empty if the tables do not have or show them."""
    visible = named_columns(tables)
    return {name: row[name] if name in visible else None for name in NAMED}


def _facts(row: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    now = plain_row(now)
    left = now.get("days_to_renewal")
    renewal = None if left is None else now["snapshot_on"] + timedelta(days=int(left))
    term = now.get("term_months") or row["term_months"]
    return {
        "customer_id": row["customer_id"],
        "started_on": row["started_on"],
        "ended_on": row["ended_on"],
        "end_reason": row["end_reason"],
        "notice_on": row["end_known_on"],
        "arr": now.get("arr", row["arr"]),
        "term_months": None if term is None else int(term),
        "renewal_on": None if row["ended_on"] else renewal,
    }


def _own_results(tables: Tables, account: str, analysis: SuccessAnalysis) -> pd.DataFrame:
    """Return the account's results of its own metric, with whether each met its target."""
    if "results" not in tables.names:
        return _rows(tables, "results", account).assign(met=None)
    rows = own_results(tables, analysis, account=account)
    computed = ["beyond", "gap", "better", "known_on", "superseded_on", "recorded_at"]
    return rows.drop(columns=computed, errors="ignore")


def _status(results: pd.DataFrame, as_of: date) -> AccountStatus | None:
    import pandas as pd

    if not len(results):
        return None
    first, latest = plain_row(results.iloc[0].to_dict()), plain_row(results.iloc[-1].to_dict())
    sign = 1 if latest["higher_is_better"] else -1
    # The latest of equally good results, which shows that the value is still reached.
    best = plain_row(results[(sign * results["value"]) == (sign * results["value"]).max()].iloc[-1])
    year = results[results["measured_on"] >= pd.Timestamp(as_of) - pd.Timedelta(days=365)]
    known, evaluated = year["met"].dropna(), results[results["met"].notna()]
    # A result without a target does not change the target.
    last: dict[str, Any] = plain_row(evaluated.iloc[-1].to_dict()) if len(evaluated) else {}
    shown_on = results["shown_on"].dropna()
    return AccountStatus(
        latest["metric"] or "result",
        len(results),
        first["value"],
        first["measured_on"],
        best["value"],
        best["measured_on"],
        latest["value"],
        latest["measured_on"],
        last.get("target"),
        bool(latest["higher_is_better"]),
        last.get("met"),
        float(known.astype(float).mean()) if len(known) else None,
        (as_of - best["measured_on"]).days,
        int(results["shown_on"].isna().sum()),
        shown_on.max().date() if len(shown_on) else None,
        last.get("measured_on"),
    )


def _process_review(
    process: Process,
    row: Mapping[str, Any],
    now: Mapping[str, Any],
    episodes: pd.DataFrame,
    results: pd.DataFrame,
) -> ProcessReview:
    now = plain_row(now)
    name, first = process.name, None
    mine = episodes[episodes["process"] == name]
    if len(mine):
        first = mine["adopted_on"].min().date()
    state, days = now.get(f"{name}_state", "unknown"), now.get(f"{name}_days_in_state")
    since = None if days is None else now["snapshot_on"] - timedelta(days=int(days))
    due = None
    if process.adopt_by is not None:
        due = row["started_on"] + timedelta(days=process.adopt_by)
    before = _mean_result(results, first, -WINDOW) if first else None
    after = _mean_result(results, first, WINDOW) if first else None
    return ProcessReview(
        name, process.why, process.requirement, state, since, due,
        first, now.get(f"{name}_events"), now.get(f"{name}_users"), before, after,
    )  # fmt: skip


def _mean_result(results: pd.DataFrame, day: date, days: int) -> float | None:
    """Return the mean result before a day (days < 0) or from it on; None without results."""
    import pandas as pd

    passed = (results["measured_on"] - pd.Timestamp(day)).dt.days
    inside = (passed < 0) & (passed >= days) if days < 0 else (passed >= 0) & (passed < days)
    return float(results.loc[inside, "value"].mean()) if inside.any() else None


def _with_state(commitments: pd.DataFrame, as_of: date) -> pd.DataFrame:
    states, days = [], []
    for row in commitments.to_dict("records"):
        due, done = row["due_on"].date(), plain_row(row)["completed_on"]
        states.append(
            (DONE if done <= due else DONE_LATE) if done else (LATE if due < as_of else OPEN)
        )
        days.append(((done or as_of) - due).days)
    return commitments.assign(state=states, days_after_due=days)


def _contacts(tables: Tables, account: str, analysis: SuccessAnalysis) -> dict[str, date | None]:
    """Return the last day of each kind of contact that the analysis tracks."""
    contacts: dict[str, date | None] = {}
    for kind, behaviors in asdict(analysis.tracking).items():
        if behaviors and "behaviors" in tables.names:
            listed = ", ".join(map(literal, behaviors))
            sql = (
                f"SELECT CAST(max(occurred_at) AS DATE) FROM ({tables.sql('behaviors')})"
                f" WHERE account_id = {literal(account)} AND behavior IN ({listed})"
            )
            contacts[kind] = tables.connection.cursor().execute(sql).fetchall()[0][0]
    return contacts


def _risk(scores: Scores, account: str) -> Risk | None:
    frame = scores.frame
    mine = frame[frame["account_id"] == account]
    if not len(mine):
        return None
    row = mine.iloc[0]
    return Risk(
        float(row["risk"]),
        scores.typical_risk,
        scores.horizon,
        int((frame["risk"] > row["risk"]).sum()) + 1,
        len(frame),
        tuple(filter(None, (row[f"reason_{rank}"] for rank in range(1, REASONS + 1)))),
        row["model_version"],
    )


# Next steps ---------------------------------------------------------------------------------------


FRESH = 90
"""Number of days after which a new result should be measured."""


def find_missed(review: Review) -> Iterator[Missed]:
    """Yield the items that need a new date: plan, processes, commitments."""
    if review.facts["ended_on"]:
        return
    as_of, plan, status = review.as_of_date, review.plan, review.status
    reached = status is not None and status.met
    if plan and plan["closed_on"] is None and plan["target_on"] and not reached:
        days = (as_of - plan["target_on"]).days
        if days > 0:
            yield Missed(f"plan: {plan['objective']}", "both", plan["target_on"], days)
    for process in review.processes:
        if process.state == "overdue" and process.due_on:
            days = (as_of - process.due_on).days
            yield Missed(f"adopt {process.name}", "customer", process.due_on, days)
    late = review.commitments[review.commitments["state"] == LATE]
    for row in late.to_dict("records"):
        yield Missed(row["action"], row["owner"], row["due_on"].date(), row["days_after_due"])


def next_steps(
    review: Review,
    now: Mapping[str, Any],
    analysis: SuccessAnalysis,
    effects: Mapping[str, Estimate],
) -> tuple[NextStep, ...]:
    """Return what to agree on, the most important first.

    The order is notice, plan, processes, new dates, measuring, showing results.
    """
    facts, plan, status, as_of = review.facts, review.plan, review.status, review.as_of_date
    if facts["ended_on"]:
        return ()
    steps = []
    if facts["notice_on"]:
        steps.append(NextStep("talk about the notice given on", facts["notice_on"]))
    if plan is None or plan["closed_on"] is not None:
        steps.append(NextStep("agree a success plan: objective, metric, target, date, sponsor"))
    if now:
        import pandas as pd

        rows = pd.DataFrame([dict(now)])
        steps += account_steps(rows, analysis.processes, effects).of(review.account_id)
    if review.missed:
        count = len(review.missed)
        items = "items" if count > 1 else "item"
        steps.append(NextStep(f"agree new dates for {count} missed {items}"))
    metric = analysis.bullseye_of(review.attributes).success_metric or "the result"
    if status is None:
        steps.append(NextStep(f"measure {metric}: there is no result yet"))
    elif (as_of - status.latest_on).days > FRESH:
        text = f"measure {metric} again: the latest result is of"
        steps.append(NextStep(text, status.latest_on))
    elif status.shown_on is None or status.shown_on < status.latest_on:
        steps.append(NextStep(f"show the latest {metric} to the customer"))
    return tuple(steps)
