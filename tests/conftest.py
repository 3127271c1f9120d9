"""What several test files share: one small simulated business, read and built once a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import leadsignal as ls
from in_browser import started_browser
from leadsignal import workers
from postgres_server import Server, running_server, why_not

# A test that fits twice is to fit twice, but for files that ask for the fixture shared_session.
os.environ[workers.CACHE_SWITCH] = "0"

LONGEST = (
    "test_docs.py",
    "test_readme.py",
    "test_time_travel.py",
    "test_spark.py",
    "test_batch.py",
    "test_interruptions.py",
    "test_data_warnings.py",
    "test_panel_reference.py",
    "test_report.py",
    "test_discovery.py",
    "test_demo.py",
)
"""Files that take a minute or more come first, so that no worker waits for one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def business(business_folder: Path) -> ls.Tables:
    return ls.read_tables(business_folder)


@pytest.fixture(scope="session")
def business_analysis(business_folder: Path) -> ls.SuccessAnalysis:
    return ls.read_success_analysis(business_folder / "success.toml")


@pytest.fixture(scope="session")
def business_panel(business: ls.Tables, business_analysis: ls.SuccessAnalysis) -> ls.Panel:
    return ls.build_panel(business, business_analysis)


@pytest.fixture(scope="session")
def business_model(business_panel: ls.Panel) -> ls.ChurnModel:
    return ls.ChurnModel().fit(business_panel)


@pytest.fixture(scope="session")
def logistic_model(business_panel: ls.Panel) -> ls.ChurnModel:
    """A model that is fitted sooner, where the learners do not matter."""
    return ls.ChurnModel(estimator="logistic").fit(business_panel)


@pytest.fixture(scope="session")
def business_scores(business: ls.Tables, business_model: ls.ChurnModel) -> ls.Scores:
    return ls.score_accounts(business_model, business)


@pytest.fixture(scope="module")
def shared_session() -> Iterator[None]:
    """Keep panels and fits as a session of the user does, for examples and commands in a row."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(workers.CACHE_SWITCH, "1")
        yield
    workers.forget()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL of this worker's own; where none is installed, what needs it is skipped."""
    reason = why_not()
    if reason and os.environ.get("LEADSIGNAL_NEEDS_POSTGRES"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def business_results(
    business: ls.Tables, business_panel: ls.Panel, business_scores: ls.Scores
) -> tuple[ls.Panel, ls.Backtest, ls.Scores, ls.report.Findings]:
    """What a report is made of."""
    methods = ["random", "usage", "context", "all"]
    backtest = ls.run_backtest(business_panel, origins=1, estimator="logistic", methods=methods)
    audit = ls.audit_indicators(business_panel)
    found = ls.report.gather_findings(business, business_panel, audit=audit)
    return business_panel, backtest, business_scores, found


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built as a site."""
    pytest.importorskip("zensical", reason="builds the site; see requirements-test.txt")
    built = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "docs/make/build_site.py", str(built)]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
    return built


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started_browser() as opened:
        yield opened
