"""What the server lets be asked of it, and how much: docs/limits.md tells clients."""
