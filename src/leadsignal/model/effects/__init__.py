"""Why accounts leave: hazard ratios of the indicators, and how likely each cause is.

``docs/why.md`` explains what the numbers mean and what they do not.
"""
