"""A lasting change, as monitoring reports it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal


@dataclass(frozen=True)
class LastingChange:
    """The result of a CUSUM for one series of counts, on one day.

    ``level`` is the evidence so far for a change of the expectation by the factor ``reference``,
    ``limit`` that from which it is ``found``. ``observed`` and ``expected`` are counted since
    ``since``, where the present evidence began to rise. A change by the reference is found after
    ``detected_after`` weeks on average; None where that was not worked out.
    """

    kind: Literal["churn", "feed_loss"]
    subject: str
    reference: float
    level: float
    limit: float
    found: bool
    since: date
    observed: float
    expected: float
    detected_after: int | None = None

    @property
    def ratio(self) -> float:
        """Observed over expected since ``since``; NaN where nothing was expected."""
        return self.observed / self.expected if self.expected else float("nan")

    def __str__(self) -> str:
        if self.kind == "feed_loss":
            return (
                f"{self.subject}: {self.ratio:.0%} of the usual records per active account since"
                f" {self.since}"
            )
        return (
            f"since {self.since}, {self.observed:,.0f} accounts ended where {self.expected:,.1f}"
            " were expected"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary, ready for JSON."""
        return {**asdict(self), "since": self.since.isoformat()}
