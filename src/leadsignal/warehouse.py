"""Panels from tables in a warehouse: PostgreSQL, ClickHouse and others."""

from leadsignal.engine.warehouse import (
    WarehouseTables,
    create_panel,
    panel_sql,
    read_warehouse_tables,
)

__all__ = ["WarehouseTables", "create_panel", "panel_sql", "read_warehouse_tables"]
