"""The page of one account, which prints on one A4 sheet, and a folder with the pages of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.arguments import checked, days_in
from leadsignal.as_of_context import AsOfContext
from leadsignal.errors import OptionError, quiet
from leadsignal.files.outputs import ACCOUNT_PAGES, page_name
from leadsignal.files.writing import plain_row, whole_folder
from leadsignal.formats import day_text, money, of_hundred, share_text
from leadsignal.html_pages import (
    Html,
    account_cell,
    bullets,
    day,
    folded,
    header,
    join,
    number,
    page,
    page_path,
    remark,
    section,
    table,
    tag,
    terms,
    write_page,
)
from leadsignal.model.reasons import name_text
from leadsignal.report.charts import NARROW, WIDE, key, timeline
from leadsignal.report.review import (
    DONE,
    DONE_LATE,
    LATE,
    OPEN,
    AccountStatus,
    ProcessReview,
    Review,
    marks_used,
)
from leadsignal.report.review import for_customer as allowed
from leadsignal.report.review_reading import one_analysis, review_account
from leadsignal.report.summary_types import (
    WORDS,
    RatioSummary,
    effect_words,
    sentence,
    span,
    step_words,
)
from leadsignal.scoring.batch import on_list
from leadsignal.scoring.reasons import LAG

if TYPE_CHECKING:
    from leadsignal.config.success import SuccessAnalysis
    from leadsignal.scoring.scores import Scores
    from leadsignal.tables import Tables


MAX_ROWS = 4
"""Number of commitments and of missed dates that are printed; the others are counted."""

STATE_KINDS: Mapping[str, str] = WORDS["states"]


@checked
def write_review(
    review: Review, file: str | Path, *, for_customer: bool = False, force: bool = False
) -> None:
    """Write a review as one self-contained HTML file, atomically.

    Parameters
    ----------
    review : Review
        The review.
    file : str or Path
        A name that ends in ``.html``.
    for_customer : bool, default False
        Show only what the customer may see: plan, results, processes and commitments.
    force : bool, default False
        Replace a file that is not a page of leadsignal.

    Raises
    ------
    OptionError
        If the name does not end in ``.html``, there is no such folder, or the file exists and is
        not a page of leadsignal.

    Examples
    --------
    >>> import tempfile, leadsignal as ls
    >>> review = ls.review_account(ls.read_tables(ls.sample_folder()), "A-10002")
    >>> ls.write_review(review, tempfile.gettempdir() + "/review.html")
    """
    path = page_path(file, force=force)
    write_page(path, review_page(review, for_customer=for_customer), force=force)


@checked
def review_page(review: Review, *, for_customer: bool = False) -> str:
    """Return the page as text; equal reviews give identical text."""
    review = allowed(review) if for_customer else review
    left = join([_plan(review), _processes(review), _risk(review)])
    right = join([_missed(review), _commitments(review)])
    return page(
        f"Account review: {review.title}",
        _header(review),
        tag(
            "main",
            "" if for_customer else _next(review),
            _results(review, for_customer),
            tag("div", tag("div", left), tag("div", right), class_="columns"),
        ),
        _footer(review),
        description=f"Account review of {review.title} as of {review.as_of_date}",
    )


def _header(review: Review) -> Html:
    facts, attributes = review.facts, review.attributes.items()
    listed = [
        ("Customer since", day(facts["started_on"])),
        ("Ended", day(facts["ended_on"])),
        ("Reason", facts["end_reason"]),
        ("Notice given", day(facts["notice_on"])),
        ("Owner", facts["owner"]),
        ("Annual revenue", money(facts["arr"], facts["currency"])),
        ("Renewal", _coming(facts["renewal_on"], review)),
        *((name_text(name).capitalize(), _cell(value)) for name, value in attributes),
    ]
    known = [(what, text) for what, text in listed if text]
    return header(review.title, join(["Account review, as of ", day(review.as_of_date)]), known[:8])


def _cell(value: object) -> str:
    return number(value, 6) if isinstance(value, float) else ("" if value is None else str(value))


def _coming(on: date | None, review: Review) -> Html:
    """Return a day with the number of days until then; empty without a day."""
    return join([day(on), f" (in {(on - review.as_of_date).days} days)"]) if on else Html("")


def _next(review: Review) -> Html:
    if not review.steps:
        text = (
            "The account has ended." if review.facts["ended_on"] else "Nothing is open: keep going."
        )
        return section("next", "Next step", tag("p", text), class_="next")
    first, *others = review.steps[:4]
    lead = [tag("p", step_words(first.text, first.day), class_="first")]
    if first.effect is not None:
        one = first.effect
        ratio: RatioSummary = {"estimate": one.estimate, "low": one.low, "high": one.high}
        lead.append(remark(sentence(effect_words(ratio, days_in(LAG)))))
    items = [tag("li", step_words(step.text, step.day)) for step in others]
    after = tag("ol", *items, start=2) if items else ""
    return section("next", "Next step to agree on", *lead, after, class_="next")


# Results ------------------------------------------------------------------------------------------


def _results(review: Review, for_customer: bool) -> Html:
    tiles = tag("p", "Nothing has been measured yet.")
    if review.status:
        tiles = _tiles(review.status, for_customer)
    listed = _results_table(review, for_customer)
    return section("results", "Results so far", tiles, _figure(review), listed)


def _tiles(status: AccountStatus, for_customer: bool) -> Html:
    tiles: list[tuple[str, object, object]] = [
        (f"Latest {name_text(status.metric)}", number(status.latest), _against(status)),
        ("Since the start", number(status.latest - status.first) or "0", join([
            f"was {number(status.first)} on ", day(status.first_on)])),
        ("Best so far", number(status.best), join([
            day(status.best_on), f", {status.days_since_best} days ago"])),
        ("Target met, last year", "no target" if status.met_share is None
         else share_text(status.met_share), "of the results measured"),
    ]  # fmt: skip
    if not for_customer:  # The number of results shown describes the vendor's work.
        shown = f"{status.measured - status.not_shown} of {status.measured}"
        last = join(["last on ", day(status.shown_on)]) if status.shown_on else "never"
        tiles.append(("Shown to the customer", shown, last))
    parts = [
        tag("div", tag("dt", what), tag("dd", text, tag("small", note)))
        for what, text, note in tiles
    ]
    return tag("dl", *parts, class_="tiles")


def _against(status: AccountStatus) -> Html:
    if status.target is None or status.met is None:
        return join(["no target, ", day(status.latest_on)])
    word, kind = ("target met", "good") if status.met else ("target missed", "bad")
    required = "at least" if status.higher_is_better else "at most"
    on = status.met_on or status.latest_on
    without = [] if on == status.latest_on else [
        "; no target, ", day(status.latest_on)]  # fmt: skip
    return join([
        tag("span", word, class_=kind), f": {required} {number(status.target)}, ", day(on),
        *without,
    ])  # fmt: skip


def _figure(review: Review) -> Html:
    lanes, series = review.lanes(), review.series()
    if series is None and not lanes:
        return Html("")
    title = f"Results and events of {review.account_id} over time"
    description = _described(review)
    first, last = review.facts["started_on"], review.last_day
    charts = [
        timeline(series, lanes, first, last, title=title, description=description, width=width)
        for width in (WIDE, NARROW)
    ]
    caption = tag("figcaption", "Results against target, and what happened, on one time axis")
    return tag("figure", caption, *charts, key(marks_used(series, lanes)))


def _described(review: Review) -> str:
    """Return a description of the chart for screen readers."""
    parts, status = [], review.status
    if status:
        parts.append(
            f"{name_text(status.metric)} went from {number(status.first)} on"
            f" {day_text(status.first_on)} to {number(status.latest)} on"
            f" {day_text(status.latest_on)} over {status.measured} results"
        )
    for process in review.processes:
        since = f" since {day_text(process.since)}" if process.since else ""
        parts.append(f"{name_text(process.name)} is {process.state}{since}")
    for rows, what in ((review.tickets, "tickets"), (review.contract_changes, "contract changes")):
        if len(rows):
            parts.append(f"{len(rows)} {what}")
    return "; ".join(parts) + ". The numbers are in the tables of this page."


def _results_table(review: Review, for_customer: bool) -> Html:
    if not len(review.results):
        return Html("")
    rows = [
        (
            day(row["measured_on"]),
            ("number", number(row["value"])),
            ("number", number(row["target"])),
            {True: "yes", False: "no", None: ""}[row["met"]],
            *(() if for_customer else (day(row["shown_on"]),)),
        )
        for row in map(plain_row, review.results.iloc[::-1].to_dict("records"))
    ]
    metric = name_text(review.status.metric if review.status else "result")
    head = ["Measured", metric.capitalize(), "Target", "Met", *([] if for_customer else ["Shown"])]
    listed = table(head, rows, f"{metric}, the latest first")
    return folded("All results as a table", tag("div", listed, class_="scroll", tabindex=0,
                  role="region", aria_label="All results"))  # fmt: skip


# Plan and processes -------------------------------------------------------------------------------


def _plan(review: Review) -> Html:
    plan = review.plan
    if plan is None:
        return section("plan", "Success plan", tag("p", "No plan has been agreed.", class_="bad"))
    target = number(plan["target"])
    rows: list[tuple[str, object]] = [
        ("Objective", plan["objective"]),
        ("Measured by", join([name_text(plan["metric"] or ""), f", target {target}"])
         if target else name_text(plan["metric"] or "")),
        ("Agreed", day(plan["agreed_on"])),
        ("To be reached by", _target_on(review, plan)),
        ("Closed", day(plan["closed_on"])),
        ("Sponsor", plan["sponsor"]),
        *_roles(review),
        ("Next phase", plan["next_phase"]),
    ]  # fmt: skip
    title = "Success plan" if plan["closed_on"] is None else "Success plan (closed)"
    return section("plan", title, terms(rows, class_="plan"))


def _target_on(review: Review, plan: Any) -> Html:
    on = plan["target_on"]
    if on is None or plan["closed_on"] or review.facts["ended_on"]:
        return day(on)
    if on < review.as_of_date:
        late = f"{(review.as_of_date - on).days} days ago"
        return join([day(on), " ", tag("span", late, class_="bad state")])
    return _coming(on, review)


def _roles(review: Review) -> Iterator[tuple[str, object]]:
    """Yield the last day of each kind of contact that the analysis tracks."""
    titles = {"sponsor": "Sponsor last met", "handoff": "Handed over", "diary": "Diary last kept"}
    for kind, last in review.contacts.items():
        yield titles[kind], day(last) if last else "never"


def _processes(review: Review) -> Html:
    if not review.processes:
        return Html("")
    metric = name_text(review.status.metric) if review.status else ""
    head = ["Process", "State", "Milestone"]
    around = any(process.before is not None or process.after is not None
                 for process in review.processes)  # fmt: skip
    if around:
        head.append(f"{metric.capitalize()} before and after")
    rows = [
        (join([name_text(one.name), tag("span", name_text(one.needs), class_="note")]),
         _state(one), _milestone(one), *([_around(one)] if around else []))
        for one in review.processes
    ]  # fmt: skip
    caption = "What the most successful customers do"
    return section("processes", "Essential processes", table(head, rows, caption, class_="cards"))


def _state(process: ProcessReview) -> Html:
    dated = process.since and process.state not in ("overdue", "pending")
    since = join([" since ", day(process.since)]) if dated else ""
    word = _badge(process.state, STATE_KINDS.get(process.state, ""))
    done = ""
    if process.events is not None:
        users = f" by {process.users:.0f} users" if process.users is not None else ""
        done = tag("span", f"{process.events:g} in the current window{users}", class_="note")
    return join([word, since, done])


def _badge(word: str, kind: str) -> Html:
    return tag("span", word, class_=f"state {kind}".strip())


def _milestone(process: ProcessReview) -> Html:
    if process.due_on is None:
        return Html("none")
    met = {True: ("met", "good"), False: ("missed", "bad"), None: ("due", "")}
    word, kind = met[process.milestone_met]
    note = ""
    if process.adopted_on:
        note = tag("span", "first adopted ", day(process.adopted_on), class_="note")
    return join([_badge(word, kind), " ", day(process.due_on), note])


def _around(process: ProcessReview) -> Html:
    if process.adopted_on is None:
        return Html("")
    before, after = (
        number(value, 3) or "not measured" for value in (process.before, process.after)
    )
    # The two stay on one line, for which a column has enough room.
    means = f"{before}\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}{after}"
    return join([means, tag("span", "mean of 90 days", class_="note")])


# Commitments --------------------------------------------------------------------------------------


def _missed(review: Review) -> Html:
    if not review.missed:
        return Html("")
    rows = [
        (sentence(missed.what), missed.owner, join([day(missed.due_on), tag("span",
         f"{missed.days} days ago", class_="note")]), tag("span", "…………", class_="soft"))
        for missed in review.missed
    ]  # fmt: skip
    head, left = ("What", "Who", "Was due", "New date"), len(rows) - MAX_ROWS
    listed = table(head, rows[:MAX_ROWS], "To be agreed anew, or dropped", class_="cards")
    every = table(head, rows, "All that were missed", class_="cards")
    more = [remark(f"and {left} more"), folded(f"All {len(rows)} that were missed", every)]
    return section("missed", "Missed, needs a new date", listed, *(more if left > 0 else ()))


def _commitments(review: Review) -> Html:
    frame = review.commitments
    if not len(frame):
        return section("commitments", "Commitments", tag("p", "None has been recorded."))
    recent = frame.sort_values(["due_on", "action"], ascending=[False, True], kind="stable")
    # Late ones are listed as missed; for an ended account nothing needs a new date.
    others = recent[(recent["state"] != LATE) | (review.facts["ended_on"] is not None)]
    rows = [
        (
            row["action"],
            row["owner"],
            day(row["due_on"]),
            join([_badge(row["state"], STATE_KINDS[row["state"]]),
                  join([" ", day(row["completed_on"])]) if row["completed_on"] else ""]),
        )
        for row in map(plain_row, others.to_dict("records"))
    ]  # fmt: skip
    head = ("What", "Who", "Due", "State")
    listed = table(head, rows[:MAX_ROWS], "Open and lately done", class_="cards")
    every = table(head, rows, "All of these, the last due first", class_="cards")
    details = folded(f"All {len(rows)} of these", every)
    return section(
        "commitments", "Commitments of both sides", _counts_by_owner(review),
        listed if rows else "", details if len(rows) > MAX_ROWS else "",
    )  # fmt: skip


def _counts_by_owner(review: Review) -> Html:
    frame, lines = review.commitments, []
    for owner in ("customer", "vendor"):
        mine = frame[frame["owner"] == owner]
        if len(mine):
            count = {state: int((mine["state"] == state).sum()) for state in STATE_KINDS}
            lines.append(
                f"{owner.capitalize()}: {count[DONE]} done in time, {count[DONE_LATE]} done late,"
                f" {count[LATE]} not done in time and still open, {count[OPEN]} not yet due"
            )
    return join([tag("p", line, class_="small") for line in lines])


# Risk and footer ----------------------------------------------------------------------------------


def _risk(review: Review) -> Html:
    risk = review.risk
    if risk is None:
        return Html("")
    what = tag("p", "Why, compared with other accounts:") if risk.reasons else ""
    title = "Risk (internal, not for the customer)"
    return section("risk", title, tag("p", f"{risk}."), what, bullets(map(sentence, risk.reasons)))


def _footer(review: Review) -> Html:
    model = f" Model {review.risk.model_version}." if review.risk else ""
    return tag("footer", tag("p",
        f"What was known at midnight of {day_text(review.as_of_date)}, and nothing later. Before"
        " and after shows what went together, not what caused what." + model))  # fmt: skip


@checked
def write_account_pages(
    tables: Tables,
    scores: Scores,
    folder: str | Path,
    analysis: SuccessAnalysis | None = None,
    *,
    accounts: Iterable[str] | None = None,
    context: AsOfContext | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Write the page of each account on the call list into a folder, with ``index.html``.

    The folder is written atomically. An account has the same file name in every run; pages of
    accounts that are no longer listed are removed. The pages are internal: they show the risk.

    Parameters
    ----------
    tables : Tables
        The tables.
    scores : Scores
        Scores of the same day.
    folder : str or Path
        A new or empty folder, or one that contains only account pages.
    analysis : SuccessAnalysis, optional
        Essential processes; by default those of the scores.
    accounts : iterable of str, optional
        Account ids; by default the alerted accounts that are not held out.
    context : AsOfContext, optional
        Data of all accounts on that day, if already computed.
    progress : callable, optional
        Called with the number of pages written and the total.

    Returns
    -------
    dict of str to Path
        The page of each account.

    Raises
    ------
    OptionError
        If the folder has other content, an account does not exist, the scores are of another day
        or analysis, or the context is of other tables.

    Examples
    --------
    >>> import leadsignal as ls, tempfile
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> panel = ls.build_panel(tables)
    >>> model = ls.ChurnModel(estimator="logistic").fit(panel)
    >>> scores = ls.score_accounts(model, tables, panel=panel)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pages = ls.report.write_account_pages(
    ...         tables, scores, folder + "/pages", accounts=["A-10001"]
    ...     )
    >>> pages["A-10001"].name
    'a-10001-f6e0bbc5994e.html'
    """
    if isinstance(accounts, str):
        raise OptionError(
            f"accounts is a str ({quiet(repr(accounts), 60)})", "Give a list of account ids"
        )
    analysis = one_analysis(analysis, None, scores)
    context = AsOfContext.of(tables, analysis, context)
    if accounts is None:
        accounts = scores.frame.loc[on_list(scores.frame), "account_id"]
    names = {account: page_name(account) for account in accounts}
    rows: list[tuple[object, ...]] = []
    with whole_folder(folder, ACCOUNT_PAGES) as part:
        for account, name in names.items():
            review = review_account(tables, account, analysis, scores=scores, context=context)
            (part / name).write_text(review_page(review), encoding="utf-8")
            rows.append(_row(review, name))
            if progress:
                progress(len(rows), len(names))
        (part / ACCOUNT_PAGES.needed).write_text(_index(scores, rows), encoding="utf-8")
    return {account: Path(folder) / name for account, name in names.items()}


def _row(review: Review, name: str) -> tuple[object, ...]:
    step = review.steps[0] if review.steps else None
    return (
        account_cell(review.account_id, review.facts["name"], name),
        of_hundred(review.risk.risk) if review.risk else "",
        step_words(step.text, step.day) if step else "",
    )


def _index(scores: Scores, rows: list[tuple[object, ...]]) -> str:
    """Return the page that lists the account pages."""
    on = day_text(scores.as_of_date)
    head = ("Account", f"Of 100 like it, leave within {span(scores.horizon)}",
            "Next step to agree on")  # fmt: skip
    listed = table(head, rows, f"{len(rows):,} accounts", class_="cards") if rows else tag(
        "p", "No account is listed."
    )  # fmt: skip
    return page(
        f"Account pages, as of {on}", header("Account pages", f"As of {on}"), tag("main", listed),
        description=f"Account pages as of {on}",
    )  # fmt: skip
