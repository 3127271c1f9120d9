"""The Dagster example materializes without a server; skipped where Dagster is not installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import leadsignal as ls

EXAMPLE = Path(__file__).parents[1] / "examples" / "dagster" / "churn_scores.py"

needs_dagster = pytest.mark.skipif(
    importlib.util.find_spec("dagster") is None,
    reason="Dagster is not installed: pip install leadsignal[dagster]",
)

# In a process of its own: Dagster's imports warn, and warnings fail these tests.
RUN = """
import json, sys, importlib.util
import dagster as dg
spec = importlib.util.spec_from_file_location("churn_scores", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["churn_scores"] = module
spec.loader.exec_module(module)
told = []
for _ in range(2):
    result = dg.materialize([module.churn_scores], partition_key=sys.argv[2])
    (event,) = result.asset_materializations_for_node("churn_scores")
    told.append({k: v.value for k, v in event.metadata.items()} | {"ok": result.success})
print(json.dumps(told))
"""


@needs_dagster
def test_the_asset_materializes_and_keeps_what_is_there(
    business_folder: Path,
    business: ls.Tables,
    business_model: ls.ChurnModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monday = pd.Timestamp(business.as_of_date).to_period("W").start_time.date()
    monkeypatch.setenv("CHURN_TABLES", str(business_folder))
    monkeypatch.setenv("CHURN_MODEL", str(ls.save_model(business_model, tmp_path / "model")))
    monkeypatch.setenv("CHURN_SCORES", str(tmp_path / "scores"))
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(EXAMPLE), str(monday)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = json.loads(done.stdout.splitlines()[-1])
    expected = ls.score_accounts(business_model, business, as_of=monday)
    assert first["ok"]
    assert (first["outcome"], second["outcome"]) == ("scored", "kept")
    assert first["accounts"] == second["accounts"] == len(expected.frame)
    assert first["alerts"] == expected.frame["alert"].sum()
    stored = ls.read_scores(tmp_path / "scores")
    pd.testing.assert_frame_equal(stored, expected.frame)
