"""What this session has worked out already, so that nothing is worked out twice.

The environment variable LEADSIGNAL_SESSION_CACHE turns it off: ``LEADSIGNAL_SESSION_CACHE=0``.
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
"""Number of fits that are kept; one takes about a megabyte."""

_fits: OrderedDict[str, Any] = OrderedDict()
_by_owner: WeakKeyDictionary[object, dict[Hashable, Any]] = WeakKeyDictionary()
_alive: WeakValueDictionary[str, Any] = WeakValueDictionary()
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
    kept: tuple[Value] | None = recalled(owner, key)
    if kept is None:
        kept = (work_out(),)
        remember(owner, key, kept)
    return kept[0]


def recalled(owner: object, key: Hashable) -> Any:
    """Return what was kept of an owner under a key; None if there is nothing."""
    with _lock:
        return _by_owner.get(owner, {}).get(key) if is_on() else None


def remember(owner: object, key: Hashable, value: object) -> None:
    """Keep a value, which must not refer to its owner, as long as the owner is in use."""
    with _lock:
        if is_on():
            _by_owner.setdefault(owner, {})[key] = value


def in_use(key: str) -> Any:
    """Return the object that was noted under a key and is still in use; None if there is none."""
    with _lock:
        return _alive.get(key) if is_on() else None


def note_use(key: str, value: object) -> None:
    """Note an object under a key, as long as it is in use.

    What was worked out once for it (`once_for`) is there for the next that asks for the key.
    """
    with _lock:
        if is_on():
            _alive[key] = value


def forget() -> None:
    """Forget everything."""
    with _lock:
        _fits.clear()
        _by_owner.clear()
        _alive.clear()
