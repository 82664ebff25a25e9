"""How operations come in and answers go out where a connection stays open: websockets and event streams."""
