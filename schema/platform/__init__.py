"""GraphQL types of the platform area."""
