"""The SQL that builds adoption episodes and the panel, and DuckDB that runs it."""
