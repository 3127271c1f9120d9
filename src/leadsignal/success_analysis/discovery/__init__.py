"""Which behaviours, done how, mark the accounts that reach results and stay."""

from leadsignal.success_analysis.discovery.findings import Discovery
from leadsignal.success_analysis.discovery.search import discover_processes

__all__ = ["Discovery", "discover_processes"]
