"""Read the rows of sources into a store, and check them."""
