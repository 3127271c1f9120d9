"""The demo on sample data: whom to call today, and four findings that make the case for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.accounts import shown_name
from leadsignal.cohorts.contrasts import Contrast
from leadsignal.cohorts.overview import compare_cohorts
from leadsignal.config.project import read_project
from leadsignal.config.success import SuccessAnalysis, read_success_analysis
from leadsignal.datasets.simulation import sample_folder
from leadsignal.errors import ModelError
from leadsignal.evaluation.audit import audit_indicators
from leadsignal.evaluation.backtest import run_backtest
from leadsignal.files.outputs import DEMO, MODEL, PANEL, SCORES, check_file, check_folder
from leadsignal.files.writing import atomic_write
from leadsignal.formats import (
    how_often,
    how_often_between,
    interval_text,
    money,
    of_hundred,
    share_text,
)
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.reasons import name_text
from leadsignal.model.saved_models import save_model
from leadsignal.model.stacked_model import Estimator
from leadsignal.panel import Panel, build_panel
from leadsignal.scoring.batch import call_list
from leadsignal.scoring.scores import Scores, score_accounts, write_scores
from leadsignal.success_analysis.discovery import discover_processes
from leadsignal.tables import Tables, read_tables
from leadsignal.workers import Call

if TYPE_CHECKING:
    from leadsignal.cohorts.comparison import Comparison
    from leadsignal.evaluation.audit import Audit
    from leadsignal.evaluation.backtest import Backtest
    from leadsignal.success_analysis.discovery import Discovery

METHODS = ("health", "context", "leading")
ESTIMATOR: Estimator = "logistic"


@dataclass(frozen=True, repr=False, eq=False)
class Findings:
    """The findings of the demo, and whether these data show them."""

    discovery: Discovery
    audit: Audit
    backtest: Backtest
    comparison: Comparison
    analysis: SuccessAnalysis

    def shown(self) -> dict[str, bool]:
        """Return, for each of the four findings, whether these data show it."""
        return {
            "discovery": self._both_are_found(),
            "audit": self._practice_leads_and_usage_lags(),
            "backtest": self._more_are_caught(),
            "measured": self._measured_look_better(),
        }

    def _both_are_found(self) -> bool:
        found = {process.behaviors for process in self.discovery.processes}
        return found == {process.behaviors for process in self.analysis.processes}

    def _practice_leads_and_usage_lags(self) -> bool:
        frame = self.audit.frame
        leading = set(self.audit.names("leading"))
        states = {f"{process.name}_state" for process in self.analysis.processes}
        results = set(frame.loc[frame["family"] == "results", "name"])
        usage = set(frame.loc[frame["family"] == "usage", "name"])
        return (
            states <= leading
            and bool(results & leading)
            and not usage & leading
            and bool(usage & set(self.audit.names("lagging")))
        )

    def _more_are_caught(self) -> bool:
        leading, health = (self.backtest.methods[name] for name in ("leading", "health"))
        apart = leading.unexpected_recall_ahead_low > health.unexpected_recall_ahead_high
        return apart and self.backtest.beats_context("leading")

    def _measured_look_better(self) -> bool:
        naive, fair = (_days(self._contrast(name)) for name in ("naive", "landmark"))
        return naive[1] > 0 and fair[2] < naive[1]

    def _contrast(self, method: str) -> Contrast:
        found = self.comparison.contrast(method)
        if found is None:
            raise ModelError(f"the cohorts were not compared by {method}", "Compare them by it")
        return found

    def __repr__(self) -> str:
        lines = (self._discovery(), self._audit(), self._backtest(), self._measured())
        return "\n".join(f"{number}. {text}" for number, text in enumerate(lines, 1))

    def _discovery(self) -> str:
        found = self.discovery.frame[self.discovery.frame["essential"]]
        named = [
            f"{row['behavior']}, {row['at_least']} in {row['within_days']} days"
            f" ({how_often(row['hazard_ratio'])},"
            f" {how_often_between(row['low'], row['high'])})"
            for row in found.to_dict("records")
        ]
        return (
            "What keeps customers, found in the data alone (how much less often accounts leave"
            f" {self.discovery.warning_time} days after they do this):"
            f" {'; '.join(named) or 'nothing'}."
        )

    def _audit(self) -> str:
        results = self.audit.frame.query("family == 'results'")["name"]
        practice = [f"{process.name}_state" for process in self.analysis.processes]
        return (
            f"What shows {self.audit.warning_time} days ahead (of 100 pairs of an account that left"
            " and one that stayed, in how many the one that left was worse):"
            f" {self._pairs([*practice, results.iloc[0]])}; usage falls only at the end,"
            f" {self._pairs(['usage_to_best'])}."
        )

    def _pairs(self, names: list[str]) -> str:
        """Return in how many of 100 pairs each indicator is worse for the account that left."""
        frame = self.audit.frame.set_index("name")[["auc", "low", "high"]]
        pairs = []
        for name in names:
            auc, low, high = frame.loc[[name]].to_numpy(dtype=float)[0]
            if auc < 0.5:
                auc, low, high = 1 - auc, 1 - high, 1 - low
            shown = name.removesuffix("_state").replace("_", " ")
            pairs.append(f"{shown} {100 * auc:.0f} ({100 * low:.0f} to {100 * high:.0f})")
        return ", ".join(pairs)

    def _backtest(self) -> str:
        found = self.backtest
        rows = found.differences.query("method == 'leading' and measure == @found.headline")
        gain, low, high = (100 * rows[name].iloc[0] for name in ("difference", "low", "high"))
        return (
            f"Would the list have helped? Of {found.counts['unexpected']} accounts that left"
            f" unexpectedly after {found.cutoffs[0]}, it names {_caught(found, 'leading')}"
            f" {found.warning_time} days before; a list by attributes and tenure alone names"
            f" {_caught(found, 'context')}, {gain:.0f} points fewer ({low:.0f} to {high:.0f}), and"
            f" one by the health score {_caught(found, 'health')}."
        )

    def _measured(self) -> str:
        naive, fair = (_days(self._contrast(name)) for name in ("naive", "landmark"))
        return (
            f"Customers who ever measured results stayed {_longer(naive)} than the others. But only"
            " those who stay get to measure: sorted by what they had done by day"
            f" {self._contrast('landmark').origin:.0f}, they stayed {_longer(fair)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as numbers, ready for JSON."""
        return {
            "shown": self.shown(),
            "discovery": self.discovery.to_dict(),
            "audit": self.audit.to_dict(),
            "backtest": self.backtest.to_dict(),
            "measured": self.comparison.to_dict(),
        }


def _caught(found: Backtest, method: str) -> str:
    one = found.methods[method]
    limits = (one.unexpected_recall_ahead_low, one.unexpected_recall_ahead_high)
    return f"{share_text(one.unexpected_recall_ahead)} ({interval_text(*limits)})"


def _days(contrast: Contrast) -> tuple[float, float, float]:
    """Return the difference in mean days as a customer, with its limits."""
    days = contrast.rmst_days
    if days is None:
        return (float("nan"),) * 3
    return days.estimate, days.low, days.high


def _longer(days: tuple[float, float, float]) -> str:
    more, low, high = days
    said = "longer" if more > 0 else "less"
    return f"{abs(more):.0f} days {said} ({low:+.0f} to {high:+.0f})"


@dataclass(frozen=True, repr=False)
class DemoResult:
    """The result of the demo: today's scores and the four findings."""

    scores: Scores
    panel: Panel
    findings: Findings
    folder: Path

    def __repr__(self) -> str:
        s = self.scores
        first = call_list(s).iloc[0]
        return "\n".join(
            [
                f"On {s.as_of_date} the sample business has {len(s.frame)} active accounts"
                f" ({s.notice_given} more have given notice). About {s.frame['risk'].sum():.0f}"
                f" will leave within {s.horizon} days; the {s.frame['alert'].sum()} riskiest are"
                " alerted.",
                f"Call first: {shown_name(first['account_id'], first['name'])}, looked after by"
                f" {first['owner']}, {money(first['arr'], first['currency'])} a year, renewal on"
                f" {first['next_renewal'].date()}. Of 100 accounts like it,"
                f" {of_hundred(first['risk'])} leave.",
                f"Why: {first['why']}. Next step: {name_text(first['next_step'] or 'none open')}.",
                "",
                "What the same data show, worked out just now (95 % intervals; 3 is one cut-off):",
                repr(self.findings),
                "",
                f"Written: {self.folder / 'scores.csv'} (who, how likely, why, what next),"
                f" {self.folder / 'panel.parquet'}, {self.folder / 'model'}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as numbers, ready for JSON."""
        return {
            "scores": self.scores.to_dict(),
            "panel": self.panel.to_dict(),
            "findings": self.findings.to_dict(),
            "folder": str(self.folder),
        }


def run_demo(
    folder: Path, call: Call, progress: Callable[[int, int], None], *, force: bool = False
) -> DemoResult:
    """Read the sample, score its accounts and derive the findings; write the results to ``folder``.

    ``call`` is the function that `leadsignal.workers.beside` yields.
    """
    _check(folder, force)
    sample = sample_folder()
    from_tables = call(_from_tables, sample)
    tables, panel = _read(sample)
    backtested = call(_backtest, panel)
    progress(1, 5)
    audit = audit_indicators(panel)
    model = ChurnModel(f"{panel.project.horizon}d", estimator=ESTIMATOR).fit(panel)
    scores = score_accounts(model, tables, panel=panel, effects={})
    progress(2, 5)
    _write(folder, panel, model, scores, force)
    progress(3, 5)
    discovery, comparison = from_tables()
    progress(4, 5)
    backtest = backtested()
    progress(5, 5)
    analysis = read_success_analysis(sample / "success.toml")
    findings = Findings(discovery, audit, backtest, comparison, analysis)
    return DemoResult(scores, panel, findings, folder)


def find_all(folder: Path) -> Findings:
    """Return the findings of `run_demo` for a folder like the sample."""
    _, panel = _read(folder)
    audit, backtest = audit_indicators(panel), _backtest(panel)
    discovery, comparison = _from_tables(folder)
    analysis = read_success_analysis(folder / "success.toml")
    return Findings(discovery, audit, backtest, comparison, analysis)


def _read(folder: Path) -> tuple[Tables, Panel]:
    tables = read_tables(folder, project=read_project(folder))
    return tables, build_panel(tables, read_success_analysis(folder / "success.toml"))


def _backtest(panel: Panel) -> Backtest:
    """Return the fastest valid backtest: one cut-off date and one learner."""
    return run_backtest(panel, origins=1, methods=METHODS, estimator=ESTIMATOR)


def _from_tables(folder: Path) -> tuple[Discovery, Comparison]:
    """Return the findings that need only the tables, in a separate process."""
    tables = read_tables(folder, project=read_project(folder))
    return discover_processes(tables), compare_cohorts(
        tables, "measured", methods=("naive", "landmark")
    )


def _write(folder: Path, panel: Panel, model: ChurnModel, scores: Scores, force: bool) -> None:
    _check(folder, force)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "panel.parquet", PANEL, force=force) as part:
        panel.frame.to_parquet(part, index=False)
    save_model(model, folder / "model")
    write_scores(scores, folder / "scores.csv", force=force)


def _check(folder: Path, force: bool) -> None:
    """Raise an error if any output cannot be written, before the work and before writing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not check_folder(folder, DEMO).is_dir():
        return
    check_file(folder / "panel.parquet", PANEL, force=force)
    check_folder(folder / "model", MODEL)
    check_file(folder / "scores.csv", SCORES, force=force)
