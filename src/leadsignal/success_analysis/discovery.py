"""Discover essential processes: from tables to a verdict on every behaviour, with its evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from leadsignal.arguments import Duration, checked, days_in
from leadsignal.config.success import Process, SuccessAnalysis
from leadsignal.errors import ModelError
from leadsignal.files.outputs import PICTURE, PROCESSES
from leadsignal.files.writing import atomic_write, json_fields, json_rows
from leadsignal.formats import p_text, share_text
from leadsignal.ingestion.check_report import DataWarning, affecting, warning_lines
from leadsignal.panel import Panel, build_narrow
from leadsignal.plots import COLOURS, GREY, SMALL, axes_of, name_rows, write_beside
from leadsignal.results import Result, or_dash, text_table
from leadsignal.stats import MIN_CONTROLS, Estimate
from leadsignal.success_analysis.discovery_candidates import (
    definitions_of,
    in_order,
    is_compared,
    read_events,
    whose,
)
from leadsignal.success_analysis.discovery_evidence import (
    ENOUGH_ACCOUNTS,
    Evidence,
    Exposures,
    Ratio,
    grid_of,
)
from leadsignal.success_analysis.discovery_selection import (
    ESSENTIAL,
    TWIN,
    RatedCandidate,
    Rules,
    Steps,
    checked_rules,
    exposures_of,
    name_processes,
)
from leadsignal.tables import Tables
from leadsignal.workers import Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MILESTONE = 0.75
"""The proposed milestone is the day by which this share of adopters had adopted the process."""
ROUND_TO = 30
MAX_ROWS, MAX_SHOWN = 20, 10
"""Maximum number of behaviours in a plot and in the printed table; the frame has all."""


@dataclass(frozen=True)
class Tried:
    """What was compared: accounts, churn events and results; definitions tried; adjustment.

    ``results`` and ``measuring`` (accounts) are 0 if results were not tested. ``detectable`` is the
    hazard ratio that is found with a probability of one half, for a process that half of the
    accounts have adopted. ``left_out`` are behaviours that are too rare or too common under every
    definition. ``not_kept`` is the number of behaviours without indicators of their own, which are
    not tried.
    """

    accounts: int
    ends: int
    results: int
    measuring: int
    definitions: int
    compared: int
    detectable: float
    adjusted_for: tuple[str, ...]
    left_out: tuple[str, ...]
    not_kept: int = 0


@dataclass(frozen=True, repr=False, eq=False)
class Discovery(Result):
    """The verdict on every behaviour, and the essential processes.

    ``frame`` has one row per behaviour under its best definition: behavior, at_least, by_users,
    within_days, sustained_for; ``share`` of the account-days at risk that had adopted it;
    ``hazard_ratio`` with limits ``low`` and ``high`` (95 %); ``if_ever``, the hazard ratio of ever
    having adopted it; ``result_effect`` in standard deviations of the metric, with limits
    ``result_low`` and ``result_high``; ``q_value``, the p-value corrected for the whole grid;
    ``stability``, the share of resamples of customers in which it passes again; ``essential``;
    ``verdict``; ``twins``, the behaviours that it cannot be distinguished from, and ``together``,
    the share of the account-days with either that have both. For essential processes, ``as_chosen``
    is the hazard ratio without cross-fitting, and ``calibrated`` (with limits) the hazard ratio
    corrected for the bias that the other behaviours show. ``grid`` has one row per definition
    tried. ``processes`` are the essential processes, ready for a success analysis. ``warnings`` are
    the plausibility warnings about the tables. Times are in days.
    """

    frame: pd.DataFrame
    grid: pd.DataFrame
    processes: tuple[Process, ...]
    tried: Tried
    rules: Rules
    warning_time: int
    cross_fitted: bool
    warnings: tuple[DataWarning, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that are needed to interpret the numbers."""
        tried = self.tried
        notes = [
            f"with {tried.ends:,} churns, a process that half of the accounts have adopted has a"
            f" 50 % chance of being found at a hazard ratio of {tried.detectable:.2f}"
        ]
        if not self.cross_fitted:
            notes.append(
                f"fewer than {ENOUGH_ACCOUNTS} accounts: the definitions were chosen on the same"
                " data, so the estimates are too optimistic"
            )
        if tried.measuring:
            notes.append(
                f"results: {tried.results:,} of {tried.measuring:,} accounts that measured"
            )
        else:
            notes.append("results were not judged: too few accounts have measured twice")
        adjusted = ", ".join(tried.adjusted_for) or "nothing: there are no such columns"
        notes.append(f"adjusted for, as of the earlier day: {adjusted}")
        if self.processes:
            notes.append(
                f"the claim rests on adoption {self.warning_time} days earlier and on the other"
                " behaviours as controls; other lags, calendar quarters and early against late"
                " effects are not checked here but by weigh_evidence"
            )
        if tried.not_kept:
            notes.append(
                f"{tried.not_kept} behaviours of fewer accounts were not tried; name those that"
                " matter in [behaviors] keep"
            )
        if tried.left_out:
            notes.append(f"too rare or too common to compare: {', '.join(tried.left_out)}")
        return tuple(notes)

    def analysis(self) -> SuccessAnalysis:
        """Return the essential processes as a success analysis without a bullseye.

        Raises ModelError if there are none.
        """
        if not self.processes:
            raise ModelError(
                "no essential process was found in these data",
                "Derive the processes from interviews, or provide more accounts or churns",
            )
        return SuccessAnalysis(self.processes)

    def to_toml(self) -> str:
        """Return the ``[[process]]`` blocks, each preceded by its evidence as comments.

        Without essential processes, only comments that say so are returned.
        """
        # The title comes first: it identifies the file as written by leadsignal.
        head = _comments([self._title, *warning_lines(self.warnings), *self.notes])
        if not self.processes:
            return f"{head}\n# No process is named.\n"
        blocks = [
            f"{_comments(_evidence_lines(self, process))}\n{SuccessAnalysis((process,)).to_toml()}"
            for process in self.processes
        ]
        return "\n".join([f"{head}\n", *blocks])

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write ``to_toml`` to a file for `read_success_analysis` and return its path.

        Raises ModelError if there is no essential process, and OptionError if the path has a file
        that leadsignal did not write (``force`` replaces it).
        """
        self.analysis()
        with atomic_write(path, PROCESSES, force=force) as part:
            part.write_text(self.to_toml(), encoding="utf-8")
        return Path(path)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdicts and what was compared, ready for JSON; unknown numbers are None."""
        return {
            "warning_time_days": self.warning_time,
            "level": self.rules.level,
            "floor": self.rules.floor,
            **json_fields(self, "cross_fitted", "notes", "warnings", "tried"),
            "processes": json_rows(self.frame.replace([np.inf, -np.inf], np.nan)),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot hazard ratios with intervals, essential processes in colour, others in grey."""
        rows, floor = self.frame.head(MAX_ROWS), self.rules.floor
        ax = axes_of(ax, (9.6, 1.5 + 0.46 * len(rows)))
        ax.axvline(1, color=GREY, linewidth=1, zorder=0)
        ax.axvline(floor, color=GREY, linewidth=1, linestyle=":", zorder=0)
        low, high = _limits(rows, floor)
        for place, (_, row) in enumerate(rows.iterrows()):
            colour, width = (COLOURS[0], 2.4) if row["essential"] else (GREY, 1.3)
            limits = np.clip([row["low"], row["high"]], low, high)
            ax.plot(limits, [place, place], color=colour, linewidth=width)
            ax.plot(np.clip(row["hazard_ratio"], low, high), place, "o", color=colour, markersize=6)
            text_colour = "black" if row["essential"] else GREY
            write_beside(ax, place, _evidence(row), 1.01, color=text_colour, annotation_clip=False)
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        ticks = [t for t in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5) if low <= t <= high]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        name_rows(ax, [_defined(row) for _, row in rows.iterrows()], fontsize=SMALL)
        ax.set_xlabel(
            f"hazard ratio of leaving, adopted {self.warning_time} days before against not, with"
            f" 95 % interval\n(dotted: {floor:g}, the weakest that is named)"
        )
        return ax

    def draw(self, path: str | Path, *, force: bool = False) -> Path:
        """Save the plot to a file (.png, .svg, .pdf) and return its path."""
        import matplotlib.pyplot as plt

        figure = cast("Figure", self.plot().figure)
        with atomic_write(path, PICTURE, force=force) as part:
            kind = Path(path).suffix[1:] or "png"
            # Otherwise the text next to the axes would be cut off.
            metadata = {"Title": "leadsignal discover"}
            figure.savefig(part, format=kind, bbox_inches="tight", dpi=110, metadata=metadata)
        plt.close(figure)
        return Path(path)

    @property
    def _title(self) -> str:
        return (
            f"Discovery in {self.tried.accounts:,} accounts with {self.tried.ends:,} churns:"
            f" {self.tried.compared:,} definitions of {len(self.frame)} behaviours, adopted or not"
            f" {self.warning_time} days before"
        )

    def _head(self) -> list[str]:
        """Return the title and the essential processes with their reservations."""
        lines = [*warning_lines(self.warnings), self._title]
        if not self.processes:
            lines.append("no essential process found")
        for process in self.processes:
            lines.append(f"essential: {process}")
            lines += [
                fill(line, 100, initial_indent="  ", subsequent_indent="  ")
                for line in _reservations(self, process)
            ]
        return lines

    def __repr__(self) -> str:
        notes = [fill(note, 100, subsequent_indent="  ") for note in self.notes]
        table = text_table(_shown(self).head(MAX_SHOWN), short=38)
        return "\n".join([*self._head(), table, *notes])

    def _notebook_text(self) -> str:
        return "\n".join([*self._head(), *self.notes])

    def _notebook_table(self) -> pd.DataFrame:
        return _shown(self)


def _shown(found: Discovery) -> pd.DataFrame:
    """Return a readable table of each behaviour's verdict and its basis."""
    frame = found.frame
    columns: dict[str, Any] = {
        "behaviour": frame["behavior"],
        "leaving, hazard ratio": [
            f"{ratio:.2f} ({low:.2f} to {high:.2f})"
            for ratio, low, high in frame[["hazard_ratio", "low", "high"]].itertuples(index=False)
        ],
    }
    if found.tried.measuring:
        effects = [or_dash(round(value, 2) + 0.0, "+.2f") for value in frame["result_effect"]]
        columns["results, SD"] = effects
    return pd.DataFrame(
        {**columns, "adopted": frame["share"].map(share_text), "verdict": frame["verdict"]}
    )


def findings(
    panel: Panel, exposures: Exposures, rated: Sequence[RatedCandidate], first: Evidence,
    rules: Rules, warning_time: int, *, tried: int, behaviors: Sequence[str], not_kept: int,
) -> Discovery:  # fmt: skip
    """Return the discovery from the rated candidates."""
    frame = pd.DataFrame([_row(one) for one in rated])
    at_risk, measured = exposures.at_risk, exposures.measured
    accounts = len(np.unique(at_risk.account))
    results = (0, 0) if measured is None else (len(measured), len(np.unique(measured.account)))
    # If half of the accounts have adopted, each churn contributes an information of 1/4.
    detectable = float(np.exp(-first.critical[0] / np.sqrt(len(exposures.sets) / 4)))
    left_out = tuple(b for b in behaviors if b not in exposures.behaviors)
    counts = Tried(
        accounts, len(exposures.sets), *results, tried, len(exposures.candidates), detectable,
        at_risk.adjusted_for, left_out, not_kept,
    )  # fmt: skip
    found = Discovery(
        frame, grid_of(first, exposures), (), counts, rules, warning_time,
        cross_fitted=accounts >= ENOUGH_ACCOUNTS, warnings=affecting(panel.warnings, "discover"),
    )  # fmt: skip
    named = [one for one in rated if one.verdict == ESSENTIAL]
    processes = [_process(one, exposures, panel, found) for one in named]
    return replace(found, processes=tuple(_apart(processes)))


def _apart(processes: Sequence[Process]) -> Iterator[Process]:
    """Yield the processes with distinct names, because two behaviours may differ only in case."""
    taken = {process.name for process in processes}
    used: set[str] = set()
    for process in processes:
        name, number = process.name, 1
        while name in used or (number > 1 and name in taken):
            number += 1
            name = f"{process.name}_{number}"
        used.add(name)
        yield replace(process, name=name)


def _row(one: RatedCandidate) -> dict[str, Any]:
    candidate = one.candidate
    return {
        "behavior": candidate.behavior,
        "at_least": candidate.at_least,
        "by_users": candidate.by_users,
        "within_days": candidate.within,
        "sustained_for": candidate.sustained_for,
        "share": one.share,
        **_limits_of(one.ratio, "hazard_ratio", "low", "high"),
        "as_chosen": np.nan if one.as_chosen is None else one.as_chosen.estimate,
        **_limits_of(one.calibrated, "calibrated", "calibrated_low", "calibrated_high"),
        "if_ever": one.ever,
        **_limits_of(one.effect, "result_effect", "result_low", "result_high"),
        "q_value": one.p,
        "stability": one.stability,
        "essential": one.verdict == ESSENTIAL,
        "verdict": one.verdict,
        "twins": ", ".join(twin.behavior for twin in one.twins),
        "together": min((twin.together for twin in one.twins), default=np.nan),
    }


def _limits_of(number: Ratio | Estimate | None, *names: str) -> dict[str, float]:
    """Return an estimate and its limits under three names; NaN if there is none."""
    unknown = (np.nan, np.nan, np.nan)
    values = unknown if number is None else (number.estimate, number.low, number.high)
    return dict(zip(names, values, strict=True))


def _process(one: RatedCandidate, exposures: Exposures, panel: Panel, found: Discovery) -> Process:
    candidate = one.candidate
    why = f"accounts that had adopted it {found.warning_time} days before left"
    beyond = one.calibrated is None or one.calibrated.high < 1
    why += f" {share_text(1 - one.ratio.estimate)} less often" if beyond else " less often"
    if one.effect is not None:
        why += " and their results rose with it"
    if one.twins:
        why += f"; {TWIN} {', '.join(twin.behavior for twin in one.twins)}"
    if not beyond:
        why += "; this may be no effect: no more than the other behaviours show"
    adopt_by = _milestone(panel, exposures.states[:, exposures.candidates.index(candidate)])
    return candidate.as_process(why=why, adopt_by=adopt_by)


def _milestone(panel: Panel, adopted: np.ndarray) -> int | None:
    """Return the day by which three in four adopters had adopted, of accounts seen from day 0."""
    frame = in_order(panel)
    first = frame["start"].groupby(frame["account_id"]).transform("min") == 0
    days = frame["start"][adopted & first.to_numpy()]
    if not len(days):
        return None
    reached = days.groupby(frame["account_id"]).min()
    return max(ROUND_TO, math.ceil(float(reached.quantile(MILESTONE)) / ROUND_TO) * ROUND_TO)


def _comments(lines: Sequence[str]) -> str:
    """Return lines as TOML comments; line breaks in them, which end a comment, become spaces."""
    return "\n".join(f"# {' '.join(line.split())}" for line in lines)


def _evidence_lines(found: Discovery, process: Process) -> list[str]:
    row = found.frame[found.frame["behavior"] == process.behaviors[0]].iloc[0]
    leaving = (
        f"leaving: hazard ratio {row['hazard_ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        + (f"; {row['as_chosen']:.2f} as chosen" if found.cross_fitted else ", as chosen")
    )
    results = [
        f"results: {row['result_effect']:+.2f} standard deviations"
        f" ({row['result_low']:+.2f} to {row['result_high']:+.2f}) in the same account"
    ] if found.tried.measuring else []  # fmt: skip
    adopted = (
        f"{share_text(row['share'])} of the account-days at risk had adopted it;"
        f" q {p_text(row['q_value'])}, passes in {share_text(row['stability'])} of resamples",
        f"adopted at some time, dropped since or not: hazard ratio {row['if_ever']:.2f}",
    )
    lines = [leaving, *results, *adopted, _controls_line(row)]
    if row["twins"]:
        lines.append(
            f"{TWIN} {row['twins']}: {share_text(row['together'])} of the account-days with either"
            " have both; only accounts that do one without the other can tell which of them matters"
        )
    if process.adopt_by:
        lines.append(f"adopt_by is a proposal: {share_text(MILESTONE)} of the adopters had by then")
    return lines


def _reservations(found: Discovery, process: Process) -> list[str]:
    """Return the evidence lines that state reservations."""
    lines = _evidence_lines(found, process)
    return [line for line in lines if line.startswith((TWIN, "adopt_by", "less the bias"))]


def _controls_line(row: pd.Series[Any]) -> str:
    if np.isnan(row["calibrated"]):
        return f"not compared with control behaviours: fewer than {MIN_CONTROLS} others"
    low, high = row["calibrated_low"], row["calibrated_high"]
    line = (
        "less the bias that the other behaviours show: hazard ratio"
        f" {row['calibrated']:.2f} ({low:.2f} to {high:.2f})"
    )
    return line if high < 1 else f"{line}, so this may be no effect"


def _limits(rows: pd.DataFrame, floor: float) -> tuple[float, float]:
    """Return axis limits that include all intervals, within 0.1 to 5."""
    low = min(float(rows["low"].min()), floor) * 0.9
    high = max(float(rows["high"].max()), 1.3) * 1.1
    return max(low, 0.1), min(high, 5.0)


def _defined(row: pd.Series[Any]) -> str:
    users = f" by {row['by_users']} users" if row["by_users"] > 1 else ""
    again = f" × {row['sustained_for']}" if row["sustained_for"] > 1 else ""
    return f"{row['behavior']}\n{row['at_least']}{users} in {row['within_days']} d{again}"


def _evidence(row: pd.Series[Any]) -> str:
    effect = float(row["result_effect"])
    results = "" if np.isnan(effect) else f"; results {effect:+.2f} SD"
    ratio = float(row["hazard_ratio"])
    return f"{ratio:.2f}{results}\n{row['verdict']}"


@checked
def discover_processes(
    tables: Tables,
    *,
    warning_time: Duration | None = None,
    at_least: Sequence[int] | None = None,
    by_users: Sequence[int] | None = None,
    within: Sequence[str] | None = None,
    sustained_for: Sequence[int] | None = None,
    match: Sequence[str] = (),
    level: float = 0.02,
    floor: float = 0.7,
    most: int = 2,
    draws: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Discovery:
    """Find which behaviours, and at what frequency, distinguish accounts that succeed and stay.

    Every behaviour that has indicators of its own in a panel (the 20 most common among accounts, or
    those in ``[behaviors] keep``) is tested under a grid of definitions: all combinations of the
    values below.

    Parameters
    ----------
    tables : Tables
        Tables with behaviors.
    warning_time : Duration, optional
        Time between a behaviour and the outcome. Default: the project's.
    at_least, by_users, sustained_for : sequence of int, optional
        Values to try for the minimum number of events, of users, and of consecutive windows.
    within : sequence of str, optional
        Window lengths to try. Default: a third, half and the whole of ``warning_time``.
    match : sequence of str
        Attributes to match on: a churn is compared only with accounts that have equal values.
    level : float, default 0.02
        Family-wise error rate over the whole grid.
    floor : float, default 0.7
        Highest hazard ratio of an essential process; 1 means no effect.
    most : int, default 2
        Maximum number of essential processes, 1 to 3.
    draws : int, default 1000
        Number of permutations.
    seed : int, default 0
        Seed of the permutations.
    progress : callable, optional
        Called with the number of steps done and the total.

    Returns
    -------
    Discovery
        The processes found, with their evidence.

    Raises
    ------
    OptionError
        If there is no behaviors table, or an argument is out of range.
    ModelError
        If fewer than 20 churns can be compared, or no behaviour varies.

    Examples
    --------
    >>> import leadsignal as ls
    >>> tables = ls.read_tables(ls.sample_folder())
    >>> found = ls.discover_processes(tables, at_least=[2, 4], by_users=[2], within=["45d"])
    >>> found.cross_fitted
    False
    """
    rules = checked_rules(level, floor, most, draws, seed)
    time = tables.project.warning_time if warning_time is None else days_in(warning_time)
    grid = definitions_of(time, at_least, by_users, within, sustained_for)
    steps = Steps(progress)
    if "behaviors" not in tables.names:
        read_events(tables, np.zeros(0))
    panel = build_narrow(tables, is_compared)
    steps.tick()
    done = read_events(tables, whose(in_order(panel))[1])
    kept = () if panel.behaviors is None else panel.behaviors.keep
    events = {name: one for name, one in done.items() if name in kept}
    exposures, tried = exposures_of(tables, panel, events, grid, time, rules, match)
    steps.total = 5 + rules.most + len(exposures.behaviors)
    steps.tick()
    rated, first = name_processes(exposures, rules, steps.tick)
    steps.finish()
    return findings(
        panel, exposures, rated, first, rules, time,
        tried=tried, behaviors=tuple(events), not_kept=len(done) - len(events),
    )  # fmt: skip
