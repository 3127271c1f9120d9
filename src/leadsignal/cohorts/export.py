"""Comparisons as Markdown, CSV and XLSX, each number with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cohorts.contrasts import MIN_ACCOUNTS, TITLES, Contrast
from leadsignal.cohorts.wording import QUANTITIES, numbers_of
from leadsignal.errors import OptionError
from leadsignal.files.outputs import COMPARISON
from leadsignal.files.spreadsheets import safe_frame, safe_text
from leadsignal.files.writing import atomic_write

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".md", ".csv", ".xlsx")
HEAD = ("cohort", "against", "method", "adjusted for", "accounts", *QUANTITIES)


def frame_of(contrasts: Sequence[Contrast]) -> pd.DataFrame:
    """Return one row per contrast, with each confidence limit in a column of its own."""
    import pandas as pd

    return pd.DataFrame([_row(contrast) for contrast in contrasts])


def _row(contrast: Contrast) -> dict[str, Any]:
    row: dict[str, Any] = {
        "cohort": contrast.cohort,
        "against": contrast.against,
        "method": contrast.method,
        "adjusted_for": ", ".join(contrast.adjusted_for),
        "suppressed": contrast.suppressed,
    }
    inside, outside = (None, None) if contrast.suppressed else contrast.accounts
    row |= {"accounts": inside, "accounts_against": outside}
    for name in ("hazard_ratio", "rmst_days", "rmst_ratio", "shrinkage"):
        number = getattr(contrast, name)
        row[name] = None if number is None else number.estimate
        row[f"{name}_low"] = None if number is None else number.low
        row[f"{name}_high"] = None if number is None else number.high
    row["p"] = None if contrast.hazard_ratio is None else contrast.hazard_ratio.p
    row["e_value"] = None if contrast.e_value is None else contrast.e_value[0]
    row["from_day"], row["horizon_days"] = contrast.origin, contrast.horizon
    return row


def _cells(contrasts: Sequence[Contrast]) -> list[tuple[str, ...]]:
    rows = []
    for c in contrasts:
        cells = [f"fewer than {MIN_ACCOUNTS}", *[""] * len(QUANTITIES)]
        if not c.suppressed:
            cells = [f"{c.accounts[0]:,} / {c.accounts[1]:,}", *numbers_of(c)]
        # Text pasted into a spreadsheet can run as a formula, just as text in a file can.
        names = map(safe_text, (c.cohort, c.against, TITLES[c.method], ", ".join(c.adjusted_for)))
        rows.append((*names, *cells))
    return rows


def markdown_of(
    contrasts: Sequence[Contrast], verdict: str, cautions: Sequence[str], above: Sequence[str] = ()
) -> str:
    """Return lines ``above``, the contrasts as a Markdown table, the verdict and the cautions."""
    lines = [part for line in above for part in (_escaped(line), "")]
    lines += [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for row in _cells(contrasts):
        lines.append("| " + " | ".join(_escaped(cell) for cell in row) + " |")
    notes = [f"- {_escaped(caution)}" for caution in cautions]
    paragraphs = [_escaped(line) for line in verdict.splitlines()]
    return "\n".join([*lines, "", *paragraphs, "", *notes]) + "\n"


def _escaped(text: str) -> str:
    for mark in ("\\", "|", "<", "*", "`", "["):
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


def write_table(
    frame: pd.DataFrame, markdown: str, path: str | Path, *, force: bool = False
) -> Path:
    """Write the frame, or its Markdown, in the format given by the file extension."""
    place, ending = Path(path), Path(path).suffix.lower()
    if ending not in ENDINGS:
        problem = f"{path} ends in {ending or 'nothing'}"
        page = " (leadsignal.report.write_comparison writes the page)" if ending == ".html" else ""
        raise OptionError(problem, f"Write to {', '.join(ENDINGS)}{page}")
    if ending == ".xlsx":
        _require_openpyxl()
    with atomic_write(place, COMPARISON, force=force) as part:
        if ending == ".csv":
            safe_frame(frame).to_csv(part, index=False, lineterminator="\n")
        elif ending == ".xlsx":
            _write_xlsx(frame, part)
        else:
            part.write_text(markdown, encoding="utf-8")
    return place


def _require_openpyxl() -> None:
    from importlib.util import find_spec

    if find_spec("openpyxl") is None:
        raise OptionError(
            "writing .xlsx needs openpyxl, which is not installed",
            "Install it (pip install openpyxl), or write to .csv",
        )


def _write_xlsx(frame: pd.DataFrame, part: Path) -> None:
    import pandas as pd

    with pd.ExcelWriter(part, engine="openpyxl") as book:
        safe_frame(frame).to_excel(book, index=False, sheet_name="cohorts")
