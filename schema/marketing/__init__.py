"""GraphQL types of the marketing area."""
