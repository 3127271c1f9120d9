"""Why accounts leave: hazard ratios of the indicators, and how likely each cause is.

What the numbers mean, and what they do not, stands in ``docs/why.md``.
"""
