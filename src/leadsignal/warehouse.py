"""Panels from tables in a warehouse: PostgreSQL, ClickHouse and others."""

from leadsignal.engine.warehouse_panel import create_panel, panel_sql
from leadsignal.engine.warehouse_tables import WarehouseTables, read_warehouse_tables

__all__ = ["WarehouseTables", "create_panel", "panel_sql", "read_warehouse_tables"]
