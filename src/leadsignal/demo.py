"""The main job on the sample: scores for today, and the same job half a year ago, judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadsignal.config.project import read_project
from leadsignal.config.success import read_success_analysis
from leadsignal.datasets.sample import sample_folder
from leadsignal.end_of_risk import known_ends
from leadsignal.files.outputs import DEMO, MODEL, PANEL, SCORES, check_file, check_folder
from leadsignal.files.writing import atomic_write
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.persistence.saved_models import save_model
from leadsignal.panel import Panel, build_panel
from leadsignal.phrases import of_hundred
from leadsignal.scoring.scores import Scores, score_accounts, write_scores
from leadsignal.tables import Tables, read_tables

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class DemoResult:
    """What the demo found: today's scores, and what became of past alerts."""

    scores: Scores
    panel: Panel
    past_day: date
    past_alerted: int
    past_alerted_left: int
    past_others: int
    past_others_left: int
    folder: Path

    def __repr__(self) -> str:
        s, horizon = self.scores, self.scores.horizon
        alerted = s.frame[s.frame["alert"]]
        first = alerted.iloc[0]
        arr = alerted["expected_arr_loss"].sum()
        return "\n".join(
            [
                f"On {s.as_of_date} the sample business has {len(s.frame)} active accounts"
                f" ({s.notice_given} more have given notice).",
                f"About {s.frame['risk'].sum():.0f} of them will leave within {horizon} days."
                f" The {len(alerted)} riskiest are alerted; {arr:,.0f} of yearly revenue is"
                " expected to go with them.",
                f"The first to call is {first['account_id']}: of 100 accounts like it,"
                f" {of_hundred(first['risk'])} leave. Why: {first['reason_1']}."
                f" Next step: {first['next_step'] or 'none open'}.",
                "",
                f"Was that so in the past? On {self.past_day}, knowing only what was known then,"
                f" {self.past_alerted} accounts would have been alerted;"
                f" {self.past_alerted_left} of them left within {horizon} days"
                f" ({_share(self.past_alerted_left, self.past_alerted)}), of the other"
                f" {self.past_others} {self.past_others_left}"
                f" ({_share(self.past_others_left, self.past_others)}).",
                "",
                f"Written: {self.folder / 'scores.csv'} (who, how likely, why, what next),"
                f" {self.folder / 'panel.parquet'}, {self.folder / 'model'}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the findings in numbers, ready for JSON."""
        return {
            "scores": self.scores.to_dict(),
            "panel": self.panel.to_dict(),
            "past": {
                "as_of": self.past_day.isoformat(),
                "alerted": self.past_alerted,
                "alerted_left": self.past_alerted_left,
                "others": self.past_others,
                "others_left": self.past_others_left,
            },
            "folder": str(self.folder),
        }


def run_demo(
    folder: Path, progress: Callable[[int, int], None], *, force: bool = False
) -> DemoResult:
    """Read the sample, build the panel, fit, score and check past alerts; write to ``folder``."""
    _check(folder, force)
    sample = sample_folder()
    project = read_project(sample)
    tables = read_tables(sample, project=project)
    analysis = read_success_analysis(sample / "success.toml")
    progress(1, 5)
    panel = build_panel(tables, analysis)
    horizon = f"{project.horizon}d"
    progress(2, 5)
    model = ChurnModel(horizon=horizon).fit(panel)
    scores = score_accounts(model, tables)
    progress(3, 5)
    past = tables.as_of(tables.as_of_date - timedelta(days=project.horizon))
    outcomes = _outcomes(panel.as_of(past.as_of_date), past, horizon, tables)
    progress(4, 5)
    _write(folder, panel, model, scores, force)
    progress(5, 5)
    return DemoResult(scores, panel, past.as_of_date, *outcomes, folder)


def _outcomes(
    known: Panel, past: Tables, horizon: str, tables: Tables
) -> tuple[int, int, int, int]:
    """Return how many were alerted on a past day and how many left since; the others likewise."""
    model = ChurnModel(horizon=horizon).fit(known)
    frame = score_accounts(model, past, effects={}).frame
    left = frame["account_id"].isin(_churned(tables))
    alert = frame["alert"]
    return (
        int(alert.sum()),
        int((alert & left).sum()),
        int((~alert).sum()),
        int((~alert & left).sum()),
    )


def _churned(tables: Tables) -> pd.Series[str]:
    """Return the accounts whose contract has ended, and by churn."""
    accounts = tables.frame("accounts")
    ended = accounts["ended_on"].notna() & known_ends(tables, accounts)["is_churn"]
    return accounts.loc[ended, "account_id"]


def _write(folder: Path, panel: Panel, model: ChurnModel, scores: Scores, force: bool) -> None:
    _check(folder, force)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "panel.parquet", PANEL, force=force) as part:
        panel.frame.to_parquet(part, index=False)
    save_model(model, folder / "model")
    write_scores(scores, folder / "scores.csv", force=force)


def _check(folder: Path, force: bool) -> None:
    """Refuse what cannot be written, before the work and before a part of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not check_folder(folder, DEMO).is_dir():
        return
    check_file(folder / "panel.parquet", PANEL, force=force)
    check_folder(folder / "model", MODEL)
    check_file(folder / "scores.csv", SCORES, force=force)


def _share(part: int, of: int) -> str:
    return f"{part / of:.0%}" if of else "none"
