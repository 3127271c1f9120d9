"""What the most successful accounts share, and where the others fall short."""
