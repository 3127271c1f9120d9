"""Shapes of what ``skops.io`` writes: the values allowed at each place of a saved object.

A shape is a function of a JSON node, its path, and the arrays of its archive. It raises
ValueError for anything but what it is the shape of. Nothing is built and nothing is imported, so
that a file is known to be harmless before it is loaded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

MAX_TEXT = 1000
"""Characters of one value: the longest are names."""


class Header(NamedTuple):
    """The dtype and the shape of a stored array."""

    dtype: str
    shape: tuple[int, ...]


Arrays = Mapping[str, Header]
Shape = Callable[[Any, str, Arrays], None]

KINDS: set[tuple[str, str]] = set()
"""Each way in which skops makes an object, with each type, that some shape allows."""


def refuse(at: str) -> NoReturn:
    """Raise ValueError for the value at a place."""
    raise ValueError(f"no model has this at {at or 'its root'}"[:300])


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object of a schema, in order; no recursion, for hostile depths."""
    waiting = [schema]
    while waiting:
        at = waiting.pop()
        if isinstance(at, dict):
            yield at
            waiting.extend(reversed(list(at.values())))
        elif isinstance(at, list):
            waiting.extend(reversed(at))


def one_object_an_id(schema: Any) -> None:
    """Refuse two objects of one id: skops loads the first, and believes it to be the other."""
    first: dict[int, Any] = {}
    for node in nodes(schema):
        if "__loader__" in node and not _equal(first.setdefault(node["__id__"], node), node):
            refuse(f"object {node['__id__']}")


def _equal(one: Any, other: Any) -> bool:
    """Return whether two nodes are equal but for the ids of what is in them."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict) and set(one) == set(other):
        return all(_equal(one[key], other[key]) for key in one if key != "__id__")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(map(_equal, one, other))
    return type(one) is type(other) and bool(one == other)


# Nodes


def _node(loader: str, kind: str, *parts: str) -> Shape:
    """What has this loader, this type and these parts."""
    KINDS.add((loader, kind))
    expected = {"__class__", "__module__", "__loader__", "__id__", *parts}

    def check(node: Any, at: str, arrays: Arrays) -> None:
        if not isinstance(node, dict) or set(node) != expected:
            refuse(at)
        named = (node["__loader__"], f"{node['__module__']}.{node['__class__']}")
        if named != (loader, kind) or type(node["__id__"]) is not int:
            refuse(at)

    return check


def value(holds: Callable[[Any], bool]) -> Shape:
    """One plain value, as JSON."""
    is_value = _node("JsonNode", "builtins.str", "content", "is_json")

    def check(node: Any, at: str, arrays: Arrays) -> None:
        is_value(node, at, arrays)
        text = node["content"]
        if node["is_json"] is not True or not isinstance(text, str) or len(text) > MAX_TEXT:
            refuse(at)
        try:
            item = json.loads(text)
        except ValueError:
            refuse(at)
        if not holds(item):
            refuse(at)

    return check


def only(*values: Any) -> Shape:
    """One of these values, of the same type."""
    allowed = {repr(one) for one in values}
    return value(lambda item: repr(item) in allowed)


def whole(low: int, high: int) -> Shape:
    """A whole number of a range."""
    return value(lambda item: type(item) is int and low <= item <= high)


def number(low: float, high: float) -> Shape:
    """A number of a range."""
    return value(
        lambda item: type(item) in (int, float) and math.isfinite(item) and low <= item <= high
    )


def text(pattern: str) -> Shape:
    """A text that matches as a whole."""
    compiled = re.compile(pattern)
    return value(lambda item: isinstance(item, str) and bool(compiled.fullmatch(item)))


def typed(loader: str, kind: str) -> Shape:
    """A type or a function, by its name."""
    return _node(loader, kind)


def array(dtype: str, dimensions: int, kind: str = "numpy.ndarray") -> Shape:
    """An array of a dtype, in a file of the archive."""
    is_array = _node("NdArrayNode", kind, "type", "file")

    def check(node: Any, at: str, arrays: Arrays) -> None:
        is_array(node, at, arrays)
        header = arrays.get(node["file"]) if isinstance(node["file"], str) else None
        if node["type"] != "numpy" or header is None:
            refuse(at)
        if header.dtype != dtype or len(header.shape) != dimensions:
            refuse(f"{at}: {header.dtype} in {len(header.shape)} dimensions")

    return check


def one_of(*shapes: Shape) -> Shape:
    """What has any of these shapes."""

    def has(shape: Shape, node: Any, at: str, arrays: Arrays) -> bool:
        try:
            shape(node, at, arrays)
        except ValueError:
            return False
        return True

    def check(node: Any, at: str, arrays: Arrays) -> None:
        if not any(has(shape, node, at, arrays) for shape in shapes):
            refuse(at)

    return check


def _sequence(loader: str, kind: str, check_all: Callable[[list[Any], str, Arrays], None]) -> Shape:
    is_sequence = _node(loader, kind, "content")

    def check(node: Any, at: str, arrays: Arrays) -> None:
        is_sequence(node, at, arrays)
        if not isinstance(node["content"], list):
            refuse(at)
        check_all(node["content"], at, arrays)

    return check


def _alike(shape: Shape, most: int) -> Callable[[list[Any], str, Arrays], None]:
    def check(content: list[Any], at: str, arrays: Arrays) -> None:
        if len(content) > most:
            refuse(at)
        for number, item in enumerate(content):
            shape(item, f"{at}[{number}]", arrays)

    return check


def _each(shapes: tuple[Shape, ...]) -> Callable[[list[Any], str, Arrays], None]:
    def check(content: list[Any], at: str, arrays: Arrays) -> None:
        if len(content) != len(shapes):
            refuse(at)
        for number, (item, shape) in enumerate(zip(content, shapes, strict=True)):
            shape(item, f"{at}[{number}]", arrays)

    return check


def list_of(shape: Shape, most: int) -> Shape:
    """A list of any length up to ``most`` of one shape."""
    return _sequence("ListNode", "builtins.list", _alike(shape, most))


def tuple_of(shape: Shape, most: int) -> Shape:
    """A tuple of any length up to ``most`` of one shape."""
    return _sequence("TupleNode", "builtins.tuple", _alike(shape, most))


def a_list(*shapes: Shape) -> Shape:
    """A list of exactly these."""
    return _sequence("ListNode", "builtins.list", _each(shapes))


def a_tuple(*shapes: Shape) -> Shape:
    """A tuple of exactly these."""
    return _sequence("TupleNode", "builtins.tuple", _each(shapes))


def a_dict(
    shapes: Mapping[str, Shape], optional: Collection[str] = (), keys: str = "builtins.str"
) -> Shape:
    """A dictionary of exactly these keys, of which some may be missing."""
    is_dict = _node("DictNode", "builtins.dict", "content", "key_types")
    key_types = list_of(typed("TypeNode", keys), len(shapes))
    needed = set(shapes) - set(optional)

    def check(node: Any, at: str, arrays: Arrays) -> None:
        is_dict(node, at, arrays)
        content = node["content"]
        if not isinstance(content, dict) or not needed <= set(content) <= set(shapes):
            refuse(at)
        key_types(node["key_types"], f"{at}.keys", arrays)
        if len(node["key_types"]["content"]) != len(content):
            refuse(at)
        for key, item in content.items():
            shapes[key](item, f"{at}.{key}" if at else key, arrays)

    return check


def numbered(shape: Shape, most: int) -> Shape:
    """A dictionary of whole numbers from 0 to below ``most``."""
    return a_dict(
        {str(key): shape for key in range(most)}, [str(key) for key in range(most)], "builtins.int"
    )


def holding(loader: str, kind: str, content: Callable[[Any, str, Arrays], None]) -> Shape:
    """What has a loader, a type and one content."""
    is_holding = _node(loader, kind, "content")

    def check(node: Any, at: str, arrays: Arrays) -> None:
        is_holding(node, at, arrays)
        content(node["content"], at, arrays)

    return check


def an_object(kind: str, shapes: Mapping[str, Shape], optional: Collection[str] = ()) -> Shape:
    """An object of a class, with exactly these attributes, of which some may be missing."""
    return holding("ObjectNode", kind, a_dict(shapes, optional))


def parts(shapes: Mapping[str, Shape]) -> Callable[[Any, str, Arrays], None]:
    """Content that has exactly these parts, each a node."""

    def check(content: Any, at: str, arrays: Arrays) -> None:
        if not isinstance(content, dict) or set(content) != set(shapes):
            refuse(at)
        for key, item in content.items():
            shapes[key](item, f"{at}.{key}", arrays)

    return check


def a_slice(most: int) -> Shape:
    """A slice of places from 0 to ``most``, without a step."""

    def check(content: Any, at: str, arrays: Arrays) -> None:
        if not isinstance(content, dict) or set(content) != {"start", "stop", "step"}:
            refuse(at)
        ends = [content["start"], content["stop"]]
        if content["step"] is not None or any(type(end) is not int for end in ends):
            refuse(at)
        if not 0 <= ends[0] <= ends[1] <= most:
            refuse(at)

    return holding("SliceNode", "builtins.slice", check)


def reduced(kind: str) -> Shape:
    """What is made by its class without arguments, and has no attributes."""
    is_reduced = _node("LossNode", kind, "__reduce__", "content")
    nothing, none = a_tuple(), a_dict({})

    def check(node: Any, at: str, arrays: Arrays) -> None:
        is_reduced(node, at, arrays)
        parts({"args": nothing})(node["__reduce__"], at, arrays)
        none(node["content"], at, arrays)

    return check
