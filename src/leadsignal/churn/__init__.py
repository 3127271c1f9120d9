"""Accounts that ended, were rescued, or stayed."""
