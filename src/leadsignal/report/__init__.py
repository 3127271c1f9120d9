"""Pages for people: self-contained HTML, inline SVG, no script, no request to anywhere."""

from leadsignal.report.review_page import review_page, write_review

__all__ = ["review_page", "write_review"]
