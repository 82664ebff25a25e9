"""Shared fixtures, servers, clients and data of the tests."""
