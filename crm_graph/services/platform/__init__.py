"""Business rules of the platform area."""
