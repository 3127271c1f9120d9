"""Which indicators lead, and what past alerts would have caught."""
