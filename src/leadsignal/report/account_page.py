"""The page of one account: a review as HTML that prints on one sheet of A4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from leadsignal.arguments import checked
from leadsignal.durations import days_in
from leadsignal.errors import OptionError
from leadsignal.files.outputs import PAGE
from leadsignal.files.records import plain_row
from leadsignal.files.writing import whole_file
from leadsignal.report.account.for_customer import for_customer as allowed
from leadsignal.report.account.parts import (
    DONE,
    DONE_LATE,
    LATE,
    OPEN,
    AccountStatus,
    ProcessReview,
)
from leadsignal.report.account.review import Review
from leadsignal.report.account.timeline import marks_used
from leadsignal.report.charts import NARROW, WIDE, key, timeline
from leadsignal.report.html import (
    Html,
    day,
    day_text,
    join,
    number,
    page,
    section,
    table,
    tag,
)
from leadsignal.report.wording import effect_words, name_text, sentence, share_text, step_words
from leadsignal.scoring.next_steps import LAG

MAX_ROWS = 4
"""Number of commitments and of missed dates that are printed; the others are counted."""

STATE_KINDS = {
    "adopted": "good", "lapsed": "bad", "overdue": "bad", "pending": "", "unknown": "soft",
    "not applicable": "soft", DONE: "good", DONE_LATE: "warn", OPEN: "", LATE: "bad",
}  # fmt: skip


@checked
def write_review(
    made: Review, file: str | Path, *, for_customer: bool = False, force: bool = False
) -> None:
    """Write a review as one HTML file, whole or not at all.

    ``for_customer`` shows what the customer may see and nothing else: plan, results, processes and
    commitments (`leadsignal.report.account.for_customer` lists the columns).

    Raises OptionError where ``file`` does not end in .html, its folder is not there, or it is
    there and no page of ours (``force`` replaces it).

    >>> import tempfile, leadsignal as ls
    >>> review = ls.review_account(ls.read_tables(ls.sample_folder()), "A-10001")
    >>> ls.write_review(review, tempfile.gettempdir() + "/review.html")
    """
    path = Path(file)
    if path.suffix not in (".html", ".htm"):
        raise OptionError(f"{path} ends in {path.suffix or 'nothing'}", "Write to .html")
    with whole_file(path, PAGE, force=force) as part:
        part.write_text(review_page(made, for_customer=for_customer), encoding="utf-8")


@checked
def review_page(made: Review, *, for_customer: bool = False) -> str:
    """Return the page as text: equal reviews give equal bytes."""
    made = allowed(made) if for_customer else made
    left = join([_plan(made), _processes(made), _risk(made)])
    right = join([_missed(made), _commitments(made)])
    return page(
        f"Account review: {made.account_id}",
        _header(made),
        tag(
            "main",
            "" if for_customer else _next(made),
            _results(made, for_customer),
            tag("div", tag("div", left), tag("div", right), class_="columns"),
        ),
        _footer(made),
        description=f"Account review of {made.account_id} as of {made.as_of_date}",
    )


def _header(made: Review) -> Html:
    facts = [
        ("Customer since", day(made.facts["started_on"])),
        ("Ended", day(made.facts["ended_on"])),
        ("Reason", made.facts["end_reason"]),
        ("Notice given", day(made.facts["notice_on"])),
        ("Annual revenue", number(made.facts["arr"], 6)),
        ("Renewal", _renewal(made)),
        *((name_text(name).capitalize(), _cell(value)) for name, value in made.attributes.items()),
    ]
    pairs = [tag("div", tag("dt", what), tag("dd", told)) for what, told in facts if told]
    kept = pairs[:8]
    stand = tag("p", "Account review, as of ", day(made.as_of_date), class_="soft")
    top = tag("div", tag("h1", made.account_id), stand, class_="top")
    return tag("header", top, tag("dl", *kept, class_="facts"))


def _cell(value: object) -> str:
    return number(value, 6) if isinstance(value, float) else ("" if value is None else str(value))


def _renewal(made: Review) -> Html:
    on = made.facts["renewal_on"]
    if on is None:
        return Html("")
    return join([day(on), f" (in {(on - made.as_of_date).days} days)"])


def _next(made: Review) -> Html:
    if not made.steps:
        text = (
            "The account has ended." if made.facts["ended_on"] else "Nothing is open: keep going."
        )
        return section("next", "Next step", tag("p", text), class_="next")
    first, *others = made.steps[:4]
    lead = [tag("p", step_words(first.text, first.day), class_="first")]
    if first.effect is not None:
        ratio = first.effect
        effect = effect_words(
            {"estimate": ratio.estimate, "low": ratio.low, "high": ratio.high}, days_in(LAG)
        )
        lead.append(tag("p", sentence(effect), class_="small soft"))
    items = [tag("li", step_words(step.text, step.day)) for step in others]
    after = tag("ol", *items, start=2) if items else ""
    return section("next", "Next step to agree on", *lead, after, class_="next")


# Results ------------------------------------------------------------------------------------------


def _results(made: Review, for_customer: bool) -> Html:
    standing = made.standing
    tiles = tag("p", "Nothing has been measured yet.")
    if standing:
        # How many results were shown is about the vendor's work.
        tiles = _tiles([*_measured(standing), *([] if for_customer else [_shown(standing)])])
    listed = _results_table(made, for_customer)
    return section("results", "Results so far", tiles, _figure(made), listed)


Tile = tuple[str, object, object]


def _measured(standing: AccountStatus) -> list[Tile]:
    return [
        (
            f"Latest {name_text(standing.metric)}",
            number(standing.latest),
            _against(standing),
        ),
        ("Since the start", number(standing.latest - standing.first) or "0", join([
            f"was {number(standing.first)} on ", day(standing.first_on)])),
        ("Best so far", number(standing.best), join([
            day(standing.best_on), f", {standing.days_since_best} days ago"])),
        ("Target met, last year", "no target" if standing.met_share is None
         else share_text(standing.met_share), "of the results measured"),
    ]  # fmt: skip


def _shown(standing: AccountStatus) -> Tile:
    count = f"{standing.measured - standing.not_shown} of {standing.measured}"
    last = join(["last on ", day(standing.shown_on)]) if standing.shown_on else "never"
    return "Shown to the customer", count, last


def _tiles(tiles: Sequence[Tile]) -> Html:
    return tag(
        "dl",
        *(tag("div", tag("dt", what), tag("dd", told, tag("small", note)))
          for what, told, note in tiles),
        class_="tiles",
    )  # fmt: skip


def _against(standing: AccountStatus) -> Html:
    if standing.target is None or standing.met is None:
        return join(["no target, ", day(standing.latest_on)])
    word, kind = ("target met", "good") if standing.met else ("target missed", "bad")
    wanted = "at least" if standing.higher_is_better else "at most"
    on = standing.met_on or standing.latest_on
    without = [] if on == standing.latest_on else [
        "; no target, ", day(standing.latest_on)]  # fmt: skip
    return join([
        tag("span", word, class_=kind), f": {wanted} {number(standing.target)}, ", day(on),
        *without,
    ])  # fmt: skip


def _figure(made: Review) -> Html:
    lanes, series = made.lanes(), made.series()
    if series is None and not lanes:
        return Html("")
    title = f"Results and events of {made.account_id} over time"
    told = _described(made)
    first, last = made.facts["started_on"], made.last_day
    drawn = [
        timeline(series, lanes, first, last, title=title, told=told, width=width)
        for width in (WIDE, NARROW)
    ]
    caption = tag("figcaption", "Results against target, and what happened, on one time axis")
    return tag("figure", caption, *drawn, key(marks_used(series, lanes)))


def _described(made: Review) -> str:
    """Return what the picture shows, for those who do not see it."""
    parts, standing = [], made.standing
    if standing:
        parts.append(
            f"{name_text(standing.metric)} went from {number(standing.first)} on"
            f" {day_text(standing.first_on)} to {number(standing.latest)} on"
            f" {day_text(standing.latest_on)} over {standing.measured} results"
        )
    for process in made.processes:
        since = f" since {day_text(process.since)}" if process.since else ""
        parts.append(f"{name_text(process.name)} is {process.state}{since}")
    for rows, what in ((made.tickets, "tickets"), (made.contract_changes, "contract changes")):
        if len(rows):
            parts.append(f"{len(rows)} {what}")
    return "; ".join(parts) + ". The numbers stand in the tables of this page."


def _results_table(made: Review, for_customer: bool) -> Html:
    if not len(made.results):
        return Html("")
    rows = [
        (
            day(row["measured_on"]),
            ("number", number(row["value"])),
            ("number", number(row["target"])),
            {True: "yes", False: "no", None: ""}[row["met"]],
            *(() if for_customer else (day(row["shown_on"]),)),
        )
        for row in map(plain_row, made.results.iloc[::-1].to_dict("records"))
    ]
    metric = name_text(made.standing.metric if made.standing else "result")
    head = ["Measured", metric.capitalize(), "Target", "Met", *([] if for_customer else ["Shown"])]
    listed = table(head, rows, f"{metric}, the latest first")
    return tag("details", tag("summary", "All results as a table"), tag("div", listed,
               class_="scroll", tabindex=0, role="region", aria_label="All results"))  # fmt: skip


# Plan and processes -------------------------------------------------------------------------------


def _plan(made: Review) -> Html:
    plan = made.plan
    if plan is None:
        return section("plan", "Success plan", tag("p", "No plan has been agreed.", class_="bad"))
    target = number(plan["target"])
    rows: list[tuple[str, object]] = [
        ("Objective", plan["objective"]),
        ("Measured by", join([name_text(plan["metric"] or ""), f", target {target}"])
         if target else name_text(plan["metric"] or "")),
        ("Agreed", day(plan["agreed_on"])),
        ("To be reached by", _target_on(made, plan)),
        ("Closed", day(plan["closed_on"])),
        ("Sponsor", plan["sponsor"]),
        *_roles(made),
        ("Next phase", plan["next_phase"]),
    ]  # fmt: skip
    pairs = [piece for what, told in rows if told
             for piece in (tag("dt", what), tag("dd", told))]  # fmt: skip
    title = "Success plan" if plan["closed_on"] is None else "Success plan (closed)"
    return section("plan", title, tag("dl", *pairs, class_="plan"))


def _target_on(made: Review, plan: Any) -> Html:
    on = plan["target_on"]
    if on is None:
        return Html("")
    left = (on - made.as_of_date).days
    if plan["closed_on"] or made.facts["ended_on"]:
        return day(on)
    if left < 0:
        return join([day(on), " ", tag("span", f"{-left} days ago", class_="bad state")])
    return join([day(on), f" (in {left} days)"])


def _roles(made: Review) -> Iterator[tuple[str, object]]:
    """Yield who was last in contact, as far as the analysis tracks it."""
    titles = {"sponsor": "Sponsor last met", "handoff": "Handed over", "diary": "Diary last kept"}
    for kind, last in made.contacts.items():
        yield titles[kind], day(last) if last else "never"


def _processes(made: Review) -> Html:
    if not made.processes:
        return Html("")
    metric = name_text(made.standing.metric) if made.standing else ""
    head = ["Process", "State", "Milestone"]
    around = any(process.before is not None or process.after is not None
                 for process in made.processes)  # fmt: skip
    if around:
        head.append(f"{metric.capitalize()} before and after")
    rows = []
    for process in made.processes:
        cells: list[object] = [
            join([name_text(process.name), tag("span", _needs(process), class_="note")]),
            _state(process),
            _milestone(process),
        ]
        if around:
            cells.append(_around(process))
        rows.append(cells)
    caption = "What the most successful customers do"
    return section("processes", "Essential processes", table(head, rows, caption, class_="cards"))


def _needs(process: ProcessReview) -> str:
    return name_text(process.needs)


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
    # The two stay on one line, which a column has room for.
    return join(
        [
            f"{before}\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}{after}",
            tag("span", "mean of 90 days", class_="note"),
        ]
    )


# Commitments --------------------------------------------------------------------------------------


def _missed(made: Review) -> Html:
    if not made.missed:
        return Html("")
    rows = [
        (sentence(missed.what), missed.owner, join([day(missed.due_on), tag("span",
         f"{missed.days} days ago", class_="note")]), tag("span", "…………", class_="soft"))
        for missed in made.missed
    ]  # fmt: skip
    head, left = ("What", "Who", "Was due", "New date"), len(rows) - MAX_ROWS
    listed = table(head, rows[:MAX_ROWS], "To be agreed anew, or dropped", class_="cards")
    more = [
        tag("p", f"and {left} more", class_="small soft"),
        tag("details", tag("summary", f"All {len(rows)} that were missed"),
            table(head, rows, "All that were missed", class_="cards")),
    ]  # fmt: skip
    return section("missed", "Missed, needs a new date", listed, *(more if left > 0 else ()))


def _commitments(made: Review) -> Html:
    frame = made.commitments
    if not len(frame):
        return section("commitments", "Commitments", tag("p", "None has been recorded."))
    recent = frame.sort_values(["due_on", "action"], ascending=[False, True], kind="stable")
    # The late ones stand among what was missed; of an ended account nothing needs a new date.
    shown = recent[(recent["state"] != LATE) | (made.facts["ended_on"] is not None)]
    rows = [
        (
            row["action"],
            row["owner"],
            day(row["due_on"]),
            join([tag("span", row["state"], class_=f"state {STATE_KINDS[row['state']]}".strip()),
                  join([" ", day(row["completed_on"])]) if row["completed_on"] else ""]),
        )
        for row in map(plain_row, shown.to_dict("records"))
    ]  # fmt: skip
    head = ("What", "Who", "Due", "State")
    listed = table(head, rows[:MAX_ROWS], "Open and lately done", class_="cards")
    every = table(head, rows, "All of these, the last due first", class_="cards")
    details = tag("details", tag("summary", f"All {len(rows)} of these"), every)
    return section(
        "commitments", "Commitments of both sides", _kept(made), listed if rows else "",
        details if len(rows) > MAX_ROWS else "",
    )  # fmt: skip


def _kept(made: Review) -> Html:
    frame, told = made.commitments, []
    for owner in ("customer", "vendor"):
        mine = frame[frame["owner"] == owner]
        if len(mine):
            count = {state: int((mine["state"] == state).sum()) for state in STATE_KINDS}
            told.append(
                f"{owner.capitalize()}: {count[DONE]} done in time, {count[DONE_LATE]} done late,"
                f" {count[LATE]} not done in time and still open, {count[OPEN]} not yet due"
            )
    return join([tag("p", line, class_="small") for line in told])


# Risk and footer ----------------------------------------------------------------------------------


def _risk(made: Review) -> Html:
    risk = made.risk
    if risk is None:
        return Html("")
    reasons: Sequence[str] = risk.reasons
    listed = tag("ul", *(tag("li", sentence(reason)) for reason in reasons))
    what = tag("p", "What raises it most, compared with other accounts:") if reasons else ""
    return section("risk", "Risk (internal, not for the customer)", tag("p", f"{risk}."), what,
                    listed if reasons else "")  # fmt: skip


def _footer(made: Review) -> Html:
    model = f" Model {made.risk.model_version}." if made.risk else ""
    return tag("footer", tag("p",
        f"What was known at midnight of {day_text(made.as_of_date)}, and nothing later. Before and"
        " after shows what went together, not what caused what." + model))  # fmt: skip
