"""Which behaviours, done how, mark the accounts that reach results and stay."""

from leadsignal.discovery.find import discover_processes
from leadsignal.discovery.findings import Discovery

__all__ = ["Discovery", "discover_processes"]
