"""GraphQL types of the sales area."""
