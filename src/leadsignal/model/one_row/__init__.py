"""Survival of customers from tables with one row per customer and no dates."""
