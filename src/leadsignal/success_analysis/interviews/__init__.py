"""Interviews with successful accounts: briefs to fill in, answers read back and distilled."""

from leadsignal.success_analysis.interviews.agreement import Agreement
from leadsignal.success_analysis.interviews.answers import (
    Interview,
    InterviewError,
    Interviews,
    read_interviews,
)
from leadsignal.success_analysis.interviews.bullseye import BullseyePage, bullseye_page
from leadsignal.success_analysis.interviews.distilling import Distilled, distil
from leadsignal.success_analysis.interviews.kit import InterviewKit, write_interview_kit

__all__ = [
    "Agreement",
    "BullseyePage",
    "Distilled",
    "Interview",
    "InterviewError",
    "InterviewKit",
    "Interviews",
    "bullseye_page",
    "distil",
    "read_interviews",
    "write_interview_kit",
]
