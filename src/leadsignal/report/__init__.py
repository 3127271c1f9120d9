"""Pages for people: self-contained HTML, inline SVG, no request to anywhere."""

from leadsignal.report.account_page import review_page, write_review
from leadsignal.report.churn_page import report_page, write_report
from leadsignal.report.findings import Findings, gather_findings
from leadsignal.report.summary import summarise

__all__ = [
    "Findings",
    "gather_findings",
    "report_page",
    "review_page",
    "summarise",
    "write_report",
    "write_review",
]
