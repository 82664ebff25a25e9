"""Relations of opportunities, pipelines and stages."""

from __future__ import annotations

from crm_graph.models import ContactRole, Opportunity, OpportunityLine, Stage
from loaders.core.pages import Relation

ROLES = Relation(ContactRole, by="opportunity_id")
LINES = Relation(OpportunityLine, by="opportunity_id")
STAGES = Relation(Stage, by="pipeline_id")
IN_PIPELINE = Relation(Opportunity, by="pipeline_id")
IN_STAGE = Relation(Opportunity, by="stage_id")
OF_CAMPAIGN = Relation(Opportunity, by="campaign_id")
