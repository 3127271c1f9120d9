"""Small random panels of start/stop rows, with every awkwardness a panel can have.

Ties in event times, rows that end where events happen, gaps, late entry, weights, strata, a few
accounts with several rows; sometimes one row an account, sometimes continuous time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Panel:
    """Rows of a panel; ``score`` is any ranking of them."""

    X: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    event: np.ndarray
    cause: np.ndarray
    weights: np.ndarray
    strata: np.ndarray
    cluster: np.ndarray
    score: np.ndarray
    ties: str

    def take(self, rows: np.ndarray) -> Panel:
        """The panel with these rows, in this order, repeated where they repeat."""
        names = ("X", "start", "stop", "event", "cause", "weights", "strata", "cluster", "score")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def weighted(self, weights: np.ndarray) -> Panel:
        return replace(self, weights=np.asarray(weights, dtype=float))


def random_panel(seed: int) -> Panel:
    """One panel a seed, of 30 to 160 rows, with 1 to 4 columns."""
    rng = np.random.default_rng(seed)
    accounts, most = int(rng.integers(25, 70)), int(rng.integers(1, 4))
    counts = rng.integers(1, most + 1, accounts)
    cluster = np.repeat(np.arange(accounts), counts)
    rows, p = len(cluster), int(rng.integers(1, 5))
    X = rng.normal(size=(rows, p))
    if rng.random() < 0.4:
        X[:, 0] = rng.random(rows) < 0.4
    whole = rng.random() < 0.7
    step = rng.integers(1, 9, rows) if whole else rng.exponential(4.0, rows)
    gap = (rng.random(rows) < 0.2) * (rng.integers(1, 4, rows) if whole else rng.random(rows))
    entry = rng.integers(0, 6, accounts) * (rng.random(accounts) < 0.5)
    start, stop = np.empty(rows), np.empty(rows)
    time = 0.0
    for row in range(rows):
        fresh = row == 0 or cluster[row] != cluster[row - 1]
        time = (float(entry[cluster[row]]) if fresh else time) + float(gap[row])
        start[row], stop[row] = time, time + float(step[row])
        time = stop[row]
    last = np.append(cluster[1:] != cluster[:-1], True)
    event = last & (rng.random(rows) < 0.7)
    if rng.random() < 0.3:
        event = rng.random(rows) < 0.4  # recurrent
    return Panel(
        X=X,
        start=start,
        stop=stop,
        event=event,
        cause=event * rng.integers(1, 3, rows),
        weights=rng.integers(1, 4, rows).astype(float),
        strata=rng.integers(0, int(rng.integers(1, 4)), rows),
        cluster=cluster,
        score=rng.integers(0, 12, rows).astype(float),
        ties="efron" if rng.random() < 0.5 else "breslow",
    )
