"""GraphQL types of the accounts area."""
