"""Labels and the messages of the door."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from leadsignal.errors import LeadsignalError, OptionError
from leadsignal.survival.inputs import TIE, ArrayValidator, Labels, same_times, sums_by_label


@pytest.mark.parametrize(
    "values", [[1, 1, 2, 2, 5], [5, 1, 2, 1, 2], ["b", "a", "a", "c", "b"], [1.5, 1.5, 0.5, 2, 2]]
)
def test_labels_are_sorted_codes_whatever_the_order(values: Any) -> None:
    labels = Labels.of(np.array(values))
    assert list(labels.names) == sorted(set(values))
    assert [labels.names[code] for code in labels.codes] == values


def test_sums_by_label() -> None:
    labels = Labels.of(np.array([2, 1, 2]))
    assert sums_by_label(labels, np.array([1.0, 2.0, 4.0])).tolist() == [2, 5]
    assert sums_by_label(labels, np.eye(3)).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_one_fault_is_said_in_the_singular_and_is_ours() -> None:
    door = ArrayValidator("fit_cox", 2)
    door.numbers("stop", ["x", "y"])
    with pytest.raises(
        OptionError, match="fit_cox: 1 fault in the arguments:\n  stop does not"
    ) as e:
        door.close()
    assert isinstance(e.value, LeadsignalError)
    assert e.value.exit_code == 2


@pytest.mark.parametrize("seed", range(40))
def test_times_are_joined_as_a_loop_joins_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.choice([1e-16, 1e-9, 1.2e-8, 1e-7]) * rng.integers(-2, 3, 12)
    scale = 10.0 ** rng.integers(-1, 6)
    stop, start = scale * (rng.integers(1, 6, 12) / 10 + noise), scale * rng.integers(0, 6, 7) / 10
    distinct = sorted({*stop.tolist(), *start.tolist()})
    # R's aeqSurv: tied where the gap, or the gap over the mean, is at most √ε.
    mean, first = np.mean(np.abs(distinct)), {distinct[0]: distinct[0]}
    for before, now in pairwise(distinct):
        tied = now - before <= TIE or (now - before) / mean <= TIE
        first[now] = first[before] if tied else now
    found = same_times(stop, start)
    assert found[0].tolist() == [first[time] for time in stop.tolist()]
    assert found[1].tolist() == [first[time] for time in start.tolist()]


def test_whole_numbers_stay_as_they_are() -> None:
    days = np.array([3.0, 1.0, 2.0])
    assert same_times(days)[0] is days
    # Seconds since 1970: 20 of them are below the tolerance, 40 are not.
    seconds = 1.7e9 + np.array([0.0, 20.0, 60.0])
    assert (same_times(seconds)[0] - 1.7e9).tolist() == [0, 0, 60]


def test_a_row_that_lasts_for_rounding_only_is_refused() -> None:
    door = ArrayValidator("fit_cox", 2)
    door.times([0.1 + 0.2, 1.0], [0.3, 0.0])
    with pytest.raises(OptionError, match="start equals stop up to rounding"):
        door.close()
