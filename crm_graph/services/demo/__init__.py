"""A company's CRM that looks lived in, generated: the same data for the same number, dated around today.

`fill.fill` writes it. Each other module makes a part of it into a `draft.Draft`, in this order: company, marketing
(campaigns), customers, deals, leads, marketing (members), service, activities.
"""
