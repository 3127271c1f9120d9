"""A Spark session for tests: small enough to start beside everything else."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.memory": "1500m",
    # The machine's code is best compiled quickly, not well, for half a minute.
    "spark.driver.extraJavaOptions": (
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:MetaspaceSize=256m"
        # All that is compiled stays: in the 48 MB of this compiler it stops halfway.
        " -XX:ReservedCodeCacheSize=240m"
        # Plans are short-lived: in a large young generation they are gone before it is full.
        " -Xms1500m -Xmn700m"
        # Spark's own classes need no verification, which takes seconds.
        " -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
    ),
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # One task sorts and joins some dozen tables at once; each takes a page at least.
    "spark.buffer.pageSize": "1m",
    "spark.sql.shuffle.partitions": "2",
    # The rows are few and the plans long: to compile them takes longer than to run them.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    # Nobody reads the text of a plan.
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.maxPlanStringLength": "100",
    # Anything but UTC: no row may depend on it.
    "spark.sql.session.timeZone": "America/New_York",
}


CONNECT = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
}
"""A server of Spark Connect in the same Java process."""


def small_session(folder: Path) -> Any:
    """Start a session of two threads that keeps all it writes in ``folder``.

    A server of Spark Connect runs beside it where its packages are installed.
    """
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("leadsignal tests")
    settings = dict(SETTINGS)
    if no_connect() is None:
        settings |= {**CONNECT, "spark.connect.grpc.binding.port": str(free_port())}
    for name, value in settings.items():
        builder = builder.config(name, value)
    builder = builder.config("spark.sql.warehouse.dir", str(folder / "warehouse"))
    session = builder.config("spark.local.dir", str(folder)).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def connect_session(classic: Any) -> Any:
    """Return a session of the server of Spark Connect beside a classic one.

    It reaches it through the network, and shares nothing with the classic session.
    """
    from pyspark.sql.connect.session import SparkSession

    port = classic.conf.get("spark.connect.grpc.binding.port")
    return SparkSession.builder.remote(f"sc://localhost:{port}").create()


def missing() -> str | None:
    """Say why there can be no session here, if there can be none."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed: pip install 'leadsignal[spark]'"
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        return "Spark needs a Java runtime, and there is none"
    return None


def no_connect() -> str | None:
    """Say why there can be no session of Spark Connect here, if there can be none."""
    try:
        importlib.import_module("pyspark.sql.connect.session")
    except ImportError as error:
        return f"Spark Connect: {error}: pip install 'pyspark[connect]'"
    return None
