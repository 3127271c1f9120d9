"""Sources of rows: files, frames and databases, as parts that the store can read."""
