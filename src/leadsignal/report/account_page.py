"""The page of one account: its review as HTML that prints on one A4 sheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from leadsignal.arguments import checked, days_in
from leadsignal.files.writing import plain_row
from leadsignal.formats import day_text, money, share_text
from leadsignal.html_pages import (
    Html,
    bullets,
    day,
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
from leadsignal.report.summary_types import WORDS, effect_words, sentence, step_words
from leadsignal.scoring.reasons import LAG

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
    facts = [
        ("Customer since", day(review.facts["started_on"])),
        ("Ended", day(review.facts["ended_on"])),
        ("Reason", review.facts["end_reason"]),
        ("Notice given", day(review.facts["notice_on"])),
        ("Owner", review.facts["owner"]),
        ("Annual revenue", money(review.facts["arr"], review.facts["currency"])),
        ("Renewal", _renewal(review)),
        *(
            (name_text(name).capitalize(), _cell(value))
            for name, value in review.attributes.items()
        ),
    ]
    known = [(what, text) for what, text in facts if text]
    return header(review.title, join(["Account review, as of ", day(review.as_of_date)]), known[:8])


def _cell(value: object) -> str:
    return number(value, 6) if isinstance(value, float) else ("" if value is None else str(value))


def _renewal(review: Review) -> Html:
    on = review.facts["renewal_on"]
    if on is None:
        return Html("")
    return join([day(on), f" (in {(on - review.as_of_date).days} days)"])


def _next(review: Review) -> Html:
    if not review.steps:
        text = (
            "The account has ended." if review.facts["ended_on"] else "Nothing is open: keep going."
        )
        return section("next", "Next step", tag("p", text), class_="next")
    first, *others = review.steps[:4]
    lead = [tag("p", step_words(first.text, first.day), class_="first")]
    if first.effect is not None:
        ratio = first.effect
        effect = effect_words(
            {"estimate": ratio.estimate, "low": ratio.low, "high": ratio.high}, days_in(LAG)
        )
        lead.append(remark(sentence(effect)))
    items = [tag("li", step_words(step.text, step.day)) for step in others]
    after = tag("ol", *items, start=2) if items else ""
    return section("next", "Next step to agree on", *lead, after, class_="next")


# Results ------------------------------------------------------------------------------------------


def _results(review: Review, for_customer: bool) -> Html:
    status = review.status
    tiles = tag("p", "Nothing has been measured yet.")
    if status:
        # The number of results shown describes the vendor's work.
        tiles = _tiles([*_measured(status), *([] if for_customer else [_presented(status)])])
    listed = _results_table(review, for_customer)
    return section("results", "Results so far", tiles, _figure(review), listed)


Tile = tuple[str, object, object]


def _measured(status: AccountStatus) -> list[Tile]:
    return [
        (
            f"Latest {name_text(status.metric)}",
            number(status.latest),
            _against(status),
        ),
        ("Since the start", number(status.latest - status.first) or "0", join([
            f"was {number(status.first)} on ", day(status.first_on)])),
        ("Best so far", number(status.best), join([
            day(status.best_on), f", {status.days_since_best} days ago"])),
        ("Target met, last year", "no target" if status.met_share is None
         else share_text(status.met_share), "of the results measured"),
    ]  # fmt: skip


def _presented(status: AccountStatus) -> Tile:
    count = f"{status.measured - status.not_shown} of {status.measured}"
    last = join(["last on ", day(status.shown_on)]) if status.shown_on else "never"
    return "Shown to the customer", count, last


def _tiles(tiles: Sequence[Tile]) -> Html:
    return tag(
        "dl",
        *(tag("div", tag("dt", what), tag("dd", text, tag("small", note)))
          for what, text, note in tiles),
        class_="tiles",
    )  # fmt: skip


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
    return tag("details", tag("summary", "All results as a table"), tag("div", listed,
               class_="scroll", tabindex=0, role="region", aria_label="All results"))  # fmt: skip


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
    if on is None:
        return Html("")
    left = (on - review.as_of_date).days
    if plan["closed_on"] or review.facts["ended_on"]:
        return day(on)
    if left < 0:
        return join([day(on), " ", tag("span", f"{-left} days ago", class_="bad state")])
    return join([day(on), f" (in {left} days)"])


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
    rows = []
    for process in review.processes:
        cells: list[object] = [
            join([name_text(process.name), tag("span", name_text(process.needs), class_="note")]),
            _state(process),
            _milestone(process),
        ]
        if around:
            cells.append(_around(process))
        rows.append(cells)
    caption = "What the most successful customers do"
    return section("processes", "Essential processes", table(head, rows, caption, class_="cards"))


def _state(process: ProcessReview) -> Html:
    since = join([" since ", day(process.since)]) if process.since else ""
    if process.state in ("overdue", "pending"):
        since = Html("")
    word = tag("span", process.state, class_=f"state {STATE_KINDS.get(process.state, '')}".strip())
    done = ""
    if process.events is not None:
        users = f" by {process.users:.0f} users" if process.users is not None else ""
        done = tag("span", f"{process.events:g} in the current window{users}", class_="note")
    return join([word, since, done])


def _milestone(process: ProcessReview) -> Html:
    if process.due_on is None:
        return Html("none")
    met = {True: ("met", "good"), False: ("missed", "bad"), None: ("due", "")}
    word, kind = met[process.milestone_met]
    note = ""
    if process.adopted_on:
        note = tag("span", "first adopted ", day(process.adopted_on), class_="note")
    state = tag("span", word, class_=f"state {kind}".strip())
    return join([state, " ", day(process.due_on), note])


def _around(process: ProcessReview) -> Html:
    if process.adopted_on is None:
        return Html("")
    before, after = (
        number(value, 3) or "not measured" for value in (process.before, process.after)
    )
    # The two stay on one line, for which a column has enough room.
    return join(
        [
            f"{before}\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}{after}",
            tag("span", "mean of 90 days", class_="note"),
        ]
    )


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
    more = [
        remark(f"and {left} more"),
        tag("details", tag("summary", f"All {len(rows)} that were missed"),
            table(head, rows, "All that were missed", class_="cards")),
    ]  # fmt: skip
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
            join([tag("span", row["state"], class_=f"state {STATE_KINDS[row['state']]}".strip()),
                  join([" ", day(row["completed_on"])]) if row["completed_on"] else ""]),
        )
        for row in map(plain_row, others.to_dict("records"))
    ]  # fmt: skip
    head = ("What", "Who", "Due", "State")
    listed = table(head, rows[:MAX_ROWS], "Open and lately done", class_="cards")
    every = table(head, rows, "All of these, the last due first", class_="cards")
    details = tag("details", tag("summary", f"All {len(rows)} of these"), every)
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
