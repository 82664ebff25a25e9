"""Tables of the marketing area."""
