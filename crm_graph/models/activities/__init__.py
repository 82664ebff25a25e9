"""Tables of the activities area."""
