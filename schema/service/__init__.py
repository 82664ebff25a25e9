"""GraphQL types of the service area."""
