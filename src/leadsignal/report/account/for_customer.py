"""The part of a review that the customer may see.

Only what is listed here is included: columns, facts and attributes added later are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from leadsignal.report.account.parts import ProcessReview
from leadsignal.report.account.review import Review

if TYPE_CHECKING:
    import pandas as pd

FACTS = ("name", "started_on", "ended_on")
"""Facts of the account that are included."""

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
"""Columns that are included, by frame; frames without columns are empty."""


def for_customer(review: Review) -> Review:
    """Return what the customer may see of a review: plan, results, processes and commitments.

    Left out are risk, next steps, revenue, term, renewal, notice, the reason for an end, all
    attributes, tickets, contract changes, contacts, and which results were shown.

    >>> import leadsignal as ls
    >>> review = ls.review_account(ls.read_tables(ls.sample_folder()), "A-10002")
    >>> visible = for_customer(review)
    >>> visible.facts["arr"], dict(visible.attributes), visible.status.latest
    (None, {}, 8.9)
    """
    frames = {name: _only(getattr(review, name), columns) for name, columns in ROWS.items()}
    return Review(
        account_id=review.account_id,
        as_of_date=review.as_of_date,
        facts={name: value if name in FACTS else None for name, value in review.facts.items()},
        attributes={},
        objective="",
        status=review.status and replace(review.status, not_shown=0, shown_on=None),
        processes=tuple(_process(process) for process in review.processes),
        contacts={},
        missed=review.missed,
        steps=(),
        risk=None,
        **frames,
    )


def _process(process: ProcessReview) -> ProcessReview:
    return replace(process, why="")


def _only(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows with the values of some columns only; the other columns are empty."""
    import pandas as pd

    if not columns:
        return frame.iloc[:0]
    hidden = [name for name in frame.columns if name not in columns]
    empty = {name: pd.Series([None] * len(frame), index=frame.index, dtype=object)
             for name in hidden}  # fmt: skip
    return frame.assign(**empty)
