"""Interviews with successful accounts: briefs to fill in, answers read back and distilled."""
