"""Business rules of the service area."""
