"""Live lists. Subscriptions with equal payloads form a group, whose payloads are executed and encoded once."""
