"""Adoption, milestones, unattended accounts, and results over time."""
