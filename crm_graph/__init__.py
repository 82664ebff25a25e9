"""A CRM: its tables, access rules and services, without GraphQL."""
