"""Interviews with successful accounts: write briefs, read the answers and distil them."""
