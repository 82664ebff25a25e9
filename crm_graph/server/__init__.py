"""uvicorn's protocols with limits."""
