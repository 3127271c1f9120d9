"""Panels from tables in Apache Spark."""

from leadsignal.engine.spark_tables import SparkTables, read_spark_tables
from leadsignal.scoring.scores_table import save_scores
from leadsignal.scoring.spark_panel import SparkPanel, build_spark_panel

__all__ = ["SparkPanel", "SparkTables", "build_spark_panel", "read_spark_tables", "save_scores"]
