"""Tables of the platform area."""
