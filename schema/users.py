"""Users and teams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import strawberry

from crm_graph import models
from crm_graph.models import Role
from loaders import users as relations
from schema.node import Connection, Node, by_id, column, connection, edge, node

if TYPE_CHECKING:
    from schema.accounts import Account
    from schema.cases import Case
    from schema.leads import Lead
    from schema.opportunities import Opportunity


@node(models.Team, "People who work on the same records; also a queue that cases wait in.")
class Team(Node):
    name: str = column("What the team is called.")
    description: str | None = column("What it does.")
    external_id: str | None = column("Its id in another system, unique among teams.")
    members: Connection[User] = connection("Who is in it.", relations.MEMBERS)
    cases: Connection[Case] = connection("The cases that are the team's.", relations.QUEUE)


@node(models.User, "Somebody who uses the CRM, or an agent known from an import, who cannot sign in.")
class User(Node):
    name: str = column("The full name.")
    email: str | None = column("The address to sign in with.")
    phone: str | None = column("The phone number, in E.164 form.")
    title: str | None = column("What the user is at the company.")
    role: Role = column("What the user may do.")
    active: bool = column("Whether the user may sign in.")
    external_id: str | None = column("The user's id in another system, unique among users.")
    manager: User | None = edge("Whom the user reports to.", by="manager_id")
    team: Team | None = edge("The home team, to which the user's records go.", by="team_id")
    teams: Connection[Team] = connection("All teams that the user is in.", relations.TEAMS)
    reports: Connection[User] = connection("Who reports to the user directly.", relations.DIRECT_REPORTS)
    accounts: Connection[Account] = connection("The user's accounts.", relations.OWNED_ACCOUNTS)
    leads: Connection[Lead] = connection("The user's leads.", relations.OWNED_LEADS)
    opportunities: Connection[Opportunity] = connection("The user's deals.", relations.OWNED_OPPORTUNITIES)
    cases: Connection[Case] = connection("The user's cases.", relations.OWNED_CASES)


@strawberry.type
class UserQuery:
    user: User | None = by_id("One user; null if there is none.")
    users: Connection[User] = connection("All users.")
    team: Team | None = by_id("One team; null if there is none.")
    teams: Connection[Team] = connection("All teams.")
