"""Accounts scored on a date, in batches, in files, in databases and beyond one machine."""
