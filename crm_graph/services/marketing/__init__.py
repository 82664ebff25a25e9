"""Business rules of the marketing area."""
