"""Why accounts leave: hazard ratios of indicators, and cumulative incidence of causes.

``docs/why.md`` explains what the numbers mean and what they do not.
"""
