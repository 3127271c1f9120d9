"""Discover which behaviours, and at what frequency, distinguish successful accounts."""
