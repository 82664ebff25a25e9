"""Business rules of the accounts area."""
