"""Tables of the service area."""
