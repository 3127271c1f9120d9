"""Reference data and numbers, read once. tests/reference/README.md says where they come from."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")
REFERENCE = Path(__file__).parents[1] / "reference"
TELCO = Path(__file__).parents[3] / "shared" / "reference" / "telco.csv"


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(REFERENCE / f"{name}.csv")


@pytest.fixture(scope="session")
def given() -> dict[str, Any]:
    """Numbers that came with the project."""
    return dict(json.loads((REFERENCE / "r_reference.json").read_text()))


@pytest.fixture(scope="session")
def from_r() -> dict[str, Any]:
    """Numbers of tests/reference/r_survival.R."""
    return dict(json.loads((REFERENCE / "r_survival.json").read_text()))


@pytest.fixture(scope="session")
def heart() -> pd.DataFrame:
    return table("heart")


@pytest.fixture(scope="session")
def jasa() -> pd.DataFrame:
    frame = table("jasa")
    frame["futime"] = frame.futime.where(frame.futime > 0, 0.5)
    return frame.assign(ever=frame.transplant.astype(float))


@pytest.fixture(scope="session")
def pbcseq() -> pd.DataFrame:
    return table("pbcseq_counting_process")


@pytest.fixture(scope="session")
def veteran() -> pd.DataFrame:
    return table("veteran")


@pytest.fixture(scope="session")
def lung() -> pd.DataFrame:
    """The complete cases, with the weights and offset that r_survival.R makes up."""
    frame = table("lung").dropna(subset=["age", "sex", "ph.ecog"]).reset_index(drop=True)
    number = np.arange(1, len(frame) + 1)
    return frame.assign(
        w=1 + (number % 4) / 2,
        off=(number % 5) / 10,
        inst=frame.inst.fillna(0),
        dead=frame.status == 2,
    )


@pytest.fixture(scope="session")
def saas(given: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The SaaS table and its columns coded as R codes them, in R's order."""
    frame = table("saas_churn")
    coded = pd.get_dummies(frame.drop(columns=["months_active", "churned"]), prefix_sep="")
    return frame, coded[list(given["saas_churn"]["cox_all_efron"]["coef"])].astype(float)


@pytest.fixture(scope="session")
def telco() -> pd.DataFrame:
    if not TELCO.exists():
        pytest.skip("telco.csv (970 kB) is not in the repository; it lies in ../shared/reference")
    return pd.read_csv(TELCO)


def close(value: Any, expected: Any, relative: float = 1e-8) -> bool:
    """Whether the largest difference is within `relative` of the largest expected value."""
    value, expected = np.asarray(value, float).squeeze(), np.asarray(expected, float).squeeze()
    assert value.shape == expected.shape, (value.shape, expected.shape)
    largest = np.abs(expected).max()
    return bool(np.abs(value - expected).max() <= relative * (largest if largest > 0 else 1.0))


def each_close(value: Any, expected: Any, relative: float = 1e-8) -> bool:
    """Whether every value is within `relative` of its expected one."""
    value, expected = np.asarray(value, float).squeeze(), np.asarray(expected, float).squeeze()
    assert value.shape == expected.shape, (value.shape, expected.shape)
    return bool((np.abs(value - expected) <= relative * np.maximum(np.abs(expected), 1e-300)).all())
