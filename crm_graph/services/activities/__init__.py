"""Business rules of the activities area."""
