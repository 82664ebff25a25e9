"""How operations come in and answers go out: by HTTP, websockets and event streams."""
