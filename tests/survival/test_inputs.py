"""Labels and the messages of the door."""

import numpy as np
import pytest

from leadsignal.errors import LeadsignalError, OptionError
from leadsignal.survival.inputs import Door, Labels, sums_by_label


@pytest.mark.parametrize(
    "values", [[1, 1, 2, 2, 5], [5, 1, 2, 1, 2], ["b", "a", "a", "c", "b"], [1.5, 1.5, 0.5, 2, 2]]
)
def test_labels_are_sorted_codes_whatever_the_order(values):
    labels = Labels.of(np.array(values))
    assert list(labels.names) == sorted(set(values))
    assert [labels.names[code] for code in labels.codes] == values


def test_sums_by_label():
    labels = Labels.of(np.array([2, 1, 2]))
    assert sums_by_label(labels, np.array([1.0, 2.0, 4.0])).tolist() == [2, 5]
    assert sums_by_label(labels, np.eye(3)).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_one_fault_is_said_in_the_singular_and_is_ours():
    door = Door("fit_cox", 2)
    door.numbers("stop", ["x", "y"])
    with pytest.raises(
        OptionError, match="fit_cox: 1 fault in the arguments:\n  stop does not"
    ) as e:
        door.close()
    assert isinstance(e.value, LeadsignalError)
    assert e.value.exit_code == 2
