"""A cache of what has been computed in this session.

The environment variable ``LEADSIGNAL_SESSION_CACHE=0`` turns it off.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

Value = TypeVar("Value")

SWITCH = "LEADSIGNAL_SESSION_CACHE"
MAX_FITS = 32
"""Maximum number of cached fits; each takes about a megabyte."""

_fits: OrderedDict[str, Any] = OrderedDict()
_by_owner: WeakKeyDictionary[object, dict[Hashable, Any]] = WeakKeyDictionary()
_alive: WeakValueDictionary[str, Any] = WeakValueDictionary()
_lock = Lock()


def is_on() -> bool:
    """Return whether the cache is on."""
    return os.environ.get(SWITCH, "1") != "0"


def fitted_once(key: str, fit: Callable[[], Value]) -> Value:
    """Return the cached result for a key, or call ``fit`` and cache its result.

    The key must identify everything that the result depends on. Beyond `MAX_FITS` results, the
    least recently used are dropped.
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
    """Return the cached result for an owner and a key, or compute and cache it.

    The result is dropped with its owner (the tables it was computed from), and must not refer to
    it.
    """
    kept: tuple[Value] | None = recalled(owner, key)
    if kept is None:
        kept = (work_out(),)
        remember(owner, key, kept)
    return kept[0]


def recalled(owner: object, key: Hashable) -> Any:
    """Return the value cached for an owner and a key; None if there is none."""
    with _lock:
        return _by_owner.get(owner, {}).get(key) if is_on() else None


def remember(owner: object, key: Hashable, value: object) -> None:
    """Cache a value, which must not refer to its owner, for the lifetime of the owner."""
    with _lock:
        if is_on():
            _by_owner.setdefault(owner, {})[key] = value


def in_use(key: str) -> Any:
    """Return the object registered under a key if it is still in use, else None."""
    with _lock:
        return _alive.get(key) if is_on() else None


def note_use(key: str, value: object) -> None:
    """Register an object under a key for as long as it is in use.

    Later callers with the same key then share its cached results (`once_for`).
    """
    with _lock:
        if is_on():
            _alive[key] = value


def forget() -> None:
    """Clear the cache."""
    with _lock:
        _fits.clear()
        _by_owner.clear()
        _alive.clear()
