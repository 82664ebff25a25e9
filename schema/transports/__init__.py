"""Transports for operations: HTTP, websockets and event streams."""
