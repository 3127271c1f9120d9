"""How long customers stay, from one row a customer."""
