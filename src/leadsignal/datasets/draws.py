"""Random numbers: one stream per account, so that accounts are independent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

_WHO_NAMES = """
start term segment industry region employees arr rep reason owner readiness diligence
activity charm notice lag fall threshold cause users returning gap spare0 target objective
completes spare1 initial0 initial1
"""
WHO = tuple(_WHO_NAMES.split())
"""Draws made once per account; spare ones can be put to use without changing the others."""

_WEEKLY_NAMES = """
practise0 practise1 success trouble reduce reduce_size handoff rep measure activity dip
dip_weeks reconcile review review_size sponsor diary noise0 noise1 noise2 noise3 noise4
noise5 ticket0 ticket0_day ticket0_severity ticket0_close ticket1 ticket1_day
ticket1_severity ticket1_close expand expand_size expand_day flag flag_day clear survey
survey_score health result result_value result_day shown usage plan plan_weeks customer
customer_due customer_kept customer_late vendor vendor_due vendor_kept vendor_late action
"""
WEEKLY = tuple(_WEEKLY_NAMES.split())
"""Draws made for each account every week."""


def _stream(seed: int, slot: int, life: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(slot, life, purpose)))


def draw_who(seed: int, slots: Array, lives: Array) -> dict[str, Array]:
    """Draw the uniforms in (0, 1) that are drawn once per account, each of shape (accounts,)."""
    block = np.empty((len(slots), len(WHO)))
    for row, (slot, life) in enumerate(zip(slots, lives, strict=True)):
        block[row] = _stream(seed, int(slot), int(life), 0).random(len(WHO))
    block = np.clip(block, 1e-7, 1 - 1e-7)
    return {name: block[:, column] for column, name in enumerate(WHO)}


def draw_weeks(seed: int, slots: Array, lives: Array, first: Array, weeks: int) -> dict[str, Array]:
    """Draw weekly uniforms, each of shape (accounts, weeks), from each account's first week on."""
    block = np.full((len(slots), weeks, len(WEEKLY)), 0.5, dtype=np.float32)
    for row, (slot, life, begin) in enumerate(zip(slots, lives, first, strict=True)):
        stream = _stream(seed, int(slot), int(life), 1)
        stream.random(out=block[row, begin:], dtype=np.float32)
    np.clip(block, 1e-6, 1 - 1e-6, out=block)
    return dict(zip(WEEKLY, np.ascontiguousarray(np.moveaxis(block, 2, 0)), strict=True))


def draw_events(seed: int, slots: Array, lives: Array, counts: Array) -> Array:
    """Draw two uniforms per event, ordered by account; shape (events, 2)."""
    block = np.empty((int(counts.sum()), 2), dtype=np.float32)
    stops = np.cumsum(counts)
    for slot, life, stop, count in zip(slots, lives, stops, counts, strict=True):
        stream = _stream(seed, int(slot), int(life), 2)
        stream.random(out=block[stop - count : stop], dtype=np.float32)
    return block


def normal(uniform: Array) -> Array:
    """Convert uniforms to standard normal draws."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform))


def poisson(uniform: Array, mean: Array) -> Array:
    """Convert uniforms to Poisson counts (at most 40) with the given means."""
    uniform, mean = np.broadcast_arrays(uniform, mean)
    probability = np.exp(-mean)
    total = probability.copy()
    count = np.zeros(uniform.shape, dtype=np.int64)
    for k in range(1, 41):
        more = uniform > total
        if not more.any():
            break
        count += more
        probability = probability * mean / k
        total = total + probability
    return count


def pick(uniform: Array, weights: tuple[float, ...] | Array) -> Array:
    """Convert uniforms to indices drawn with the given weights."""
    edges = np.cumsum(np.asarray(weights, dtype=float))
    return np.minimum(np.searchsorted(edges / edges[-1], uniform), len(edges) - 1)


def account_uniforms(frame: pd.DataFrame, seed: int, purpose: int) -> Array:
    """Draw two uniforms per row from a stream for each account; shape (rows, 2)."""
    out = np.empty((len(frame), 2))
    accounts = frame["account_id"].to_numpy()
    edges = np.flatnonzero(accounts[1:] != accounts[:-1]) + 1
    for begin, end in zip([0, *edges], [*edges, len(frame)], strict=True):
        if begin == end:
            continue
        slot, _, again = str(accounts[begin])[2:].partition("-")
        stream = _stream(seed, int(slot), 2000 + bool(again), purpose)
        out[begin:end] = stream.random((end - begin, 2))
    return out
