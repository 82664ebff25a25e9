"""SQL that returns a response as JSON."""
