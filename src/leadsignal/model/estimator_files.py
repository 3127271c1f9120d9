"""Fitted scikit-learn estimators as bytes and back; nothing in the bytes is run.

The bytes are those of ``skops.io``: a zip archive of one JSON text and of numbers. Object ids and
times are taken out of it, so that equal estimators give equal bytes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leadsignal.errors import ModelError
from leadsignal.hazards.blend import Blend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from leadsignal.hazards.stacking import Layout

LARGEST = 500_000_000
"""Bytes that a file of a model may have, packed or unpacked."""

_SKLEARN = (
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.impute._base.MissingIndicator",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.QuantileTransformer",
    "sklearn.preprocessing._encoders.OneHotEncoder",
    "sklearn.preprocessing._encoders.OrdinalEncoder",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",
    "sklearn.preprocessing._label.LabelEncoder",
)
_OWN = (
    "leadsignal.estimator_files.OneClassifier",
    "leadsignal.encoding.IndicatorEncoder",
    "leadsignal.hazards.Blend",
    "leadsignal.learners.Boosting",
    "leadsignal.learners.LandmarkCox",
    "leadsignal.learners.LinearColumns",
    "leadsignal.learners.Logistic",
    "leadsignal.stacking.Layout",
)
ROOMS_NOW = {
    "leadsignal.estimator_files": "leadsignal.model.estimator_files",
    "leadsignal.encoding": "leadsignal.hazards.encoding",
    "leadsignal.hazards": "leadsignal.hazards.blend",
    "leadsignal.learners": "leadsignal.hazards.learners",
    "leadsignal.stacking": "leadsignal.hazards.stacking",
}
"""Where the types are that files call by these modules; a type may move, its name in files not."""

ALLOWED: dict[str, tuple[str, ...]] = {
    "DTypeNode": ("numpy.dtype",),
    "DictNode": ("builtins.dict",),
    "FunctionNode": ("sklearn.utils.validation.check_array",),
    "JsonNode": ("builtins.str",),
    "ListNode": ("builtins.list",),
    "LossNode": ("sklearn._loss._loss.CyHalfBinomialLoss",),
    "NdArrayNode": ("numpy.ndarray", "numpy.float64", "numpy.int64", "numpy.uint64"),
    "ObjectNode": (*_SKLEARN, *_OWN),
    "PartialNode": ("functools.partial",),
    "RandomGeneratorNode": ("numpy.random._generator.Generator",),
    "SliceNode": ("builtins.slice",),
    "TupleNode": ("builtins.tuple",),
    "TypeNode": ("builtins.int", "builtins.str", "numpy.float64"),
}
"""All that a saved estimator may hold: for each way in which skops makes an object, its types."""

_CALLED = {now: called for called, now in ROOMS_NOW.items()}
_TRUSTED = sorted(
    {
        f"{ROOMS_NOW.get(room, room)}.{kind}"
        for names in ALLOWED.values()
        for room, _, kind in (name.rpartition(".") for name in names)
    }
)
_SCHEMA = "schema.json"
_WHEN = (1980, 1, 1, 0, 0, 0)
_FAULTS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError, OverflowError,
    RecursionError, NotImplementedError, EOFError, MemoryError, zipfile.BadZipFile, RuntimeError,
)  # fmt: skip
"""What skops, zipfile and numpy raise on bytes that are not what they expect."""


def estimator_to_bytes(estimator: Any) -> bytes:
    """Return a fitted estimator as bytes, the same for the same estimator."""
    from skops.io import dumps

    return _repacked(dumps(estimator), _CALLED)


def _repacked(content: bytes, modules: Mapping[str, str]) -> bytes:
    """Return an archive with objects and files numbered anew, and modules called otherwise."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given:
        schema = json.loads(given.read(_SCHEMA))
        for node in _nodes(schema):
            if "__module__" in node:
                node["__module__"] = modules.get(node["__module__"], node["__module__"])
        files = _renumbered(schema)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
            _add(packed, _SCHEMA, json.dumps(schema, separators=(",", ":")).encode())
            for old, new in files.items():
                _add(packed, new, given.read(old))
    return out.getvalue()


def _add(packed: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _WHEN)
    info.compress_type = zipfile.ZIP_DEFLATED
    packed.writestr(info, content)


def _renumbered(schema: dict[str, Any]) -> dict[str, str]:
    """Number the objects by their place instead of their address; return the files' new names."""
    numbers: dict[Any, int] = {}
    files: dict[str, str] = {}
    for node in _nodes(schema):
        if "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if isinstance(node.get("file"), str):
            node["file"] = files.setdefault(node["file"], f"{len(files) + 1}.npy")
    return files


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object of a schema, in order; no recursion, for hostile depths."""
    waiting = [schema]
    while waiting:
        at = waiting.pop()
        if isinstance(at, dict):
            yield at
            waiting.extend(reversed(list(at.values())))
        elif isinstance(at, list):
            waiting.extend(reversed(at))


def estimator_from_bytes(content: bytes, name: str, features: int, layout: Layout) -> Blend:
    """Return the estimator of some bytes that predicts from a design of this layout.

    The first ``features`` columns are the model's own. ``name`` is what messages call the bytes.
    Raises ModelError for what is no estimator, reads other features, holds types that a model has
    no need of, or is larger than allowed.
    """
    from skops.io import loads

    columns = len(layout.names)
    try:
        _check_archive(content, name)
        estimator = loads(_repacked(content, ROOMS_NOW), trusted=_TRUSTED)
        blend = estimator if isinstance(estimator, Blend) else _blend_of_one(estimator)
        for member in blend.members:
            _check_layout(member, layout, name)
            _check_trees(getattr(member, "trees", None), columns)
        # What it says of nothing known: a row as `stacking.design` makes it.
        nothing = np.where(np.arange(columns) == features, 0.0, np.full((2, columns), np.nan))
        chances = blend.probability(nothing)
        if chances.shape != (2,) or not np.isfinite(chances).all():
            raise ValueError("it gives no chances")
    except _FAULTS as error:
        raise ModelError(
            f"{name} cannot be read as an estimator ({type(error).__name__})", "Fit the model again"
        ) from error
    return blend


class OneClassifier:
    """A scikit-learn classifier as a member of a blend, as models of format 1 hold them."""

    def __init__(self, classifier: Any) -> None:
        self.trees = classifier

    def log_odds(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of ending in each row, shape (n,)."""
        score: NDArray[np.float64] = self.trees.decision_function(rows)
        return score


def _blend_of_one(classifier: Any) -> Blend:
    if not hasattr(classifier, "decision_function"):
        raise TypeError("no classifier")
    return Blend((OneClassifier(classifier),), np.ones(1), 0.0)  # type: ignore[arg-type]


def _check_archive(content: bytes, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        members = packed.infolist()
        names = [member.filename for member in members]
        strange = [n for n in names if n != _SCHEMA and not re.fullmatch(r"\d{1,40}\.npy", n)]
        if strange or len(set(names)) < len(names):
            told = ", ".join(repr(n[:60]) for n in strange[:3]) or "a name twice"
            raise ModelError(f"{name} holds files that an estimator has no need of: {told}")
        if sum(member.file_size for member in members) > LARGEST:
            raise ModelError(f"{name} unpacks to more than {LARGEST:,} bytes")
        schema = json.loads(packed.read(_SCHEMA))
    foreign = sorted({kind for node in _nodes(schema) if (kind := _foreign(node, set(names)))})
    if foreign:
        told = ", ".join(foreign[:5])
        raise ModelError(f"{name} holds types that a model has no need of: {told}")


def _foreign(node: dict[str, Any], names: set[str]) -> str | None:
    """Return what a node is if it is not allowed, by name; None where it is."""
    if "__loader__" not in node and "__class__" not in node:
        return None
    kind = f"{node.get('__module__')}.{node.get('__class__')}"
    if kind not in ALLOWED.get(str(node.get("__loader__")), ()):
        return kind if kind != "None.None" else str(node.get("__loader__"))
    if "file" in node and node["file"] not in names:
        return f"{kind} in another file"
    return None


def _check_layout(member: Any, layout: Layout, name: str) -> None:
    """Refuse a learner of other features; models of format 1 hold none that says its own."""
    own = getattr(getattr(member, "columns", member), "layout", layout)
    same = tuple(own.names) == layout.names and np.array_equal(own.ends, layout.ends)
    if not same or not np.array_equal(own.is_category, layout.is_category):
        raise ModelError(f"{name} reads other features than its recipe says", "Fit the model again")


def _check_trees(estimator: Any, columns: int) -> None:
    """Refuse trees whose branches lead outside: they are walked without looking."""
    if getattr(estimator, "n_features_in_", columns) != columns:
        raise ValueError(f"it reads {estimator.n_features_in_} columns instead of {columns}")
    for step in getattr(estimator, "_predictors", ()):
        for tree in step:
            _check_tree(tree, columns)


def _check_tree(tree: Any, columns: int) -> None:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes = tree.nodes
    if nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1 or not len(nodes):
        raise ValueError("a tree has other nodes")
    here = np.arange(len(nodes))
    inner = nodes["is_leaf"] == 0
    for side in ("left", "right"):
        to = nodes[side].astype(np.int64)
        if (inner & ((to <= here) | (to >= len(nodes)))).any():
            raise ValueError("a tree leads outside")
    if (inner & ((nodes["feature_idx"] < 0) | (nodes["feature_idx"] >= columns))).any():
        raise ValueError("a tree reads another column")
    sets = tree.raw_left_cat_bitsets
    categorical = inner & (nodes["is_categorical"] == 1)
    if sets.dtype != np.uint32 or (categorical & (nodes["bitset_idx"] >= len(sets))).any():
        raise ValueError("a tree has other categories")
    if len(sets) and sets.shape[1:] != (8,):
        raise ValueError("a tree has other categories")
