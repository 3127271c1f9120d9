"""Who adopted by when, who is due, whom nobody looks after, what was measured."""
