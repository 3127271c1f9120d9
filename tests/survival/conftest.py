"""Reference data and numbers, read once. tests/reference/README.md says where they come from."""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")
REFERENCE = Path(__file__).parents[1] / "reference"
TELCO = Path(__file__).parents[3] / "shared" / "reference" / "telco.csv"


def table(name):
    return pd.read_csv(REFERENCE / f"{name}.csv")


@pytest.fixture(scope="session")
def given():
    """Numbers that came with the project."""
    return json.loads((REFERENCE / "r_reference.json").read_text())


@pytest.fixture(scope="session")
def from_r():
    """Numbers of tests/reference/r_survival.R."""
    return json.loads((REFERENCE / "r_survival.json").read_text())


@pytest.fixture(scope="session")
def heart():
    return table("heart")


@pytest.fixture(scope="session")
def jasa():
    frame = table("jasa")
    frame["futime"] = frame.futime.where(frame.futime > 0, 0.5)
    return frame.assign(ever=frame.transplant.astype(float))


@pytest.fixture(scope="session")
def pbcseq():
    return table("pbcseq_counting_process")


@pytest.fixture(scope="session")
def veteran():
    return table("veteran")


@pytest.fixture(scope="session")
def lung():
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
def saas(given):
    """The SaaS table and its columns coded as R codes them, in R's order."""
    frame = table("saas_churn")
    coded = pd.get_dummies(frame.drop(columns=["months_active", "churned"]), prefix_sep="")
    return frame, coded[list(given["saas_churn"]["cox_all_efron"]["coef"])].astype(float)


@pytest.fixture(scope="session")
def telco():
    if not TELCO.exists():
        pytest.skip("telco.csv (970 kB) is not in the repository; it lies in ../shared/reference")
    return pd.read_csv(TELCO)


def close(value, expected, relative=1e-8):
    """Whether the largest difference is within `relative` of the largest expected value."""
    value, expected = np.asarray(value, float).squeeze(), np.asarray(expected, float).squeeze()
    assert value.shape == expected.shape, (value.shape, expected.shape)
    largest = np.abs(expected).max()
    return np.abs(value - expected).max() <= relative * (largest if largest > 0 else 1.0)


def each_close(value, expected, relative=1e-8):
    """Whether every value is within `relative` of its expected one."""
    value, expected = np.asarray(value, float).squeeze(), np.asarray(expected, float).squeeze()
    assert value.shape == expected.shape, (value.shape, expected.shape)
    return bool((np.abs(value - expected) <= relative * np.maximum(np.abs(expected), 1e-300)).all())
