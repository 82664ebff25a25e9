"""What the server lets be asked of it, and how much: docs/operators/limits.md tells clients."""
