"""Distil the answers that interviews agree on into a success analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadsignal.arguments import checked
from leadsignal.config.success import Bullseye, Process, Segment, SuccessAnalysis, Tracking
from leadsignal.errors import ModelError, OptionError, one_of
from leadsignal.files.outputs import ANALYSIS
from leadsignal.files.writing import atomic_write, json_fields
from leadsignal.formats import share_text
from leadsignal.plots import (
    COLOURS,
    GREY,
    LABEL,
    SMALL,
    axes_of,
    legend_above,
    name_rows,
    whole_numbers,
    write_title,
)
from leadsignal.results import to_html
from leadsignal.success_analysis.interview_answers import (
    Agreement,
    Interview,
    Interviews,
    count_processes,
    count_texts,
    with_own_names,
)
from leadsignal.success_analysis.interview_kit import MAX_ITEMS, wrapped
from leadsignal.tables import Tables
from leadsignal.targets import attributes_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes


KINDS = {"objective": 2, "success_metric": 4, "trait": 3, "process": 0}
"""The colour of each kind of answer in a plot."""
MAX_OF_A_KIND = 6
"""Maximum number of answers of each kind in a plot."""
MIN_INTERVIEWS = 3
"""Minimum number of interviews for a segment to get its own answers."""


@dataclass(frozen=True, repr=False)
class Distilled:
    """The answers of the interviewed accounts, most frequent first.

    ``objectives``, ``success_metrics``, ``traits`` and ``processes`` have every answer; those given
    by at least the share ``agree`` of accounts are in the analysis. ``groups`` has the same for
    each value of ``by``, if segments were distilled separately. ``notes`` say what to check.
    """

    objectives: tuple[Agreement, ...]
    success_metrics: tuple[Agreement, ...]
    traits: tuple[Agreement, ...]
    processes: tuple[Agreement, ...]
    interviewed: int
    agree: float
    notes: tuple[str, ...] = ()
    by: str | None = None
    groups: Mapping[str, Distilled] = field(default_factory=dict)

    @property
    def answers(self) -> tuple[Agreement, ...]:
        """All answers, grouped by kind."""
        return (*self.objectives, *self.success_metrics, *self.traits, *self.processes)

    def agreed(self, answers: Iterable[Agreement]) -> tuple[Agreement, ...]:
        """Return the answers that enough accounts gave."""
        return tuple(a for a in answers if a.share.estimate >= self.agree - 1e-9)

    def to_analysis(
        self,
        *,
        objective: str | None = None,
        success_metric: str | None = None,
        traits: Sequence[str] | None = None,
        processes: Sequence[str] | None = None,
        tracking: Tracking | None = None,
    ) -> SuccessAnalysis:
        """Return the success analysis of the answers agreed on; arguments override them.

        ``processes`` names some of the candidates. Raises OptionError if more than one objective or
        measure, or more than three traits or processes are left, and ModelError if no process is.
        """
        if self.groups and processes is None:
            return _by_group(self, objective, success_metric, traits, tracking or Tracking())
        chosen = _chosen(self, objective, success_metric, traits, processes)
        _refuse_lists({"": chosen}, self.agree)
        if not chosen.processes:
            raise ModelError(
                f"no process is named by {share_text(self.agree)} of {self.interviewed} interviews",
                "Lower agree, name processes, or ask more accounts",
            )
        return SuccessAnalysis(chosen.processes, chosen.bullseye, tracking or Tracking())

    def to_toml(self, **chosen: Any) -> str:
        """Return the text of ``success.toml``; arguments as for `to_analysis`."""
        return self.to_analysis(**chosen).to_toml()

    def write(self, path: str | Path, *, force: bool = False, **chosen: Any) -> SuccessAnalysis:
        """Write ``success.toml`` for `read_success_analysis`, completely or not at all.

        An existing file, which may have been edited, is replaced only with ``force``.
        """
        analysis = self.to_analysis(**chosen)
        with atomic_write(path, ANALYSIS, force=force) as part:
            part.write_text(analysis.to_toml(), encoding="utf-8", newline="\n")
        return analysis

    def candidates(self) -> str:
        """Return all candidate ``[[process]]`` blocks as TOML, each with the number of accounts."""
        return "\n".join(
            f"# {len(answer.accounts)} of {answer.interviewed} accounts\n"
            f"{SuccessAnalysis((answer.process,)).to_toml()}"
            for answer in self.processes
            if answer.process is not None
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per answer: kind, text, count, of, share, low, high, agreed."""
        agreed = {id(answer) for answer in self.agreed(self.answers)}
        rows = [
            {"kind": answer.kind, "text": answer.text, **answer.share.to_dict(),
             "agreed": id(answer) in agreed}
            for answer in self.answers
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the answers, ready for JSON."""
        names = ("interviews", "agree", "answers", "notes", "by", "groups")
        return json_fields(self, *names, interviews="interviewed")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the number of accounts that gave each answer and return the Axes."""
        kinds = (self.objectives, self.success_metrics, self.traits, self.processes)
        answers = [answer for kind in kinds for answer in kind[:MAX_OF_A_KIND]]
        labels = [wrapped(answer.text.replace("_", " ")) for answer in answers]
        tall = 0.16 * sum(label.count("\n") + 1 for label in labels) + 0.14 * len(labels)
        axes = axes_of(ax, (8.0, 1.6 + tall))
        y = np.arange(len(answers))
        for kind, colour in KINDS.items():
            places = [n for n, answer in enumerate(answers) if answer.kind == kind]
            counts = [len(answers[n].accounts) for n in places]
            axes.barh(y[places], counts, color=COLOURS[colour], height=0.62,
                      label=kind.replace("_", " "))  # fmt: skip
        line = self.agree * self.interviewed
        axes.axvline(line, color=GREY, linestyle="--", linewidth=1.2)
        axes.annotate(share_text(self.agree), (line, 1), (3, -2), va="top", fontsize=SMALL,
                      xycoords=("data", "axes fraction"), textcoords="offset points",
                      color=GREY)  # fmt: skip
        name_rows(axes, labels, 0.4, 0.6, fontsize=LABEL)
        axes.set_xlim(0, self.interviewed)
        whole_numbers(axes.xaxis)
        axes.set_xlabel(f"accounts that gave this answer, of {self.interviewed} interviewed")
        write_title(axes, f"What {self.interviewed} interviews say", room=24)
        legend_above(axes, ncols=4, borderaxespad=0.1)
        return axes

    def __repr__(self) -> str:
        agreed = {id(answer) for answer in self.agreed(self.answers)}
        lines = [
            f"{self.interviewed} interviews; agreed is what {share_text(self.agree)} of them say"
        ]
        lines += [f"  {'*' if id(one) in agreed else ' '} {one!r}" for one in self.answers]
        for name, group in self.groups.items():
            lines.append(f"  {self.by} {name}: {group.interviewed} interviews")
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        return to_html(repr(self), self.to_frame())


@checked
def distil(
    interviews: Interviews,
    tables: Tables | None = None,
    *,
    by: str | None = None,
    agree: float = 0.5,
) -> Distilled:
    """Count the answers that agree, and derive candidate processes from them.

    Parameters
    ----------
    interviews : Interviews
        The filled-in briefs.
    tables : Tables, optional
        If given, notes list behaviours that do not occur in them.
    by : str, optional
        Attribute whose segments get their own bullseye and processes where they differ.
    agree : float, default 0.5
        Minimum share of the interviews that must give an answer.

    Returns
    -------
    Distilled
        All answers with their counts; `to_analysis` returns the analysis of those agreed on.

    Raises
    ------
    OptionError
        If there is no interview, or ``by`` is not an attribute.

    Examples
    --------
    >>> import leadsignal as ls
    >>> interview = Interview("a.md", "a", objective="Close faster")
    >>> distil(ls.success_analysis.Interviews((interview,), ()))
    1 interviews; agreed is what 50 % of them say
      * objective: Close faster: 1 of 1
    fewer than 10 interviews: ask more accounts before you rely on it
    """
    if not len(interviews):
        raise OptionError(
            f"no interview has answers ({len(interviews.unfilled)} not filled in)", "Fill some in"
        )
    if not 0 < agree <= 1:
        raise OptionError("agree must be a share above 0 and at most 1", "Write 0.5 for half")
    found = _counted(list(interviews), agree)
    notes = []
    if len(interviews) < 10:
        notes.append("fewer than 10 interviews: ask more accounts before you rely on it")
    if interviews.unfilled:
        notes.append(f"{len(interviews.unfilled)} briefs are not filled in")
    if tables is not None:
        notes += _unseen(interviews, tables)
    if by is None:
        return replace(found, notes=tuple(notes))
    groups, more = _grouped(interviews, tables, by, agree)
    return replace(found, notes=(*notes, *more), by=by, groups=groups)


def _counted(interviews: Sequence[Interview], agree: float) -> Distilled:
    def said(kind: str, answers_of: Callable[[Interview], Iterable[str]], key: str) -> Any:
        answers = [
            (one, text, one.lines.get(key, 0)) for one in interviews for text in answers_of(one)
        ]
        return count_texts(kind, answers, len(interviews))

    return Distilled(
        said("objective", lambda one: [one.objective] if one.objective else [], "objective"),
        said("success_metric", lambda one: [one.success_metric] if one.success_metric else [],
             "success_metric"),
        said("trait", lambda one: one.traits, "traits"),
        count_processes(interviews),
        len(interviews),
        agree,
    )  # fmt: skip


def _unseen(interviews: Interviews, tables: Tables) -> list[str]:
    """Return a note for each process that names a behaviour the tables do not have."""
    if "behaviors" not in tables.names:
        return ["there is no table behaviors to check the processes against"]
    cursor = tables.connection.cursor()
    sql = f"SELECT DISTINCT behavior FROM ({tables.sql('behaviors')}) AS t"
    known = {row[0] for row in cursor.execute(sql).fetchall()}
    return [
        f"{one.file}:{process.line}: names a behaviour that the table behaviors does not hold"
        for one in interviews
        for process in one.processes
        if not set(process.behaviors) <= known
    ]


def _grouped(
    interviews: Interviews, tables: Tables | None, by: str, agree: float
) -> tuple[dict[str, Distilled], list[str]]:
    """Return the distilled answers by segment, and notes on segments that are too small."""
    if tables is None or tables.attributes.get(by) != "text":
        texts = [] if tables is None else [n for n, k in tables.attributes.items() if k == "text"]
        raise OptionError(
            f"{by!r} is not a text attribute of the tables" if tables else "by= needs tables=",
            one_of(texts, by) if texts else "Give the tables that hold the attribute",
        )
    value = attributes_on(tables)[by]
    parts: dict[str, list[Interview]] = {}
    strangers = 0
    for one in interviews:
        segment = value.get(one.account_id)
        if isinstance(segment, str) and segment:
            parts.setdefault(segment, []).append(one)
        else:
            strangers += 1
    notes = [f"{strangers} interviews have no {by}; they count in the total"] if strangers else []
    notes += [
        f"{by} {name}: {len(part)} interviews, too few for separate answers"
        for name, part in sorted(parts.items())
        if len(part) < MIN_INTERVIEWS
    ]
    large = {name: part for name, part in sorted(parts.items()) if len(part) >= MIN_INTERVIEWS}
    if len(large) < 2:
        notes.append(
            f"fewer than two values of {by} have {MIN_INTERVIEWS} interviews: no comparison"
        )
        return {}, notes
    return {name: _counted(part, agree) for name, part in large.items()}, notes


@dataclass(frozen=True)
class _Chosen:
    """The answers that go into an analysis, and how many candidates of each kind were left."""

    bullseye: Bullseye
    processes: tuple[Process, ...]
    counts: Mapping[str, int]


def _chosen(
    found: Distilled, objective: str | None, success_metric: str | None,
    traits: Sequence[str] | None, processes: Sequence[str] | None,
) -> _Chosen:  # fmt: skip
    def texts(chosen: str | None, answers: tuple[Agreement, ...]) -> list[str]:
        return [chosen] if chosen is not None else [a.text for a in found.agreed(answers)]

    listed = found.agreed(found.processes) if processes is None else _named(found, processes)
    blocks = tuple(answer.process for answer in listed if answer.process is not None)
    own = texts(objective, found.objectives), texts(success_metric, found.success_metrics)
    shared = tuple(traits if traits is not None else texts(None, found.traits))
    counts = {
        "objectives": len(own[0]),
        "measures of success": len(own[1]),
        "traits": len(shared),
        "processes": len(blocks),
    }
    return _Chosen(Bullseye("".join(own[0][:1]), "".join(own[1][:1]), shared), blocks, counts)


def _named(found: Distilled, names: Sequence[str]) -> list[Agreement]:
    by_name = {answer.text: answer for answer in found.processes}
    unknown = sum(name not in by_name for name in names)
    if unknown:
        raise OptionError(
            f"{unknown} of the processes named are not among the {len(by_name)} candidates",
            "Name those of the column text in to_frame()",
        )
    return [by_name[name] for name in dict.fromkeys(names)]


def _refuse_lists(chosen: Mapping[str, _Chosen], agree: float) -> None:
    """Raise OptionError if there is more than one objective or measure, or too many of the rest."""
    problems = []
    for where, one in chosen.items():
        for what, count in one.counts.items():
            allowed = MAX_ITEMS if what in ("traits", "processes") else 1
            if count > allowed:
                place = f" of {where}" if where else ""
                problems.append(f"{count} {what}{place} are left, {allowed} may be")
    if problems:
        raise OptionError(
            f"too many answers: {'; '.join(problems)}",
            f"Raise agree above {agree:g}, or choose by objective=, success_metric=, traits=,"
            " processes=",
        )


def _by_group(
    found: Distilled, objective: str | None, success_metric: str | None,
    traits: Sequence[str] | None, tracking: Tracking,
) -> SuccessAnalysis:  # fmt: skip
    """Return the analysis in which segments have only what differs from the shared bullseye."""
    by = str(found.by)
    chosen = {
        name: _chosen(group, objective, success_metric, traits, None)
        for name, group in found.groups.items()
    }
    _refuse_lists(chosen, found.agree)
    processes = _merged(found, chosen, by)
    if not processes:
        raise ModelError(
            f"no process is named by {share_text(found.agree)} of the interviews of any {by}",
            "Lower agree, name processes, or ask more accounts",
        )
    kept = {
        key: {getattr(one.bullseye, key) for one in chosen.values()}
        for key in ("objective", "success_metric", "traits")
    }
    everybody = Bullseye(**{key: v.pop() for key, v in kept.items() if len(v) == 1})
    segments = tuple(
        Segment({by: (name,)}, own)
        for name, one in chosen.items()
        if (own := _own(one.bullseye, everybody)) != Bullseye()
    )
    return SuccessAnalysis(processes, everybody, tracking, segments=segments)


def _own(bullseye: Bullseye, everybody: Bullseye) -> Bullseye:
    """Return what a segment's bullseye has that the shared bullseye does not."""
    said = {k: v for k, v in vars(bullseye).items() if v and v != getattr(everybody, k)}
    return Bullseye(**said)


def _merged(found: Distilled, chosen: Mapping[str, _Chosen], by: str) -> tuple[Process, ...]:
    """Return each process for all accounts if all segments name it, else for the segments that do.

    Its numbers come from all interviews in the first case, and from each segment's own otherwise.
    """
    whole = {a.process.behaviors: a.process for a in found.processes if a.process is not None}
    merged: list[Process] = []
    for behaviors, process in whole.items():
        listed = [(name, p) for name, one in chosen.items() for p in one.processes]
        named = {name: p for name, p in listed if p.behaviors == behaviors}
        if len(named) == len(chosen):
            merged.append(process)
            continue
        distinct: list[tuple[Process, list[str]]] = []
        for name, one in named.items():
            renamed = replace(one, name=process.name)
            same = [names for other, names in distinct if other == renamed]
            if same:
                same[0].append(name)
            else:
                distinct.append((renamed, [name]))
        merged += [replace(p, applies_to={by: tuple(names)}) for p, names in distinct]
    answers = [Agreement("process", p.name, (), 0, (), p) for p in merged]
    return tuple(answer.process for answer in with_own_names(answers) if answer.process is not None)
