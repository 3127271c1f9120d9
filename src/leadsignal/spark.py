"""Panels from tables in Apache Spark."""

from leadsignal.engine.spark_tables import SparkTables, read_spark_tables
from leadsignal.scoring.spark_panel import SparkPanel, build_spark_panel
from leadsignal.scoring.spark_saving import save_scores

__all__ = ["SparkPanel", "SparkTables", "build_spark_panel", "read_spark_tables", "save_scores"]
