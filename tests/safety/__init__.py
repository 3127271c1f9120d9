"""Hostile files, made by the tests: nothing is lost, nothing is executed."""
