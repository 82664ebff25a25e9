"""Servers that are killed while clients write and follow: what each client applied is compared with the database."""
