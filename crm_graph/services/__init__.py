"""What the CRM does: plain async functions verb(session, viewer, *, ...), one module a domain over records.py."""
