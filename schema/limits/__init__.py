"""Limits on documents, cost, rate and concurrency; docs/operators/limits.md describes them."""
