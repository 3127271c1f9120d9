"""The bullseye on one page: objective, measure of success, traits, essential processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from leadsignal.arguments import checked
from leadsignal.config.success import Bullseye, Process, SuccessAnalysis
from leadsignal.errors import OptionError
from leadsignal.files.outputs import BULLSEYE
from leadsignal.files.writing import atomic_write, json_fields
from leadsignal.html_pages import Html, join, page, tag
from leadsignal.plots import BLUES, COLOURS, GREY, LABEL, TITLE, axes_of
from leadsignal.success_analysis.interview_kit import MAX_ITEMS, markdown, one_line, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Ring:
    """The bullseye of a group of accounts: ``whose`` (empty: all), texts and processes."""

    whose: str
    bullseye: Bullseye
    processes: tuple[Process, ...]


@dataclass(frozen=True, repr=False)
class BullseyePage:
    """The bullseye on one page: one ring for all accounts, or one for each segment."""

    rings: tuple[Ring, ...]

    def to_markdown(self) -> str:
        """Return the page as Markdown, with all texts escaped."""
        return "\n\n".join(map(_markdown, self.rings)) + "\n"

    def to_html(self) -> str:
        """Return the page as a self-contained HTML document."""
        return page("Bullseye", tag("main", *map(_html, self.rings)), kind="bullseye")

    def write(self, path: str | Path, *, force: bool = False) -> None:
        """Write the page as ``.md`` or ``.html``, completely or not at all.

        Raises OptionError for another suffix. An existing file that is not a bullseye written by
        leadsignal is replaced only with ``force``.
        """
        kinds = {".md": self.to_markdown, ".html": self.to_html}
        make = kinds.get(Path(path).suffix.lower())
        if make is None:
            raise OptionError(f"{path} does not end in .md or .html", "Choose one of the two")
        with atomic_write(path, BULLSEYE, force=force) as part:
            part.write_text(make(), encoding="utf-8", newline="\n")

    def to_dict(self) -> dict[str, Any]:
        """Return the page as plain dictionaries, ready for JSON."""
        rings = [
            {
                "whose": ring.whose,
                **json_fields(ring.bullseye, "objective", "success_metric", "traits"),
                "processes": [str(process) for process in ring.processes],
            }
            for ring in self.rings
        ]
        return {"rings": rings}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per line of the page: whose, element, text."""
        rows = [(ring.whose, element, text) for ring in self.rings for element, text in _rows(ring)]
        return pd.DataFrame(rows, columns=["whose", "element", "text"])

    def plot(self, ax: Axes | None = None, *, whose: str | None = None) -> Axes:
        """Plot one bullseye, by default the first, with its texts beside it; return the Axes."""
        from matplotlib.patches import Circle

        named = [ring for ring in self.rings if whose in (None, ring.whose)]
        if not named:
            known = ", ".join(ring.whose or "everybody" for ring in self.rings)
            raise OptionError("there is no such bullseye", f"Choose from {known}")
        ring, said = named[0], named[0].bullseye
        axes = axes_of(ax, (10.0, 5.2))
        axes.set(xlim=(-1.05, 3.2), ylim=(-1.12, 1.12))
        axes.set_aspect("equal")
        axes.set_axis_off()
        for radius, fill in zip((1.0, 0.75, 0.5, 0.25), BLUES, strict=True):
            axes.add_patch(Circle((0, 0), radius, facecolor=fill, edgecolor="white", linewidth=2))
        elements = (
            ("Objective", [wrapped(said.objective, 52)], (0.06, 0.1)),
            ("Measure of success", [wrapped(said.success_metric, 52)], (0.33, 0.18)),
            ("Essential processes", _process_lines(ring.processes), (0.62, 0.0)),
            ("Who succeeds", [wrapped(trait, 52) for trait in said.traits], (0.75, -0.45)),
        )
        top = 1.08
        for title, lines, point in elements:
            if not lines:
                continue
            axes.annotate(
                title, xy=point, xytext=(1.22, top), fontsize=LABEL, color=COLOURS[0], va="top",
                weight="bold", arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.8,
                                           "relpos": (0, 0.5)},
            )  # fmt: skip
            body = "\n".join(lines)
            axes.text(1.22, top - 0.1, body, fontsize=TITLE, va="top", linespacing=1.25)
            top -= 0.24 + 0.098 * (body.count("\n") + 1)
        if ring.whose:
            axes.text(
                0, -1.1, wrapped(ring.whose), ha="center", va="top", fontsize=TITLE, color=GREY
            )
        return axes

    def __repr__(self) -> str:
        rows = [(ring.whose, *row) for ring in self.rings for row in _rows(ring)]
        return "\n".join(f"{w + ': ' if w else ''}{what}: {text}" for w, what, text in rows)

    def _repr_html_(self) -> str:
        return join(map(_html, self.rings))


@checked
def bullseye_page(analysis: SuccessAnalysis) -> BullseyePage:
    """Return the one-page bullseye of a Success Analysis, with a ring for each segment.

    Parameters
    ----------
    analysis : SuccessAnalysis
        The success analysis; it must have an objective, a success metric, traits and processes.

    Returns
    -------
    BullseyePage
        A page with ``write`` to save it as HTML.

    Raises
    ------
    OptionError
        If an element is missing, or there are more than three traits or processes; lists all
        faults.

    Examples
    --------
    >>> import leadsignal as ls
    >>> analysis = ls.read_success_analysis(ls.sample_folder() / "success.toml")
    >>> print(repr(bullseye_page(analysis)).splitlines()[1])
    measure of success: days_to_close
    """
    rings = tuple(_rings(analysis))
    problems = [problem for ring in rings for problem in _problems(ring)]
    if problems:
        raise OptionError(
            f"the bullseye is incomplete: {'; '.join(problems)}",
            "Write each in one line in success.toml, and keep what matters most",
        )
    return BullseyePage(rings)


def _rings(analysis: SuccessAnalysis) -> Iterator[Ring]:
    """Yield the bullseye of all accounts, or one for each segment that is named."""
    apart: list[Mapping[str, tuple[str, ...]]] = [s.applies_to for s in analysis.segments]
    for process in analysis.processes:
        if process.applies_to and process.applies_to not in apart:
            apart.append(process.applies_to)
    if not apart:
        yield Ring("", analysis.bullseye, analysis.processes)
        return
    single = {  # one entry for each named combination of attribute values
        tuple((name, value) for name, value in zip(attributes_named, values, strict=True)): None
        for attributes_named in apart
        for values in product(*attributes_named.values())
    }
    for combination in single:
        attributes = dict(combination)
        whose = ", ".join(f"{name} {value}" for name, value in combination)
        yield Ring(whose, analysis.bullseye_of(attributes), analysis.processes_of(attributes))


def _problems(ring: Ring) -> Iterator[str]:
    of = f" for {ring.whose}" if ring.whose else ""
    if not ring.bullseye.objective:
        yield f"there is no objective{of}"
    if not ring.bullseye.success_metric:
        yield f"there is no measure of success{of}"
    if not ring.processes:
        yield f"there is no essential process{of}"
    for what, count in (("traits", len(ring.bullseye.traits)), ("processes", len(ring.processes))):
        if count > MAX_ITEMS:
            yield f"{count} {what}{of}, where at most {MAX_ITEMS} are allowed"


def _rows(ring: Ring) -> Iterator[tuple[str, str]]:
    yield "objective", one_line(ring.bullseye.objective)
    yield "measure of success", one_line(ring.bullseye.success_metric)
    for trait in ring.bullseye.traits:
        yield "trait", one_line(trait)
    for process in ring.processes:
        yield "essential process", one_line(str(process))


def title_of(process: Process) -> str:
    """Return the name of a process as words."""
    return process.name.replace("_", " ").capitalize()


def rule_of(process: Process) -> str:
    """Return the definition of having adopted a process, and its milestone."""
    return one_line(process.definition)


def _markdown(ring: Ring) -> str:
    of = f" · {markdown(ring.whose)}" if ring.whose else ""
    parts = [f"# Bullseye{of}", f"**Objective.** {markdown(ring.bullseye.objective)}"]
    parts.append(f"**Measure of success.** {markdown(ring.bullseye.success_metric)}")
    if ring.bullseye.traits:
        traits = (f"- {markdown(trait)}" for trait in ring.bullseye.traits)
        parts += ["**Who succeeds**", "\n".join(traits)]
    lines = []
    for number, process in enumerate(ring.processes, 1):
        lines.append(f"{number}. **{markdown(title_of(process))}.** {markdown(rule_of(process))}")
        lines += [f"   Because {markdown(process.why)}."] if process.why else []
    return "\n\n".join([*parts, "**What they do**", "\n".join(lines)])


def _html(ring: Ring) -> Html:
    said = ring.bullseye
    traits = [tag("li", one_line(trait)) for trait in said.traits]
    return tag(
        "section",
        tag("h1", f"Bullseye · {one_line(ring.whose)}" if ring.whose else "Bullseye"),
        tag("h2", "Objective"), tag("p", one_line(said.objective), class_="first"),
        tag("h2", "Measure of success"), tag("p", one_line(said.success_metric), class_="first"),
        join([tag("h2", "Who succeeds"), tag("ul", *traits)]) if traits else "",
        tag("h2", "What they do"), tag("ol", *map(_process, ring.processes)),
    )  # fmt: skip


def _process(process: Process) -> Html:
    why = [tag("br"), tag("i", one_line(process.why))] if process.why else []
    return tag("li", tag("b", one_line(title_of(process))), tag("br"),
               one_line(rule_of(process)), *why)  # fmt: skip


def _process_lines(processes: Sequence[Process]) -> list[str]:
    lines = []
    for process in processes:
        lines.append(wrapped(title_of(process), 52))
        lines += [f"   {line}" for line in wrapped(rule_of(process), 50).splitlines()]
    return lines
