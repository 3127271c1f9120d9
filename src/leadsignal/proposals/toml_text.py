"""The text of a proposed project file: settings with their reasons as comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from leadsignal.config.toml_files import as_toml
from leadsignal.proposals.settled import attribute_headers
from leadsignal.proposals.table_proposal import ColumnProposal, TableProposal

MAX_SAMPLE = 30
"""Maximum number of characters of a value in a comment."""
HEAD = """\
# Proposed by `leadsignal init`. Lines that begin with "# ?" are questions: answer them, then run
# `leadsignal check` on this folder. Behind each column: why, and two values.
"""


def toml_text(
    tables: Sequence[TableProposal], not_used: Mapping[str, str], questions: Sequence[str]
) -> str:
    """Return the project file; tables that are not ready are comments."""
    blocks = [HEAD + "".join(f"\n# ? {one}" for one in questions)]
    blocks += ["\n".join(_section(table)) for table in tables]
    if not_used:
        lines = [f"#   {path}: {why}" for path, why in not_used.items()]
        blocks.append("\n".join(["# Not used:", *map(_one_line, lines)]))
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def _section(table: TableProposal) -> Iterator[str]:
    yield _one_line(f"# {table.file.place}: {table.reason}")
    for question in table.questions:
        yield _one_line(f"# ? {question}")
    comment = "" if table.is_ready else "# "
    yield f"{comment}[tables.{table.table}]"
    for name, value in _options(table):
        yield f"{comment}{name} = {_value(value)}"
    offered = attribute_headers(table) if table.table == "accounts" else []
    if offered:
        yield f"# attributes = {_value(offered)}"
    yield f"{comment}[tables.{table.table}.columns]"
    for column in table.columns:
        yield f"{comment}{_column(column)}"


def _options(table: TableProposal) -> Iterator[tuple[str, object]]:
    if "query" not in table.options:
        yield "path", table.file.path
    yield from table.file.options.items()
    yield from table.options.items()


def _column(column: ColumnProposal) -> str:
    setting = f"{column.column} = {_value(column.header)}"
    samples = [_short(sample) for sample in column.samples]
    shown = f"; {' | '.join(samples)}" if samples else ""
    share = "" if column.share == 1.0 else f", {column.share:.0%} of the cells agree"
    return _one_line(f"{setting:<40}  # {column.reason}{share}{shown}")


def _value(value: object) -> str:
    """Return a value as TOML; keys are without quotes where they can be."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return as_toml(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else as_toml(name)


def _short(sample: str) -> str:
    return sample if len(sample) <= MAX_SAMPLE else f"{sample[: MAX_SAMPLE - 1]}…"


def _one_line(text: str) -> str:
    """Return a comment without what would end it: control characters are dropped."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
