"""Users, teams, and the tokens of users' programs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import strawberry

from crm_graph import models
from crm_graph.models import Role
from crm_graph.services.platform import users
from loaders.platform import users as relations
from schema.core import Connection, Node, column, connection, crud, edge, node
from schema.core.mutations import Payload, mutation, write_input
from schema.core.registry import mutation_fields

if TYPE_CHECKING:
    from schema.core.node_types import Account, Case, Lead, Opportunity


@node(models.Team, "Users who share records. Also a queue for cases.")
class Team(Node):
    name: str = column("Name of the team.")
    description: str | None = column("Free text.")
    external_id: str | None = column("Id in another system, unique among teams.")
    members: Connection[User] = connection("Its members.", relations.MEMBERS)
    cases: Connection[Case] = connection("The team's cases.", relations.QUEUE)


@node(models.User, "A user of the CRM, or an agent from an import who cannot sign in.")
class User(Node):
    name: str = column("Full name.")
    email: str | None = column("Email address for signing in.")
    phone: str | None = column("Phone number in E.164 form.")
    title: str | None = column("Job title.")
    role: Role = column("The role, which decides what the user may do.")
    active: bool = column("True if the user may sign in.")
    external_id: str | None = column("Id in another system, unique among users.")
    manager: User | None = edge("The user's manager.", by="manager_id")
    team: Team | None = edge("The home team, which gets the user's records.", by="team_id")
    teams: Connection[Team] = connection("All teams of the user.", relations.TEAMS)
    reports: Connection[User] = connection("The user's direct reports.", relations.DIRECT_REPORTS)
    accounts: Connection[Account] = connection("The user's accounts.", relations.OWNED_ACCOUNTS)
    leads: Connection[Lead] = connection("The user's leads.", relations.OWNED_LEADS)
    opportunities: Connection[Opportunity] = connection("The user's deals.", relations.OWNED_OPPORTUNITIES)
    cases: Connection[Case] = connection("The user's cases.", relations.OWNED_CASES)
    api_tokens: Connection[ApiToken] = connection(
        "The user's API tokens, visible to the user and to admins.", relations.API_TOKENS
    )


@node(models.ApiToken, "A token for a program that acts as its user. The token itself is shown once, on creation.")
class ApiToken(Node):
    name: str = column("Purpose of the token.", write=False)
    expires_at: dt.datetime | None = column("Expiry time; null if it is valid until revoked.", write=False)
    user: User | None = edge("The user as whom it acts.", by="user_id", write=False)


MEMBERSHIP = {"team_id": (strawberry.ID, "Id of the team."), "user_id": (strawberry.ID, "Id of the user.")}
write_input("AddTeamMemberInput", "The user to add, and the team.", MEMBERSHIP)
write_input("RemoveTeamMemberInput", "The user to remove, and the team.", MEMBERSHIP)

UserPayload = crud(
    User,
    create=mutation("Create a user. For managers and admins; only admins can create admins.", users.create),
    update=mutation("Update a user. For managers and admins; only admins can create or update admins.", users.update),
    delete=mutation("Delete a user and end the user's sessions. The user's records stay.", users.delete),
    restore=users.restore,
    position=9,
)
crud(
    Team,
    create=users.create_team,
    update=users.update_team,
    delete=mutation("Delete a team that is nobody's home team.", users.delete_team),
    restore=mutation("Restore a deleted team with its members.", users.restore_team),
    position=9,
)


@strawberry.type(description="The team and the user after the write.")
class TeamMemberPayload(Payload):
    team: Team | None = edge("The team; null if the write failed.", by="team_id")
    user: User | None = edge("The user; null if the write failed.", by="user_id")


@mutation_fields(9)
class TeamMemberMutation:
    add_team_member: TeamMemberPayload = mutation("Add a user to a team.", users.add_member)
    remove_team_member: TeamMemberPayload = mutation(
        "Remove a user from a team other than the home team.", users.remove_member
    )
