from __future__ import annotations

import pytest

from leadsignal.durations import days_in
from leadsignal.errors import OptionError


@pytest.mark.parametrize(("written", "days"), [("28d", 28), ("4w", 28), ("1d", 1), (" 12 w ", 84)])
def test_days_and_weeks(written: str, days: int) -> None:
    assert days_in(written) == days


@pytest.mark.parametrize(
    "written", ["", "28", "d", "0d", "-3d", "1.5d", "3m", "6 months", "99999w"]
)
def test_anything_else_says_what_is_allowed(written: str) -> None:
    with pytest.raises(OptionError, match=r"is not a duration.*28d") as caught:
        days_in(written)
    assert repr(written) in str(caught.value)


def test_only_texts() -> None:
    with pytest.raises(OptionError, match="28 is not a duration"):
        days_in(28)  # type: ignore[arg-type]
