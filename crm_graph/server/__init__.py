"""uvicorn, with this server's protocol classes."""
