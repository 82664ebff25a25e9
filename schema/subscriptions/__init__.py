"""Subscriptions: lists that stay right. Operations with equal answers are one group, whose events are executed and
encoded once."""
