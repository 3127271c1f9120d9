"""One account, to be brought to a meeting: plan, results, processes, commitments, risk, next step.

Everything is read as it was known at midnight of a day. An account that has ended is shown as it
stood on its last day.
"""

from leadsignal.report.account.reading import review_account
from leadsignal.report.account.review import AccountStatus, Missed, ProcessReview, Review, Risk

__all__ = ["AccountStatus", "Missed", "ProcessReview", "Review", "Risk", "review_account"]
