"""The rules and verbs of the CRM: async functions verb(session, viewer, *, ...), one module per domain."""
