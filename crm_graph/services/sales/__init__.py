"""Business rules of the sales area."""
