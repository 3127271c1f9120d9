"""Write the call list and the pages of its accounts, for `leadsignal score` and `report`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from leadsignal.cli.printing import progress_bar, say

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.as_of_context import AsOfContext
    from leadsignal.model.churn_model import ChurnModel
    from leadsignal.scoring.scores import Scores
    from leadsignal.tables import Tables


def write_for_people(options: argparse.Namespace, tables: Tables, scores: Scores) -> None:
    """Write the call list and the pages of its accounts, if requested."""
    from leadsignal.as_of_context import AsOfContext

    if options.accounts_dir:  # Before the call list, which links to existing pages.
        analysis = scores.recipe.analysis if scores.recipe else None
        write_pages(options, scores, AsOfContext.of(tables, analysis))
    _write_call_list(options, scores.frame)


def write_kept_for_people(
    options: argparse.Namespace, model: ChurnModel, tables: Tables, file: Path
) -> None:
    """Write the call list and pages from scores that were in a file before this run."""
    from leadsignal.scoring.batch import read_scores

    kept = read_scores(file)
    if options.accounts_dir:
        write_for_people(options, tables, _kept_scores(model, tables, kept))
    else:
        _write_call_list(options, kept)


def write_pages(
    options: argparse.Namespace,
    scores: Scores,
    context: AsOfContext,
    accounts: Iterable[str] | None = None,
) -> None:
    """Write the pages of accounts, by default those on the call list, to --accounts-dir."""
    from leadsignal.report.account_pages import write_account_pages

    with progress_bar(options, "account pages") as progress:
        pages = write_account_pages(
            context.tables,
            scores,
            options.accounts_dir,
            context.analysis,
            accounts=accounts,
            context=context,
            progress=progress,
        )
    say(options, f"{len(pages):,} account pages written to {options.accounts_dir}")


def _write_call_list(options: argparse.Namespace, newest: pd.DataFrame) -> None:
    """Write the call list if requested; earlier dates come from the folder of scores."""
    from leadsignal.scoring.batch import read_scores
    from leadsignal.scoring.call_list import write_call_list

    if options.call_list:
        dated = options.out is not None and options.out.is_dir()
        earlier = read_scores(options.out) if dated else None
        write_call_list(
            newest,
            options.call_list,
            earlier,
            pages=options.accounts_dir,
            force=options.force,
        )


def _kept_scores(model: ChurnModel, tables: Tables, kept: pd.DataFrame) -> Scores:
    """Return the kept scores of a date, with the details that account pages need."""
    from dataclasses import replace

    from leadsignal.errors import OptionError
    from leadsignal.scoring.scores import score_accounts

    version = kept["model_version"].iloc[0]
    if version != model.version_:
        day = tables.as_of_date
        raise OptionError(
            f"the scores of {day} are kept, and are of model {version}, not {model.version_}",
            f"Give --replace {day}, or leave out --accounts-dir",
        )
    return replace(score_accounts(model, tables), frame=kept)
