"""Write docs/commands.md from the parser, and from what the commands print on the sample.

    python docs/make/commands.py docs/commands.md          # options anew, examples as they stand
    python docs/make/commands.py docs/commands.md --run            # examples anew (some minutes)
    python docs/make/commands.py docs/commands.md --run monitor    # only those of some commands

A test holds the page to the parser: a command or an option that is not on it fails the suite.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from leadsignal.cli import EPILOG, _parser, main
from leadsignal.errors import EXIT_CODES

ROOT = Path(__file__).parents[2]
EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("leadsignal demo --out {out}/demo",),
    "init": ("leadsignal init {out}/exports",),
    "check": ("leadsignal check data/sample",),
    "discover": ("leadsignal discover data/sample",),
    "panel": ("leadsignal panel data/sample --out {out}/panel.parquet",),
    "audit": ("leadsignal audit data/sample",),
    "backtest": ("leadsignal backtest data/sample --origins 2 --estimator logistic",),
    "fit": ("leadsignal fit data/sample --out {out}/my_model",),
    "score": ("leadsignal score data/sample --model {out}/my_model --out {out}/scores.csv",),
    "compare": ("leadsignal compare data/sample --by measured --out {out}/measured.html",),
    "review": ("leadsignal review data/sample --account A-10002 --out {out}/review.html",),
    "monitor": ("leadsignal monitor data/sample --scores {out}/scores.csv",),
    "report": ("leadsignal report data/sample --out {out}/report.html",),
}
"""One example a command or more, in the order in which they can be run; {out} is a folder."""
EXPORTS = {
    "subscriptions.csv": """\
id,Customer ID,Plan,Quantity,Currency,Interval,Amount,Status,Start Date (UTC),Canceled At (UTC),Ended At (UTC)
sub_1,cus_1,Team,1,usd,month,199.00,active,2024-02-01 09:12,,
sub_2,cus_2,Starter,1,usd,month,49.00,canceled,2024-03-15 14:02,2025-01-10 08:30,2025-03-15 14:02
sub_3,cus_3,Team,1,usd,month,199.00,incomplete_expired,2024-05-02 10:00,,2024-05-03 10:00
sub_4,cus_4,Business,1,usd,year,6400.00,active,2024-06-20 16:45,,
""",
    "customers.csv": """\
id,Name,Email,Created (UTC),Delinquent
cus_1,Alder Foods,a@example.com,2024-01-30 08:00,false
cus_2,Coral Labs,b@example.com,2024-03-15 14:00,false
cus_3,Dune Works,c@example.com,2024-05-02 09:58,false
cus_4,Ember Health,d@example.com,2024-06-20 16:40,false
""",
}
"""A small export, for the example of init."""
MORE = {
    "init": "What each system exports, and how to answer the questions:"
    " [bring your own exports](bring-your-own.md).",
    "check": "All faults of all files at once: [tables](tables.md) lists what is checked.",
    "demo": "Nothing but the packaged sample is needed.",
    "discover": "What is asked, and what it rests on: [discovery](discovery.md).",
    "panel": "One row an account and snapshot; the columns are the [indicators](indicators.md).",
    "audit": "What the verdicts mean: [before usage drops](before-usage-drops.md#audit).",
    "backtest": "What is counted, and why: [before usage drops](before-usage-drops.md#alerts).",
    "fit": "The model folder holds no pickle, and says what it was fitted on.",
    "score": "The columns are those of `Scores.to_frame()`. Every week, with dates kept by themselves:"
    " [scheduled scoring](scheduled-scoring.md). To a table of a database:"
    " [databases](databases.md#scores-written-to-a-table).",
    "compare": "What the methods are, and when to believe which: [cohorts](cohorts.md). `--by all --out"
    " explorer.html` writes every comparison, also within segments.",
    "review": "One account on one sheet: [the account page](account-page.md).",
}
OUTPUTS = """
## What is written where

No command destroys what it did not write. An output may replace

- a file that is empty, or that looks like one of the same kind of ours: scores, a panel, a report, a comparison, a
  run record, the metrics of a run, the JSON of a command. `files/outputs.py` defines each kind;
- a model's folder (`fit --out`) or one of account pages (`--accounts-dir`) that is empty, or holds one of our models,
  or our pages, and nothing else. Into a folder of scores (`score --out FOLDER`) dates are only added.

It is never an input of the run, nor anything that the project reads, names, or would read: its tables and settings,
databases in files, credentials, `--model`, `--scores`, `--contacts`. New files in the project's folder are fine,
unless they are called like a table. `--force` replaces other files, but no input, and no folder. Two outputs
of one run must be two files, and none may lie in a folder of a model or of account pages.

A link stays a link, and what it leads to is written by these rules; another name of the same file (a hard link) keeps
the old content. FIFOs, sockets and devices are refused; `--json -` is for pipes. In Python the same holds for
everything that writes (`save_model`, `write_scores`, `write_report`, …), with `force=True`, of all
projects that the process has read.

Ctrl-C and SIGTERM end a command with one line; its temporary files are removed, and where it keeps a run record, that
says `interrupted`. A reader of its output that goes away (`| head -1`) fails no run. Where another run writes the same output, the
command ends with exit code 5; `LEADSIGNAL_LOCK_WAIT=600` lets it wait up to 600 seconds first (databases: 60 unless it is
set)."""
MAX_LINES, MAX_WIDTH = 24, 220
"""Maximum number of lines, and of characters per line, shown of an example's output."""


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, in the order of the flow."""
    for action in _parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise LookupError("the parser has no commands")


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return what a command takes, without --help."""
    return [action for action in parser._actions if action.dest != "help"]


def named(action: argparse.Action) -> str:
    """Return an option as it is typed: `--every 28d`."""
    if not action.option_strings:
        return f"`{action.metavar}`"
    if action.nargs == 0:
        return f"`{action.option_strings[0]}`"
    value = action.metavar or "|".join(map(str, action.choices or ())) or "N"
    text = f"{action.option_strings[0]} {value}"
    return f"`{text}`".replace("|", "\\|")


def meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """Return what an option does, in the words of --help."""
    text = (action.help or "").replace("%(default)s", str(action.default))
    if not text and action.option_strings:
        text = "needed" if action.required else f"default: {action.default}"
    elif action.required and action.option_strings:
        text = f"{text}; needed"
    return text.replace("|", "\\|")


def shared(parsers: dict[str, argparse.ArgumentParser]) -> list[argparse.Action]:
    """Return the options that every command on a project takes."""
    projects = [p for p in parsers.values() if any(a.dest == "project" for a in p._actions)]
    common = set.intersection(*({named(a) for a in options(p)} for p in projects))
    return [action for action in options(projects[0]) if named(action) in common]


def table(actions: list[argparse.Action], parser: argparse.ArgumentParser) -> list[str]:
    """Return a table of options."""
    rows = [f"| {named(action)} | {meaning(action, parser)} |" for action in actions]
    return ["| option | what it does |", "|---|---|", *rows]


def run(example: str, out: str) -> str:
    """Run an example and return what it prints, the folder and long tails left out."""
    printed = io.StringIO()
    arguments = shlex.split(example.format(out=out))[1:]
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        code = main(arguments)
    if code:
        raise SystemExit(f"{example} ended with {code}")
    lines = printed.getvalue().replace(f"{out}/", "").rstrip().splitlines()
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"… {len(lines) - MAX_LINES} more lines"]
    return "\n".join(shorten(line.rstrip()) for line in lines)


def shorten(line: str) -> str:
    """Return a line without its long tail."""
    return line if len(line) <= MAX_WIDTH else f"{line[:MAX_WIDTH]}…"


def outputs_of(page: str) -> dict[str, str]:
    """Return what each example printed when the page was last written."""
    found = re.findall(r"```sh\n(leadsignal .*?)\n```\n\n```text\n(.*?)\n```", page, re.DOTALL)
    return dict(found)


def page(outputs: dict[str, str]) -> str:
    """Return the page; ``outputs`` holds what the examples print, by how they are typed."""
    parsers = commands()
    common = shared(parsers)
    names = {named(action) for action in common}
    lines = [
        "# Commands",
        "",
        "Written by `docs/make/commands.py` from the parser and from what the examples print on the",
        "packaged sample. In a clone, use `./run` instead of `leadsignal`.",
        "",
        *EPILOG.strip().splitlines(),
        "",
        "## What all commands on a project take",
        "",
        *table(common, next(iter(parsers.values()))),
        "",
        "Tables for people go to stdout, progress and logs to stderr; with `--json -` the JSON goes to",
        "stdout and the words to stderr. Files are written whole or not at all. The JSON of every command has",
        "`ok`, true where the exit code is 0. A command prints about a screen; `--details` prints the whole table.",
        "Colours are for terminals only, and not where `NO_COLOR` is set. On a terminal a line shows what is",
        "running and for how long; elsewhere each part leaves one line with date and time. In notebooks bars do",
        "(`LEADSIGNAL_PROGRESS=0` turns them off).",
        *OUTPUTS.splitlines(),
        "",
        "## Exit codes",
        "",
        "| exit code | means | a scheduler should |",
        "|---|---|---|",
        *(f"| {code} | {means} | {then} |" for code, (means, then) in EXIT_CODES.items()),
    ]
    for name, parser in parsers.items():
        own = [a for a in options(parser) if named(a) not in names]
        described = parser.description or ""
        lines += [
            "",
            f"## {name}",
            "",
            f"{described[:1].upper()}{described[1:]}.",
        ]
        if name in MORE:
            lines += ["", MORE[name]]
        if own:
            lines += ["", *table(own, parser)]
        for example in EXAMPLES[name]:
            typed = example.replace("{out}/", "")
            lines += ["", "```sh", typed, "```", "", "```text", outputs.get(typed, ""), "```"]
    return "\n".join(lines) + "\n"


def run_examples(names: list[str]) -> dict[str, str]:
    """Run examples (all, if none is named) on the sample, one after the other in one folder."""
    outputs = {}
    needed = {*names, *({"fit", "score"} if {"score", "monitor"} & set(names) else ())}
    with TemporaryDirectory() as out:
        Path(out, "exports").mkdir()
        for name, text in EXPORTS.items():
            Path(out, "exports", name).write_text(text, encoding="utf-8")
        ready = [name for name in EXAMPLES if name in commands()]
        for name in [name for name in ready if not names or name in needed]:
            for example in EXAMPLES[name]:
                outputs[example.replace("{out}/", "")] = run(example, out)
    return outputs


if __name__ == "__main__":
    warnings.simplefilter("error")
    os.chdir(ROOT)
    target = Path(sys.argv[1])
    before = outputs_of(target.read_text(encoding="utf-8")) if target.exists() else {}
    if "--run" in sys.argv:
        before |= run_examples(sys.argv[sys.argv.index("--run") + 1 :])
    target.write_text(page(before), encoding="utf-8")
