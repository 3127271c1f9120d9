"""A share of so many, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

from leadsignal.survival.estimates import wilson_limits


@dataclass(frozen=True)
class Share:
    """``count`` of ``of``, with the 95 % interval of Wilson (1927).

    >>> Share(3, 10)
    30% (11% to 60%)
    """

    count: int
    of: int

    @property
    def estimate(self) -> float:
        """The share itself; NaN of none."""
        return self.count / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper limit; 0 and 1 of none."""
        return wilson_limits(self.estimate, self.of)

    def __repr__(self) -> str:
        low, high = self.interval
        return f"{self.estimate:.0%} ({low:.0%} to {high:.0%})" if self.of else "none to count"

    def to_dict(self) -> dict[str, float | int | None]:
        """Return count, of, share, low and high, ready for JSON."""
        low, high = self.interval
        share = self.estimate if self.of else None
        return {"count": self.count, "of": self.of, "share": share, "low": low, "high": high}
