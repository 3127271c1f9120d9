"""Fitted scikit-learn estimators as bytes and back; nothing in the bytes is run.

The bytes are those of ``skops.io``: a zip archive of one JSON text and of numbers. Object ids and
times are taken out of it, so that equal estimators give equal bytes.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.errors import ModelError, quiet, quoted
from leadsignal.model.persistence.estimator_checks import OtherFeaturesError, check_stacked_model
from leadsignal.model.persistence.estimator_shapes import NODES, check_shape
from leadsignal.model.persistence.shapes import KINDS, Header, nodes, one_object_an_id

if TYPE_CHECKING:
    from leadsignal.model.person_period import Layout
    from leadsignal.model.stacked_model import StackedModel

LARGEST, LARGEST_ARRAY = 100_000_000, 20_000_000
"""Bytes that a file of a model may have, packed or unpacked, and one of its arrays."""
LARGEST_SCHEMA, MAX_NODES, MAX_FILES = 20_000_000, 500_000, 100_000
"""Bytes and parts of the JSON text of an estimator, and its arrays."""

_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SIZES = {"|b1": 1, "|u1": 1, "<u4": 4, "<i8": 8, "<u8": 8, "<f8": 8, NODES: 56}
"""Bytes of one number of each dtype that a model has."""

_TRUSTED = sorted({called for _, called in KINDS})
_SCHEMA = "schema.json"
_WHEN = (1980, 1, 1, 0, 0, 0)
_FAULTS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError, OverflowError,
    RecursionError, NotImplementedError, EOFError, MemoryError, zipfile.BadZipFile, RuntimeError,
    zlib.error, struct.error, SyntaxError, ArithmeticError,
)  # fmt: skip
"""What skops, zipfile and numpy raise on bytes that are not what they expect."""

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..){'descr': (?:'([^']{1,20})'|(\[[^\]]{1,600}\])),"
    rb" 'fortran_order': False, 'shape': \(([0-9, ]{0,60})\), } *\n",
    re.DOTALL,
)
"""How numpy begins the file of an array; of these bytes, nothing is evaluated."""


def estimator_to_bytes(estimator: Any) -> bytes:
    """Return a fitted estimator as bytes, the same for the same estimator."""
    from skops.io import dumps

    return _repacked(dumps(estimator))


def _repacked(content: bytes, packed_as: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive with its objects and files renumbered in order of appearance."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as original:
        schema = json.loads(original.read(_SCHEMA))
        files = _renumbered(schema)
        with zipfile.ZipFile(out, "w", packed_as) as packed:
            _add(packed, _SCHEMA, json.dumps(schema, separators=(",", ":")).encode())
            for old, new in files.items():
                _add(packed, new, original.read(old))
    return out.getvalue()


def _add(packed: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _WHEN)
    info.compress_type = packed.compression
    packed.writestr(info, content)


def _renumbered(schema: dict[str, Any]) -> dict[str, str]:
    """Number the objects by their place instead of their address; return the files' new names."""
    numbers: dict[Any, int] = {}
    files: dict[str, str] = {}
    for node in nodes(schema):
        if "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if isinstance(node.get("file"), str):
            node["file"] = files.setdefault(node["file"], f"{len(files) + 1}.npy")
    return files


def estimator_from_bytes(content: bytes, name: str, features: int, layout: Layout) -> StackedModel:
    """Return the estimator of some bytes that predicts from a design of this layout.

    The first ``features`` columns are the model's own. ``name`` is what messages call the bytes.
    Raises ModelError for what is no estimator, reads other features, has another shape than what
    `estimator_to_bytes` writes, holds numbers that do not fit together, or is larger than allowed.
    """
    try:
        _check_archive(content, name)
        stacked_model = _loaded(content)
        check_stacked_model(stacked_model, layout)
        # What it says of nothing known: a row as `person_period.design` makes it.
        columns = len(layout.names)
        nothing = np.where(np.arange(columns) == features, 0.0, np.full((2, columns), np.nan))
        chances = stacked_model.probability(nothing)
        if chances.shape != (2,) or not np.isfinite(chances).all():
            raise ValueError("it gives no chances")
    except OtherFeaturesError as error:
        raise ModelError(
            f"{name} reads other features than its recipe says", "Fit the model again"
        ) from error
    except _FAULTS as error:
        reason = f": {error}" if type(error) is ValueError else ""
        raise ModelError(
            f"{name} cannot be read as an estimator ({type(error).__name__}{quiet(reason)})",
            "Fit the model again",
        ) from error
    return stacked_model


def _loaded(content: bytes) -> StackedModel:
    from sklearn.exceptions import InconsistentVersionWarning
    from skops.io import loads

    with warnings.catch_warnings():
        # `load_model` has compared the series; a later release of the same one is as good.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        found: StackedModel = loads(_repacked(content, zipfile.ZIP_STORED), trusted=_TRUSTED)
    return found


def _check_archive(content: bytes, name: str) -> None:
    """Refuse an archive that holds anything but what `estimator_to_bytes` writes."""
    if content.count(b"PK\x01\x02") > MAX_FILES:
        raise ModelError(f"{name} holds more than {MAX_FILES:,} files")
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        members = packed.infolist()
        names = [member.filename for member in members]
        strange = [n for n in names if n != _SCHEMA and not re.fullmatch(r"[0-9]{1,40}\.npy", n)]
        if strange or len(set(names)) < len(names):
            listed = ", ".join(quoted(n) for n in strange[:3]) or "a name twice"
            raise ModelError(f"{name} holds files that an estimator does not need: {listed}")
        if sum(member.file_size for member in members) > LARGEST:
            raise ModelError(f"{name} unpacks to more than {LARGEST:,} bytes")
        # Other methods unpack a whole block, however large, even if less is read.
        if any(member.compress_type not in _PACKED for member in members):
            raise ModelError(f"{name} is packed in another way than a model's files")
        schema = _schema_of(packed)
        foreign = sorted({kind for node in nodes(schema) if (kind := _foreign(node))})
        if foreign:
            listed = ", ".join(quiet(kind) for kind in foreign[:5])
            raise ModelError(f"{name} holds types that a model does not need: {listed}")
        arrays = {n: _header(packed.read(n)) for n in names if n != _SCHEMA}
    check_shape(schema, arrays)
    one_object_an_id(schema)
    if set(arrays) != {node["file"] for node in nodes(schema) if isinstance(node.get("file"), str)}:
        raise ValueError("an array belongs to nothing")


def _schema_of(packed: zipfile.ZipFile) -> Any:
    if packed.getinfo(_SCHEMA).file_size > LARGEST_SCHEMA:
        raise ValueError("the schema is too large")
    text = packed.read(_SCHEMA)
    if text.count(b"{") + text.count(b"[") > MAX_NODES:
        raise ValueError("the schema has too many parts")
    return json.loads(text)


def _header(content: bytes) -> Header:
    """Return dtype and shape of an array's bytes; raise ValueError for anything else."""
    found = _HEADER.match(content[:2000])
    if found is None:
        raise ValueError("an array is none")
    header_length, simple, fields, shape = found.groups()
    sides = tuple(int(side) for side in re.findall(rb"[0-9]+", shape))
    dtype = (simple or fields).decode("ascii")
    size = _SIZES.get(dtype, 0)
    whole = found.end() == 10 + int.from_bytes(header_length, "little")
    length = size * math.prod(sides)
    if not 0 < size <= size + length <= LARGEST_ARRAY:
        raise ValueError("an array has another type, or is too large")
    if not whole or len(content) != found.end() + length:
        raise ValueError("an array is none")
    return Header(dtype, sides)


def _foreign(node: dict[str, Any]) -> str | None:
    """Return what a node is if no model has its type, by name; None where one has."""
    if "__loader__" not in node and "__class__" not in node:
        return None
    kind, loader = f"{node.get('__module__')}.{node.get('__class__')}", str(node.get("__loader__"))
    if (loader, kind) in KINDS:
        return None
    return kind if kind != "None.None" else loader
