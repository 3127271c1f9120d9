"""Tables to paste: Markdown, HTML, CSV and XLSX, each number with its interval."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.cohorts.comparison import FEWEST, TITLES, Comparison, Contrast
from leadsignal.errors import OptionError
from leadsignal.files.outputs import COMPARISON
from leadsignal.files.spreadsheets import safe_frame, safe_text
from leadsignal.files.writing import whole_file

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".md", ".html", ".csv", ".xlsx")
HEAD = (
    "cohort",
    "against",
    "method",
    "adjusted for",
    "accounts",
    "churn ratio",
    "mean days more",
    "times as long",
    "naive off by",
)


def frame_of(comparison: Comparison) -> pd.DataFrame:
    """Return one row a contrast, each limit in its own column."""
    import pandas as pd

    return pd.DataFrame([_row(contrast) for contrast in comparison.contrasts])


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


def _cells(comparison: Comparison) -> list[tuple[str, ...]]:
    rows = []
    for c in comparison.contrasts:
        numbers = (c.hazard_ratio, c.rmst_days, c.rmst_ratio, c.shrinkage)
        if c.suppressed:
            told = (f"fewer than {FEWEST}", *[""] * 4)
        else:
            told = (f"{c.accounts[0]:,} / {c.accounts[1]:,}",
                    *("" if n is None else str(n) for n in numbers))  # fmt: skip
        # A table that is pasted into a spreadsheet is read like a file.
        names = map(safe_text, (c.cohort, c.against, TITLES[c.method], ", ".join(c.adjusted_for)))
        rows.append((*names, *told))
    return rows


def markdown_of(comparison: Comparison) -> str:
    """Return the contrasts as a Markdown table, then verdict and cautions."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for row in _cells(comparison):
        lines.append("| " + " | ".join(_escaped(cell) for cell in row) + " |")
    notes = [f"- {_escaped(caution)}" for caution in comparison.cautions]
    verdict = [_escaped(line) for line in comparison.verdict.splitlines()]
    return "\n".join([*lines, "", *verdict, "", *notes]) + "\n"


def _escaped(text: str) -> str:
    for mark in ("\\", "|", "<", "*", "`", "["):
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


def html_of(comparison: Comparison) -> str:
    """Return the contrasts as an HTML table, then verdict and cautions."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in _cells(comparison)
    )
    cautions = "".join(f"<li>{html.escape(caution)}</li>" for caution in comparison.cautions)
    caption = f"Cohorts by {html.escape(comparison.by)}, until the end was known"
    return (
        f"<table><caption>{caption}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{html.escape(comparison.verdict)}</p><ul>{cautions}</ul>"
    )


def write_table(comparison: Comparison, path: str | Path, *, force: bool = False) -> None:
    """Write the table in the form that the ending names."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise OptionError(f"{path} ends in {ending or 'nothing'}", f"Write to {', '.join(ENDINGS)}")
    if ending == ".xlsx":
        _require_openpyxl()
    with whole_file(path, COMPARISON, force=force) as part:
        if ending == ".md":
            part.write_text(markdown_of(comparison), encoding="utf-8")
        elif ending == ".html":
            part.write_text(html_of(comparison), encoding="utf-8")
        elif ending == ".csv":
            safe_frame(frame_of(comparison)).to_csv(part, index=False, lineterminator="\n")
        else:
            _write_xlsx(frame_of(comparison), part)


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
