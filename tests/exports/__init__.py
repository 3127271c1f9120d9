"""Folders of exports as common systems write them, each with the numbers that are right."""
