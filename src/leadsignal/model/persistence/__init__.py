"""Saved models: a folder of JSON that is loaded without running code."""
