"""TOML with the line of each key, and the rules its values must meet."""
