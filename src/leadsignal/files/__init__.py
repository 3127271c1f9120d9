"""Atomic writes, locks, and rows as plain values."""
