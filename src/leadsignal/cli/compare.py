"""`leadsignal compare`: cohorts, naive beside corrected."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leadsignal.cli.inputs import (
    new_command,
    read_analysis,
    read_given_tables,
    read_options,
)
from leadsignal.cli.outputs import writes
from leadsignal.cli.printing import done, say
from leadsignal.files.outputs import COMPARISON


def add_commands(commands: Any) -> None:
    """Add what this file holds to the command line."""
    compare = new_command(
        commands, "compare", _compare, "compare cohorts by naive and corrected methods",
        outputs=writes(out=COMPARISON),
    )  # fmt: skip
    compare.add_argument("--by", required=True, metavar="NAME|all", help="measured, complained, …")
    compare.add_argument(
        "--method", action="append", metavar="M",
        help="naive, time_dependent, landmark, target_trial (default: all)",
    )  # fmt: skip
    compare.add_argument("--adjust", action="append", default=[], metavar="COLUMN",
                         help="compare accounts alike in this; can be given again")  # fmt: skip
    compare.add_argument("--landmark", metavar="90d", help="day at which accounts are sorted")
    compare.add_argument("--until", metavar="730d", help="how far mean days are counted")
    compare.add_argument("--out", type=Path, metavar="FILE", help=".md, .html, .csv or .xlsx")


def _compare(options: argparse.Namespace) -> int:
    from leadsignal.cohorts.overview import compare_all, compare_cohorts
    from leadsignal.errors import OptionError

    project = read_options(options)
    tables, analysis = read_given_tables(options, project), read_analysis(project)
    requested = {"methods": options.method, "adjust": options.adjust,
             "landmark": options.landmark, "horizon": options.until}  # fmt: skip
    if options.by == "all":
        if options.out:
            raise OptionError("--out writes one comparison", "Name it in --by, or use --json")
        overview = compare_all(tables, analysis, **requested)
        say(options, overview)
        return done(options, overview.to_dict())
    comparison = compare_cohorts(tables, options.by, analysis, **requested)
    if options.out:
        comparison.write(options.out, force=options.force)
    say(options, comparison)
    return done(options, comparison.to_dict())
