"""What of a review the customer may see, as a list of what is allowed: nothing else is shown.

A column, fact or attribute that is added later stays out until it is named here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from leadsignal.report.account.parts import ProcessReview
from leadsignal.report.account.review import Review

if TYPE_CHECKING:
    import pandas as pd

FACTS = ("started_on", "ended_on")
"""Facts of the account: since when, and until when, it is a customer."""

ROWS: Mapping[str, Sequence[str]] = {
    "plans": ("agreed_on", "objective", "metric", "target", "target_on", "sponsor", "next_phase",
              "closed_on"),
    "results": ("measured_on", "value", "metric", "target", "higher_is_better", "met"),
    "commitments": ("agreed_on", "due_on", "action", "owner", "completed_on", "state",
                    "days_after_due"),
    "episodes": ("process", "adopted_on", "lapsed_on"),
    "tickets": (),
    "contract_changes": (),
}  # fmt: skip
"""Columns by frame; of a frame without any, no row is shown."""


def for_customer(made: Review) -> Review:
    """Return what the customer may see of a review: plan, results, processes and commitments.

    Left out are risk, next steps, revenue, term, renewal, notice, the reason for an end, all
    attributes, tickets, contract changes, contacts, and which results were shown.

    >>> import leadsignal as ls
    >>> review = ls.review_account(ls.read_tables(ls.sample_folder()), "A-10001")
    >>> shown = for_customer(review)
    >>> shown.facts["arr"], dict(shown.attributes), shown.standing.latest
    (None, {}, 7.5)
    """
    frames = {name: _only(getattr(made, name), columns) for name, columns in ROWS.items()}
    return Review(
        account_id=made.account_id,
        as_of_date=made.as_of_date,
        facts={name: value if name in FACTS else None for name, value in made.facts.items()},
        attributes={},
        objective="",
        standing=made.standing and replace(made.standing, not_shown=0, shown_on=None),
        processes=tuple(_process(process) for process in made.processes),
        contacts={},
        missed=made.missed,
        steps=(),
        risk=None,
        **frames,
    )


def _process(process: ProcessReview) -> ProcessReview:
    return replace(process, why="")


def _only(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows with the values of some columns only; the others are there, and empty."""
    import pandas as pd

    if not columns:
        return frame.iloc[:0]
    hidden = [name for name in frame.columns if name not in columns]
    empty = {name: pd.Series([None] * len(frame), index=frame.index, dtype=object)
             for name in hidden}  # fmt: skip
    return frame.assign(**empty)
