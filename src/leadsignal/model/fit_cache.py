"""What this session has fitted already, so that the same rows and settings are fitted once."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

Fitted = TypeVar("Fitted")

LIMIT = "LEADSIGNAL_FIT_CACHE"
"""The environment variable that says how many fits are kept; with 0 nothing is."""
KEPT = 32
"""Number of fits that are kept by default; one takes about a megabyte."""

_fits: OrderedDict[str, Any] = OrderedDict()
_lock = Lock()


def limit() -> int:
    """Return how many fits are kept."""
    text = os.environ.get(LIMIT, "")
    return int(text) if text.isdigit() else KEPT


def fitted_once(key: str | None, fit: Callable[[], Fitted]) -> Fitted:
    """Return what ``fit`` returned for the same key before, else what it returns now.

    The key must say all that the result depends on; without one nothing is kept. Of more than
    `limit` results those go that were asked for longest ago.
    """
    if key is None:
        return fit()
    with _lock:
        if limit() and key in _fits:
            _fits.move_to_end(key)
            found: Fitted = _fits[key]
            return found
    found = fit()
    with _lock:
        _fits[key] = found
        while len(_fits) > limit():
            _fits.popitem(last=False)
    return found


def forget_fits() -> None:
    """Forget all fits of this session."""
    with _lock:
        _fits.clear()
