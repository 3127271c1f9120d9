"""Discovery of the behaviours, and how often they occur, that mark successful accounts."""
