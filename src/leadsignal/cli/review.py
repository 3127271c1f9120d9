"""`leadsignal review`: one account's page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import new_command, read_analysis, read_given_tables, read_options
from leadsignal.cli.outputs import writes
from leadsignal.cli.printing import done, say
from leadsignal.files.outputs import PAGE


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    review = new_command(commands, "review", _review, "write one account's page for a meeting",
                         outputs=writes(out=PAGE))  # fmt: skip
    review.add_argument("--account", required=True, metavar="ID", help="the account_id")
    review.add_argument("--out", type=Path, required=True, metavar="FILE", help=".html")
    review.add_argument(
        "--model", type=Path, metavar="MODEL", help="tells the risk and its reasons"
    )
    review.add_argument(
        "--for-customer",
        action="store_true",
        help="show only what the customer may see: plan, results, processes, commitments",
    )


def _review(options: argparse.Namespace) -> int:
    from leadsignal.model.persistence.saved_models import load_model
    from leadsignal.report.account.for_customer import for_customer
    from leadsignal.report.account.reading import review_account
    from leadsignal.report.account_page import write_review

    model = load_model(options.model) if options.model else None
    project = read_options(options)
    tables, analysis = read_given_tables(options, project), read_analysis(project)
    review = review_account(tables, options.account, analysis, model=model)
    if options.for_customer:
        review = for_customer(review)  # The printout and the JSON may be passed on as well.
    write_review(review, options.out, for_customer=options.for_customer, force=options.force)
    say(options, f"{review}\nwritten to {options.out}")
    return done(options, {**review.to_dict(), "review": str(options.out)})
