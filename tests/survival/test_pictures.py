"""Pictures show the numbers of their results, in the Axes they are given."""

from collections.abc import Callable, Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from scipy.special import expit

from leadsignal.survival import CoxFit, aalen_johansen, fit_cox, kaplan_meier, nelson_aalen
from leadsignal.survival.horizon_risks import brier, calibration, dynamic_auc
from leadsignal.survival.ranking import incident_auc

from .test_horizon_risks import sample

HEART = ["age", "year", "surgery", "transplant"]


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def fit(heart: pd.DataFrame) -> CoxFit:
    return fit_cox(heart[HEART], heart.stop, heart.event, start=heart.start, names=HEART)


def drawn_points(axes: Axes) -> np.ndarray:
    container = axes.containers[0]
    assert isinstance(container, ErrorbarContainer)
    return np.asarray(container.lines[0].get_xydata())


def written(axes: Axes) -> list[str]:
    axes.figure.canvas.draw()
    return [text.get_text() for text in axes.texts]


def test_a_forest_shows_every_hazard_ratio(fit: CoxFit) -> None:
    axes = fit.plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == HEART
    assert "0.53 (0.26 to 1.09)" in written(axes)
    points = drawn_points(axes)[:, 0]
    assert np.allclose(points, fit.hazard_ratios)
    assert axes.get_xlabel() == "hazard ratio (95 % interval)"
    assert fit.plot(level=0.9).get_xlabel() == "hazard ratio (90 % interval)"


def test_curves_show_estimates_and_numbers_at_risk(lung: pd.DataFrame) -> None:
    curves = kaplan_meier(lung.time, lung.dead, group=lung.sex)
    axes = curves.plot()
    line = axes.get_lines()[1]
    assert np.array_equal(np.asarray(line.get_ydata())[1:-1], curves.of(2).estimate)
    texts = written(axes)
    assert {"1", "2", "at risk", "137", "90"} <= set(texts)
    assert len(written(kaplan_meier(lung.time, lung.dead).plot(at_risk=False))) == 0
    assert nelson_aalen(lung.time, lung.dead).plot().get_ylabel() == "cumulative hazard"
    both = aalen_johansen(lung.time, lung.dead.astype(int)).plot()
    legend = both.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["still here", "cause 1"]


def test_numbers_at_risk_are_counted_after_the_time(lung: pd.DataFrame) -> None:
    steps = kaplan_meier(lung.time, lung.dead).steps
    expected = [(lung.time > time).sum() for time in (0, 200, 305.5)]
    assert steps.at_risk_at("all", np.array([0, 200, 305.5])).tolist() == expected


def test_every_result_draws_into_the_axes_it_is_given(fit: CoxFit, lung: pd.DataFrame) -> None:
    stop, cause, score = sample(1, 300)
    risk = expit(score)
    results: list[Callable[[Axes], Axes]] = [
        fit.plot,
        fit.baseline().plot,
        kaplan_meier(lung.time, lung.dead).plot,
        lambda ax: fit.test_proportionality().plot("year", ax),
        dynamic_auc(stop, cause, score, [0.3, 0.6]).plot,
        incident_auc(stop, cause == 1, score, [0, 0.5, 1]).plot,
        brier(stop, cause, np.column_stack((risk, risk)), [0.3, 0.6]).plot,
        calibration(stop, cause, risk, 0.6).plot,
    ]
    for draw in results:
        axes = plt.subplots()[1]
        assert draw(axes) is axes
        assert axes.get_xlabel()
        assert axes.has_data()


def test_a_calibration_plot_shows_its_bins() -> None:
    stop, cause, score = sample(2, 300)
    result = calibration(stop, cause, expit(score), 0.6)
    assert np.allclose(drawn_points(result.plot()), np.column_stack((result.risk, result.share)))
