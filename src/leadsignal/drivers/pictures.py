"""The forest plot of hazard ratios by family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leadsignal.survival.pictures import forest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from leadsignal.drivers.results import HazardRatios

FAINT = "#DDDDDD"


def forest_by_family(ratios: HazardRatios, ax: Axes | None = None) -> Axes:
    """Draw one line a covariate with its step and reference, families apart."""
    table = ratios.table.sort_values(
        "family", kind="stable", key=lambda names: names.map(_order(list(ratios.table["family"])))
    )
    families = list(table["family"])
    labels = [
        f"{name}  [{row['step']} against {row['reference']}]" if ":" in str(name)
        else f"{name}  [{row['step']}]"
        for name, row in table.iterrows()
    ]  # fmt: skip
    axes = forest(table.set_axis(labels), ax)
    for line in range(1, len(families)):
        if families[line] != families[line - 1]:
            axes.axhline(line - 0.5, color=FAINT, linewidth=1, zorder=0)
    for family in dict.fromkeys(families):
        axes.annotate(
            family, (0.01, families.index(family) - 0.38), xycoords=("axes fraction", "data"),
            fontsize=8, color="#555555", va="center", style="italic",
        )  # fmt: skip
    axes.set_title(ratios.title, fontsize=10, loc="left")
    return axes


def _order(families: list[str]) -> dict[str, int]:
    return {family: place for place, family in enumerate(dict.fromkeys(families))}
