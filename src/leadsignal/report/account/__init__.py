"""Review of one account for a meeting: plan, results, processes, commitments, risk, next step.

Everything is read as it was known at midnight of a day. An account that has ended is shown as of
its last day.
"""
