"""Pictures of interviews: what was agreed, and the bullseye itself. Axes in, Axes out."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from leadsignal.success_analysis.interviews.bullseye import Ring, rule_of, title_of
from leadsignal.success_analysis.interviews.distilling import Distilled
from leadsignal.success_analysis.interviews.form import one_line
from leadsignal.survival.plots import COLOURS, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"objective": 2, "success_metric": 4, "trait": 3, "process": 0}
MOST_OF_A_KIND = 6
WIDTH = 44


def _shown(text: str, width: int = WIDTH) -> str:
    """Return a text in lines, as it stands: no dollar begins a formula."""
    return "\n".join(textwrap.wrap(one_line(text).replace("$", r"\$"), width))


def agreement_picture(found: Distilled, ax: Axes | None = None) -> Axes:
    """Draw how many accounts gave each answer, kind by kind, with the line that counts."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    kinds = (found.objectives, found.success_metrics, found.traits, found.processes)
    answers = [answer for kind in kinds for answer in kind[:MOST_OF_A_KIND]]
    labels = [_shown(answer.text) for answer in answers]
    tall = 0.16 * sum(label.count("\n") + 1 for label in labels) + 0.14 * len(labels)
    axes = ax or plt.subplots(figsize=(8.0, 1.6 + tall), layout="constrained")[1]
    y = np.arange(len(answers))
    for kind, colour in KINDS.items():
        mine = [n for n, answer in enumerate(answers) if answer.kind == kind]
        counts = [len(answers[n].accounts) for n in mine]
        axes.barh(y[mine], counts, color=COLOURS[colour], height=0.62,
                  label=kind.replace("_", " "))  # fmt: skip
    line = found.agree * found.asked
    axes.axvline(line, color=GREY, linestyle="--", linewidth=1.2)
    axes.annotate(f"{found.agree:.0%}", (line, 1), (3, -2), xycoords=("data", "axes fraction"),
                  textcoords="offset points", color=GREY, fontsize=8.5, va="top")  # fmt: skip
    axes.set_yticks(y, labels, fontsize=9)
    axes.set_ylim(len(answers) - 0.4, -0.6)
    axes.set_xlim(0, found.asked)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"accounts that say so, of {found.asked} interviewed")
    axes.set_title(f"What {found.asked} interviews say", loc="left", fontsize=11, pad=24)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, fontsize=9, ncols=4, loc="lower left", bbox_to_anchor=(0, 1),
                borderaxespad=0.1)  # fmt: skip
    return axes


def bullseye_picture(ring: Ring, ax: Axes | None = None) -> Axes:
    """Draw the rings with the objective in the middle, and their words beside them."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Circle

    axes = ax or plt.subplots(figsize=(10.0, 5.2), layout="constrained")[1]
    axes.set(xlim=(-1.05, 3.2), ylim=(-1.12, 1.12))
    axes.set_aspect("equal")
    axes.set_axis_off()
    fills = ("#DCEAF4", "#A9CCE3", "#5DA3CF", "#0072B2")
    for radius, fill in zip((1.0, 0.75, 0.5, 0.25), fills, strict=True):
        axes.add_patch(Circle((0, 0), radius, facecolor=fill, edgecolor="white", linewidth=2))
    elements = (
        ("Objective", [_shown(ring.bullseye.objective, 52)], (0.06, 0.1)),
        ("Measure of success", [_shown(ring.bullseye.success_metric, 52)], (0.33, 0.18)),
        ("Essential processes", _process_lines(ring), (0.62, 0.0)),
        ("Who succeeds", [_shown(trait, 52) for trait in ring.bullseye.traits], (0.75, -0.45)),
    )
    top = 1.08
    for title, lines, point in elements:
        if not lines:
            continue
        axes.annotate(
            title, xy=point, xytext=(1.22, top), fontsize=9, color=COLOURS[0], weight="bold",
            va="top", arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.8,
                                  "relpos": (0, 0.5)},
        )  # fmt: skip
        body = "\n".join(lines)
        axes.text(1.22, top - 0.1, body, fontsize=10, va="top", linespacing=1.25)
        top -= 0.24 + 0.098 * (body.count("\n") + 1)
    if ring.whose:
        axes.text(0, -1.1, _shown(ring.whose), ha="center", va="top", fontsize=10, color=GREY)
    return axes


def _process_lines(ring: Ring) -> list[str]:
    lines = []
    for process in ring.processes:
        lines.append(_shown(title_of(process), 52))
        lines += [f"   {line}" for line in _shown(rule_of(process), 50).splitlines()]
    return lines
