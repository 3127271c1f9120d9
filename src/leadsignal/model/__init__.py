"""Who will leave, and why: fitted, explained, saved and loaded."""
