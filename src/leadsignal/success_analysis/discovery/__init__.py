"""Which behaviours, done how, mark the accounts that reach results and stay."""
