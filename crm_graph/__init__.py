"""A CRM: its tables, who may see them, and what can be done with them. Knows no GraphQL."""
