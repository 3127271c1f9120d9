"""A Spark session for tests: small enough to start beside everything else."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.memory": "1500m",
    # The machine's code is best compiled quickly, not well, for half a minute.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # One task sorts and joins some dozen tables at once; each takes a page at least.
    "spark.buffer.pageSize": "1m",
    "spark.sql.shuffle.partitions": "2",
    # The rows are few and the plans long: to compile them takes longer than to run them.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    # Anything but UTC: no row may depend on it.
    "spark.sql.session.timeZone": "America/New_York",
}


def small_session(folder: Path) -> Any:
    """Start a session of two threads that keeps all it writes in ``folder``."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("leadsignal tests")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    builder = builder.config("spark.sql.warehouse.dir", str(folder / "warehouse"))
    session = builder.config("spark.local.dir", str(folder)).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def missing() -> str | None:
    """Say why there can be no session here, if there can be none."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed: pip install 'leadsignal[spark]'"
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        return "Spark needs a Java runtime, and there is none"
    return None
