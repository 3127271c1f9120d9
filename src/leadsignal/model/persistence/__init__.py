"""Saved models: a folder of JSON and of estimators that load without running code."""
