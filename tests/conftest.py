"""What several test files share: one small simulated business, read and built once a worker."""

from __future__ import annotations

from pathlib import Path

import pytest

import leadsignal as ls


@pytest.fixture(scope="session")
def business_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ls.simulate(300, seed=5, days=1200).write(tmp_path_factory.mktemp("business"))


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
