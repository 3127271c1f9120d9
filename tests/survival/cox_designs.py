"""Random designs for Cox fits, each of a kind that has gone wrong somewhere, and their check.

`check` fits a design with `fit_cox` and with the slow climb of `slow_cox`: coefficients, standard
errors and log-likelihood must agree to 1e-7, or the error must be the right one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.survival import fit_cox

from .random_panels import random_panel
from .slow_cox import RiskSet, has_maximum, risk_sets, slow_cox

AGREE = 1e-7
SIZES = (10, 20, 30, 60, 100, 200, 300, 1_000, 3_000, 10_000)
SHARES = (0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.06, 0.028, 0.008, 0.004)


@dataclass(frozen=True)
class Design:
    """Arguments of a fit; `clean` are (start, stop) without rounding noise, for the slow climb."""

    X: np.ndarray
    stop: np.ndarray
    event: np.ndarray
    start: np.ndarray | None = None
    strata: np.ndarray | None = None
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    ridge: np.ndarray | float = 0.0
    ties: str = "efron"
    clean: tuple[np.ndarray | None, np.ndarray] | tuple[()] = ()


def size(rng: np.random.Generator, most: int = 10_000) -> int:
    allowed = [n for n in SIZES if n <= most]
    shares = np.array(SHARES[: len(allowed)])
    return int(rng.choice(allowed, p=shares / shares.sum()))


def scaled(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """The columns in units of 1e-6 to 1e6, moved from zero by up to a thousand units."""
    moved = X + rng.choice([0.0, 1.0, 1000.0], X.shape[1])
    return np.asarray(moved * 10.0 ** rng.uniform(-6, 6, X.shape[1]))


def plain(rng: np.random.Generator) -> Design:
    """Proportional hazards, strong or weak effects, columns of any scale."""
    n, p = size(rng, 300), int(rng.integers(1, 4))
    X = rng.normal(size=(n, p))
    effect = rng.normal(size=p) * rng.choice([0.3, 1.0, 3.0])
    stop = np.ceil(rng.exponential(30 * np.exp(-X @ effect)) * rng.choice([1, 10])) + 1
    stop = np.minimum(stop, 1e5)  # far larger ones make whole days equal up to rounding
    return Design(scaled(rng, X), stop, rng.random(n) < 0.7, ties=_ties(rng))


def panel(rng: np.random.Generator) -> Design:
    """Start/stop rows with gaps, ties, weights and strata."""
    rows = random_panel(int(rng.integers(1 << 31)))
    return Design(
        scaled(rng, rows.X * rng.choice([0.5, 1.0, 3.0])), rows.stop, rows.event, rows.start,
        strata=rows.strata, weights=rows.weights * (rng.random(len(rows.stop)) < 0.9),
        ties=rows.ties,
    )  # fmt: skip


def last_login(rng: np.random.Generator) -> Design:
    """Minus the day of the last login: nearly minus the end, so that predictors are wide."""
    n = size(rng, 300)
    stop = rng.integers(1, 2000, n).astype(float)
    x = -(stop - np.abs(rng.normal(0, rng.choice([2.0, 5.0, 50.0]), n)))
    other = rng.normal(size=n)
    X = np.column_stack((x, other))[:, : rng.integers(1, 3)]
    return Design(X * 10.0 ** rng.integers(-3, 4), stop, rng.random(n) < 0.7, ties=_ties(rng))


def days_since(rng: np.random.Generator) -> Design:
    """Start/stop rows of 28 days with a column that grows with tenure."""
    horizon, b, sd = rng.integers(800, 1500), rng.uniform(0.01, 0.05), rng.uniform(20, 60)
    rows = []
    for _ in range(int(rng.integers(15, 60))):
        tau, z = rng.normal(0, sd), rng.normal()
        life = np.ceil(rng.exponential(500 * np.exp(min(b * tau, 4.0))))
        until = rng.integers(200, horizon)
        end = min(life, until)
        starts = np.arange(0, end, 28)
        stops = np.minimum(starts + 28, end)
        event = (stops == end) & (life <= until)
        rows.append(np.column_stack((starts, stops, event, starts - tau, np.full(len(starts), z))))
    start, stop, event, x, z = np.vstack(rows).T
    strata = (z > 0).astype(int) if rng.random() < 0.3 else None
    X = np.column_stack((x, z))[:, : rng.integers(1, 3)]
    return Design(X * 10.0 ** rng.integers(-3, 4), stop, event == 1, start, strata)


def perfect(rng: np.random.Generator) -> Design:
    """One column orders all ends; sometimes equal values, strata, or a scale."""
    n = size(rng)
    stop = np.arange(1.0, n + 1)
    x = -stop if rng.random() < 0.5 else -np.floor(stop / rng.integers(1, 5))
    if rng.random() < 0.3:
        x = -np.cumsum(rng.exponential(size=n))
    design = Design(rng.choice([-1, 1]) * x[:, None] * 10.0 ** rng.uniform(-6, 6), stop,
                    rng.random(n) < rng.choice([0.5, 1.0]), ties=_ties(rng))  # fmt: skip
    return _shuffled(rng, design)


def near(rng: np.random.Generator) -> Design:
    """The same with a few neighbours changed over: a maximum far out, but finite."""
    n = size(rng)
    stop = np.arange(1.0, n + 1)
    x = -np.arange(1.0, n + 1) if rng.random() < 0.5 else -np.cumsum(rng.exponential(size=n))
    for place in rng.integers(0, n - 1, int(rng.integers(1, 4))):
        x[[place, place + 1]] = x[[place + 1, place]]
    design = Design(x[:, None] * 10.0 ** rng.uniform(-6, 6), stop, np.ones(n, bool))
    return _shuffled(rng, design)


def part(rng: np.random.Generator) -> Design:
    """A rare state without events among other columns, or a combination that separates."""
    n = size(rng, 100)
    X = rng.normal(size=(n, 3))
    stop, event = np.ceil(rng.exponential(20, n)), rng.random(n) < 0.5
    if rng.random() < 0.5:
        X[:, 1] = ~event & (rng.random(n) < 0.3)
    else:
        event = np.ones(n, bool)
        u = rng.normal(size=3) * (rng.random(3) < 0.8)
        stop = np.argsort(np.argsort(-(X @ u))) + 1.0
        for place in rng.integers(0, n - 1, int(rng.integers(0, 3))):
            stop[[place, place + 1]] = stop[[place + 1, place]]
    strata = rng.integers(0, 2, n) if rng.random() < 0.3 else None
    start = np.maximum(stop - rng.integers(1, 30, n), 0) if rng.random() < 0.3 else None
    return Design(X, stop, event, start, strata, ties=_ties(rng))


def penalised(rng: np.random.Generator) -> Design:
    """Separated or not, a penalty on every column (or all but one) gives a maximum."""
    design = [perfect, near, part, last_login][rng.integers(4)](rng)
    while len(design.stop) > 300:
        design = perfect(rng)
    p = design.X.shape[1]
    # In units of the columns: a penalty that is worth little beside one event.
    ridge = design.X.var(axis=0) * 10.0 ** rng.uniform(-4, 1, p)
    if p > 1 and rng.random() < 0.5:
        ridge[rng.integers(p)] = 0.0
    return replace(design, ridge=ridge)


def wide_offset(rng: np.random.Generator) -> Design:
    """Offsets that span hundreds, with weights of 0 and entry at different times."""
    n = int(rng.choice([60, 100, 200]))
    entry = rng.integers(0, 5, n).astype(float)
    stop = entry + rng.integers(1, 40, n)
    weights = rng.choice([0.0, 0.5, 1.0, 3.0], n)
    offset = -stop * rng.uniform(1, 10) + rng.normal(size=n)
    return Design(rng.normal(size=(n, 2)), stop, rng.random(n) < 0.8, entry, weights=weights,
                  offset=offset, ties=_ties(rng))  # fmt: skip


def last_bit(rng: np.random.Generator) -> Design:
    """Times that differ in the last bit only are one time."""
    design = [plain, panel][rng.integers(2)](rng)
    start, stop = design.start, design.stop

    def noisy(times: np.ndarray) -> np.ndarray:
        return np.asarray(times * (1 + rng.integers(-2, 3, len(times)) * 2.0**-52))

    shaken = None if start is None else noisy(start)
    return replace(design, start=shaken, stop=noisy(stop), clean=(start, stop))


KINDS = (
    plain, panel, last_login, days_since, perfect, near, part, penalised, wide_offset, last_bit,
)  # fmt: skip


def design_of(case: int) -> tuple[Callable[[np.random.Generator], Design], Design]:
    """Kind and design number `case`."""
    kind = KINDS[case % len(KINDS)]
    return kind, kind(np.random.default_rng(case))


def check(case: int) -> str:
    """Fit design `case` both ways; say how it ended, raising AssertionError where they differ."""
    _, design = design_of(case)
    start, stop = design.clean or (design.start, design.stop)
    weights = np.ones(len(stop)) if design.weights is None else design.weights
    event, positive = np.asarray(design.event), weights > 0
    sets = risk_sets(stop[positive], event[positive],
                     None if start is None else start[positive],
                     None if design.strata is None else design.strata[positive])  # fmt: skip
    X = design.X[positive]
    free = np.broadcast_to(design.ridge, X.shape[1]) == 0
    try:
        fit = fit_cox(
            design.X, design.stop, event, start=design.start, strata=design.strata,
            weights=design.weights, offset=design.offset, ridge=design.ridge, ties=design.ties,
        )  # fmt: skip
    except ModelError as error:
        return _right_error(str(error), X, sets, free)
    assert has_maximum(X, sets, free), "a fit where no maximum exists"
    slow = slow_cox(
        X, sets, weights=weights[positive], ridge=design.ridge, efron=design.ties == "efron",
        offset=None if design.offset is None else design.offset[positive],
    )  # fmt: skip
    difference = max(
        (np.abs(fit.coef - slow.coef) / np.maximum(np.abs(slow.coef), slow.se)).max(),
        np.abs(fit.se / slow.se - 1).max(),
        abs(fit.loglik - slow.loglik) / max(abs(slow.loglik), 1e-6),
    )
    assert difference <= AGREE, f"differs by {difference:.1e}: {fit.coef} {slow.coef}"
    return "agrees"


def _right_error(text: str, X: np.ndarray, sets: list[RiskSet], free: np.ndarray) -> str:
    if "no row has an event" in text:
        assert not sets
        return "no event"
    if "separated" in text:
        assert not has_maximum(X, sets, free), "a maximum exists: " + text
        return "separated"
    if "some columns are collinear" in text:
        deviations = [X[s.rows] - X[s.rows].mean(axis=0) for s in sets]
        within = np.vstack(deviations)[:, free] / np.maximum(np.abs(X[:, free]).max(axis=0), 1e-300)
        scale = np.abs(within).max(axis=0)
        rank = np.linalg.matrix_rank(within / np.where(scale > 1e-11, scale, np.inf), tol=1e-5)
        assert rank < free.sum(), "the columns can be told apart: " + text
        return "columns that cannot be told apart"
    raise AssertionError(text)


def _ties(rng: np.random.Generator) -> str:
    return "efron" if rng.random() < 0.6 else "breslow"


def _shuffled(rng: np.random.Generator, design: Design) -> Design:
    order = rng.permutation(len(design.stop))
    return replace(
        design, X=design.X[order], stop=design.stop[order], event=np.asarray(design.event)[order]
    )
