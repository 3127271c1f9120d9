"""What this session has worked out already, so that nothing is worked out twice.

The environment variable LEADSIGNAL_SESSION_CACHE turns it off: ``LEADSIGNAL_SESSION_CACHE=0``.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

Value = TypeVar("Value")

SWITCH = "LEADSIGNAL_SESSION_CACHE"
MAX_FITS = 32
"""Number of fits that are kept; one takes about a megabyte."""

_fits: OrderedDict[str, Any] = OrderedDict()
_by_owner: WeakKeyDictionary[object, dict[Hashable, Any]] = WeakKeyDictionary()
_lock = Lock()


def is_on() -> bool:
    """Return whether anything is kept."""
    return os.environ.get(SWITCH, "1") != "0"


def fitted_once(key: str, fit: Callable[[], Value]) -> Value:
    """Return what ``fit`` returned for the same key before, else what it returns now.

    The key must say all that the result depends on. Of more than `MAX_FITS` results those go that
    were asked for longest ago.
    """
    with _lock:
        if is_on() and key in _fits:
            _fits.move_to_end(key)
            kept: Value = _fits[key]
            return kept
    found = fit()
    with _lock:
        if is_on():
            _fits[key] = found
        while len(_fits) > MAX_FITS:
            _fits.popitem(last=False)
    return found


def once_for(owner: object, key: Hashable, work_out: Callable[[], Value]) -> Value:
    """Return what ``work_out`` returned for the same owner and key before, else what it does now.

    The result goes with its owner, the tables that it was worked out from; it must not refer to it.
    """
    with _lock:
        known = _by_owner.setdefault(owner, {})
        if is_on() and key in known:
            kept: Value = known[key]
            return kept
    found = work_out()
    with _lock:
        if is_on():
            known[key] = found
    return found


def forget() -> None:
    """Forget everything."""
    with _lock:
        _fits.clear()
        _by_owner.clear()
