"""From what a source holds to checked rows in a store."""
