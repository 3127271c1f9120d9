"""Files written whole or not at all, locked, and their rows as plain values."""
