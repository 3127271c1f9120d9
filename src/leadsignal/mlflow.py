"""Save, log and load churn models with MLflow, without pickle.

An MLflow model contains the model folder of `save_model` (the recipe and its checksum) as data, and
names this module as its loader.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from leadsignal import __version__
from leadsignal.arguments import checked
from leadsignal.errors import ModelError, OptionError
from leadsignal.model import saved_models
from leadsignal.model.churn_model import ChurnModel

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model, ModelSignature
    from mlflow.models.model import ModelInfo

__all__ = ["load_model", "log_model", "save_model"]

FLAVOR_NAME = "leadsignal"
DATA = "churn_model"
"""Name of the model folder; MLflow puts it below ``data``."""
KEYS = {"account_id": "string", "snapshot_on": "datetime"}
"""Columns that identify panel rows, and their types in MLflow."""


def _mlflow() -> Any:
    try:
        import mlflow.models
        import mlflow.pyfunc
    except ImportError:
        raise OptionError(
            "MLflow is not installed", "Install it with: pip install 'leadsignal[mlflow]'"
        ) from None
    return mlflow


def _signature(model: ChurnModel) -> ModelSignature:
    """Return the signature: the panel columns that the model uses, and those of its forecast."""
    mlflow = _mlflow()
    schema = mlflow.types.schema
    states = model.features_.levels
    read = {name: "string" if name in states else "double" for name in model.features_.names}
    risks = ["risk", *(f"still_active_{days}d" for days in model.hazards_.ends)]
    columns = (KEYS | read, KEYS | dict.fromkeys(risks, "double"))
    inputs, outputs = (
        schema.Schema([schema.ColSpec(kind, name) for name, kind in one.items()]) for one in columns
    )
    signature: ModelSignature = mlflow.models.ModelSignature(inputs=inputs, outputs=outputs)
    return signature


def _recipe(model: ChurnModel) -> dict[str, Any]:
    """Return the settings of the model; its indicators are in the signature."""
    settings = model.recipe.to_dict()
    del settings["indicators"]
    trained = {"version": model.version_, "trained_through": model.trained_through_.isoformat()}
    return trained | settings


@checked
def save_model(
    model: ChurnModel,
    path: str | Path,
    *,
    mlflow_model: Model | None = None,
    conda_env: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    input_example: pd.DataFrame | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Save a fitted model locally as an MLflow model.

    It can be loaded with `load_model`, and also has the flavour ``python_function``, which takes a
    frame of panel rows and returns the frame of `ChurnModel.predict` with ``account_id``,
    ``snapshot_on``, ``risk`` and ``still_active_…d``. Its signature lists the indicators that the
    model uses, its metadata the recipe.

    Parameters
    ----------
    model : ChurnModel
        A fitted model with a built-in estimator.
    path : str or Path
        A new or empty folder.
    mlflow_model : mlflow.models.Model, optional
        The MLflow model to add this flavour to; set by `log_model`.
    conda_env, pip_requirements, extra_pip_requirements : optional
        The environment, as for `mlflow.pyfunc.save_model`. Default: this version of leadsignal.
    input_example : DataFrame, optional
        A few panel rows to store with the model; they identify accounts.
    metadata : dict, optional
        Additional metadata, ready for JSON.

    Raises
    ------
    OptionError
        If MLflow is not installed.
    ModelError
        If the estimator is not a built-in one; see `save_model`.
    """
    mlflow = _mlflow()
    mlflow_model = mlflow_model or mlflow.models.Model()
    about = {**(mlflow_model.metadata or {}), **(metadata or {}), FLAVOR_NAME: _recipe(model)}
    mlflow_model.metadata = about
    mlflow_model.add_flavor(FLAVOR_NAME, data=f"data/{DATA}", version=__version__)
    if conda_env is None and pip_requirements is None:
        own = [f"leadsignal=={__version__}"]
        pip_requirements, extra_pip_requirements = own + list(extra_pip_requirements or ()), None
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The signature is enough; an example would identify accounts.
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        mlflow.pyfunc.save_model(
            path=str(path),
            loader_module=__name__,
            data_path=str(saved_models.save_model(model, Path(folder) / DATA)),
            mlflow_model=mlflow_model,
            signature=_signature(model),
            input_example=input_example,
            conda_env=conda_env,
            pip_requirements=pip_requirements,
            extra_pip_requirements=extra_pip_requirements,
        )


@checked
def log_model(
    model: ChurnModel,
    name: str = "churn_model",
    *,
    registered_model_name: str | None = None,
    **options: Any,
) -> ModelInfo:
    """Log a fitted model to MLflow, in the active run if there is one.

    Parameters
    ----------
    model : ChurnModel
        A fitted model with a built-in estimator.
    name : str, default "churn_model"
        Name of the logged model.
    registered_model_name : str, optional
        Name under which to register a version of it. Default: it is not registered.
    **options
        Options of `save_model`, and ``tags``, ``params`` and ``step`` as for
        `mlflow.pyfunc.log_model`.

    Returns
    -------
    mlflow.models.model.ModelInfo
        Information on the model; pass its ``model_uri`` to `load_model`.

    Raises
    ------
    OptionError
        If MLflow is not installed.
    ModelError
        If the estimator is not a built-in one.
    """
    mlflow = _mlflow()
    saved_models.refuse_classifier(model)  # before MLflow creates the model
    info: ModelInfo = mlflow.models.Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[__name__],
        model=model,
        registered_model_name=registered_model_name,
        **options,
    )
    return info


def load_model(model_uri: str | Path, *, dst_path: str | Path | None = None) -> ChurnModel:
    """Load a churn model stored by `save_model` or `log_model`, without running any of its code.

    Only the JSON of the model folder is read (by `leadsignal.load_model`), not the loader, code or
    environment of the MLflow model. In contrast, `mlflow.pyfunc.load_model` runs these, whoever
    wrote them.

    Parameters
    ----------
    model_uri : str or Path
        A folder, or an MLflow URI such as ``models:/churn/3`` or ``runs:/…/churn_model``.
    dst_path : str or Path, optional
        Folder to download to.

    Returns
    -------
    ChurnModel

    Raises
    ------
    OptionError
        If MLflow is not installed.
    ModelError
        If there is no churn model, or it was altered.
    """
    folder = _mlflow().artifacts.download_artifacts(
        artifact_uri=str(model_uri), dst_path=None if dst_path is None else str(dst_path)
    )
    data = Path(folder) / "data" / DATA
    if not data.is_dir():
        raise ModelError(
            f"{str(model_uri)!r} is no churn model of leadsignal: it has no data/{DATA}",
            "Give the URI of a model that leadsignal.mlflow.log_model stored",
        )
    return saved_models.load_model(data)


class _Forecasts:
    """The model that ``mlflow.pyfunc.load_model`` loads: it maps panel rows to a frame of risks."""

    def __init__(self, model: ChurnModel) -> None:
        self.model = model

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return one row for each panel row, in the same order."""
        return self.model.predict(rows).to_frame()


def _load_pyfunc(path: str) -> _Forecasts:
    """Load the model from a model folder; MLflow calls this function by its name."""
    return _Forecasts(saved_models.load_model(path))
