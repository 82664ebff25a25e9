"""GraphQL types of the activities area."""
