"""Plots of interviews: how many accounts gave each answer, and the bullseye."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.config.success import Bullseye
from leadsignal.phrases import share_text
from leadsignal.picture_style import BLUES, COLOURS, GREY, LABEL, SMALL, TITLE, axes_of, write_title
from leadsignal.success_analysis.interviews.agreement import Agreement
from leadsignal.success_analysis.interviews.form import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"objective": 2, "success_metric": 4, "trait": 3, "process": 0}
MAX_OF_A_KIND = 6
"""Maximum number of answers of each kind in a plot."""
WIDTH = 44
"""Number of characters at which a label is wrapped."""


def _wrapped(text: str, width: int = WIDTH) -> str:
    """Wrap a text into lines, with dollar signs escaped for matplotlib."""
    return "\n".join(textwrap.wrap(one_line(text).replace("$", r"\$"), width))


def plot_agreement(
    kinds: Sequence[Sequence[Agreement]], interviews: int, agree: float, ax: Axes | None = None
) -> Axes:
    """Plot the number of accounts that gave each answer, by kind, and the required share."""
    from matplotlib.ticker import MaxNLocator

    answers = [answer for kind in kinds for answer in kind[:MAX_OF_A_KIND]]
    labels = [_wrapped(answer.text.replace("_", " ")) for answer in answers]
    tall = 0.16 * sum(label.count("\n") + 1 for label in labels) + 0.14 * len(labels)
    axes = axes_of(ax, (8.0, 1.6 + tall))
    y = np.arange(len(answers))
    for kind, colour in KINDS.items():
        places = [n for n, answer in enumerate(answers) if answer.kind == kind]
        counts = [len(answers[n].accounts) for n in places]
        axes.barh(y[places], counts, color=COLOURS[colour], height=0.62,
                  label=kind.replace("_", " "))  # fmt: skip
    line = agree * interviews
    axes.axvline(line, color=GREY, linestyle="--", linewidth=1.2)
    axes.annotate(share_text(agree), (line, 1), (3, -2), xycoords=("data", "axes fraction"),
                  textcoords="offset points", color=GREY, fontsize=SMALL, va="top")  # fmt: skip
    axes.set_yticks(y, labels, fontsize=LABEL)
    axes.set_ylim(len(answers) - 0.4, -0.6)
    axes.set_xlim(0, interviews)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"accounts that gave this answer, of {interviews} interviewed")
    write_title(axes, f"What {interviews} interviews say", room=24)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, fontsize=LABEL, ncols=4, loc="lower left", bbox_to_anchor=(0, 1),
                borderaxespad=0.1)  # fmt: skip
    return axes


def plot_bullseye(
    bullseye: Bullseye,
    processes: Sequence[tuple[str, str]],
    whose: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot the rings of a bullseye with their texts next to them.

    ``processes`` has the title and definition of each process; ``whose`` names the accounts.
    """
    from matplotlib.patches import Circle

    axes = axes_of(ax, (10.0, 5.2))
    axes.set(xlim=(-1.05, 3.2), ylim=(-1.12, 1.12))
    axes.set_aspect("equal")
    axes.set_axis_off()
    for radius, fill in zip((1.0, 0.75, 0.5, 0.25), BLUES, strict=True):
        axes.add_patch(Circle((0, 0), radius, facecolor=fill, edgecolor="white", linewidth=2))
    elements = (
        ("Objective", [_wrapped(bullseye.objective, 52)], (0.06, 0.1)),
        ("Measure of success", [_wrapped(bullseye.success_metric, 52)], (0.33, 0.18)),
        ("Essential processes", _process_lines(processes), (0.62, 0.0)),
        ("Who succeeds", [_wrapped(trait, 52) for trait in bullseye.traits], (0.75, -0.45)),
    )
    top = 1.08
    for title, lines, point in elements:
        if not lines:
            continue
        axes.annotate(
            title, xy=point, xytext=(1.22, top), fontsize=LABEL, color=COLOURS[0], weight="bold",
            va="top", arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.8,
                                  "relpos": (0, 0.5)},
        )  # fmt: skip
        body = "\n".join(lines)
        axes.text(1.22, top - 0.1, body, fontsize=TITLE, va="top", linespacing=1.25)
        top -= 0.24 + 0.098 * (body.count("\n") + 1)
    if whose:
        axes.text(0, -1.1, _wrapped(whose), ha="center", va="top", fontsize=TITLE, color=GREY)
    return axes


def _process_lines(processes: Sequence[tuple[str, str]]) -> list[str]:
    lines = []
    for title, rule in processes:
        lines.append(_wrapped(title, 52))
        lines += [f"   {line}" for line in _wrapped(rule, 50).splitlines()]
    return lines
