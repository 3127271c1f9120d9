"""Churn models in MLflow: saved, logged and loaded without pickle.

An MLflow model holds the model folder of `save_model` (the recipe and its checksum) as data, and
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
from leadsignal.model.churn_model import ChurnModel
from leadsignal.model.persistence import saved_models

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model, ModelSignature
    from mlflow.models.model import ModelInfo

__all__ = ["load_model", "log_model", "save_model"]

FLAVOR_NAME = "leadsignal"
DATA = "churn_model"
"""The name of the model folder; MLflow puts it below ``data``."""
KEYS = {"account_id": "string", "snapshot_on": "datetime"}
"""The columns of panel rows that tell them apart, and their types in MLflow."""


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
    """Return the columns of panel rows that the model reads, and those of its forecast."""
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
    """Save a fitted model as an MLflow model on this machine.

    Beside the loader of `load_model` it has the flavour ``python_function``: a frame of panel rows
    gives the frame of `ChurnModel.predict`, with ``account_id``, ``snapshot_on``, ``risk`` and
    ``still_active_…d``. Its signature lists the indicators that the model reads, its metadata the
    recipe.

    Parameters
    ----------
    model : ChurnModel
        A fitted model with a built-in estimator.
    path : str or Path
        A new or empty folder.
    mlflow_model : mlflow.models.Model, optional
        The description to which this model is added; MLflow gives it to `log_model`.
    conda_env, pip_requirements, extra_pip_requirements : optional
        The environment, as for `mlflow.pyfunc.save_model`; by default this version of leadsignal.
    input_example : DataFrame, optional
        A few panel rows that are kept with the model; they name accounts.
    metadata : dict, optional
        More metadata, ready for JSON.

    Raises
    ------
    OptionError
        Where MLflow is not installed.
    ModelError
        Where the estimator is not a built-in one (`save_model`).
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
        # There is a signature; an example would name accounts.
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
    """Log a fitted model to MLflow, with the active run where there is one.

    Parameters
    ----------
    model : ChurnModel
        A fitted model with a built-in estimator.
    name : str, default "churn_model"
        The name of the logged model.
    registered_model_name : str, optional
        The name under which a version of it is registered.
    **options
        The options of `save_model`; and ``tags``, ``params`` and ``step``, as for
        `mlflow.pyfunc.log_model`.

    Returns
    -------
    mlflow.models.model.ModelInfo
        Its ``model_uri`` is what `load_model` takes.

    Raises
    ------
    OptionError
        Where MLflow is not installed.
    ModelError
        Where the estimator is not a built-in one.
    """
    mlflow = _mlflow()
    saved_models.refuse_classifier(model)  # before MLflow notes that there is a model
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
    """Load a churn model that `save_model` or `log_model` stored; no code of it is run.

    Only the JSON of the model folder is read (`leadsignal.load_model`), not the loader, code or
    environment that an MLflow model names. `mlflow.pyfunc.load_model` follows these, whoever wrote
    them.

    Parameters
    ----------
    model_uri : str or Path
        A folder, or a URI of MLflow, as in ``models:/churn/3`` and ``runs:/…/churn_model``.
    dst_path : str or Path, optional
        The folder that is downloaded into.

    Returns
    -------
    ChurnModel

    Raises
    ------
    OptionError
        Where MLflow is not installed.
    ModelError
        Where it holds no churn model, or one that was altered.
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
    """What ``mlflow.pyfunc.load_model`` gives: panel rows in, a frame of risks out."""

    def __init__(self, model: ChurnModel) -> None:
        self.model = model

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return one row for each panel row, in the same order."""
        return self.model.predict(rows).to_frame()


def _load_pyfunc(path: str) -> _Forecasts:
    """Return the model of a model folder; MLflow calls it by this name."""
    return _Forecasts(saved_models.load_model(path))
