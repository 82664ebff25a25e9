"""Servers that are killed while clients write and subscribe. The state of each client is compared with the database."""
