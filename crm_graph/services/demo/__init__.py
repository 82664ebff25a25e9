"""A company's CRM that looks lived in, generated: the same data for the same number, dated around today.

`insert.insert_demo` writes it. Each other module adds its part to a `Builder`, in this order: company, marketing
(campaigns), customers, deals, leads, marketing (members), service, activities.
"""
