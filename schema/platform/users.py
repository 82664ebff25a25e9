"""Users, teams, and the tokens of users' programs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import strawberry

from crm_graph import models
from crm_graph.models import Role
from crm_graph.services.platform import users
from loaders.platform import users as relations
from schema.core import Connection, Node, by_id, column, connection, edge, node
from schema.core.mutations import Payload, RecordInput, mutation, write_input
from schema.core.registry import mutation_fields, query_fields

if TYPE_CHECKING:
    from schema.core.node_types import Account, Case, Lead, Opportunity


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
    api_tokens: Connection[ApiToken] = connection(
        "The keys of the user's programs, to be seen by the user and by admins.", relations.API_TOKENS
    )


@node(models.ApiToken, "A key for a program that acts as its user. The token itself is shown once, when it is made.")
class ApiToken(Node):
    name: str = column("What the token is for.", write=False)
    expires_at: dt.datetime | None = column(
        "Until when it is good; null for as long as nobody revokes it.", write=False
    )
    user: User | None = edge("As whom it acts.", by="user_id", write=False)


PLACE = {"team_id": (strawberry.ID, "The team."), "user_id": (strawberry.ID, "The user.")}
AddTeamMemberInput = write_input("AddTeamMemberInput", "Whom to put in which team.", PLACE)
RemoveTeamMemberInput = write_input("RemoveTeamMemberInput", "Whom to take out of which team.", PLACE)


@strawberry.type(description="The user as it is now.")
class UserPayload(Payload):
    user: User | None = edge("The user; null if it was refused, or if there is none any more.", by="record_id")


@strawberry.type(description="The team as it is now.")
class TeamPayload(Payload):
    team: Team | None = edge("The team; null if it was refused, or if there is none any more.", by="record_id")


@strawberry.type(description="The team and the user as they are now.")
class TeamMemberPayload(Payload):
    team: Team | None = edge("The team; null if it was refused.", by="team_id")
    user: User | None = edge("The user; null if it was refused.", by="user_id")


@query_fields(9)
class UserQuery:
    user: User | None = by_id("One user; null if there is none.")
    users: Connection[User] = connection("All users.")
    team: Team | None = by_id("One team; null if there is none.")
    teams: Connection[Team] = connection("All teams.")


@mutation_fields(9)
class UserMutation:
    create_user: UserPayload = mutation(
        "Add a user. Managers and admins do; only an admin may make an admin.", users.create
    )
    update_user: UserPayload = mutation(
        "Change a user. Managers and admins do; only an admin may make or change an admin.",
        users.update,
    )
    delete_user: UserPayload = mutation(
        "Delete a user, who is signed out. The records stay.", users.delete, RecordInput
    )
    restore_user: UserPayload = mutation("Bring a deleted user back.", users.restore, RecordInput)
    create_team: TeamPayload = mutation("Add a team.", users.create_team)
    update_team: TeamPayload = mutation("Change a team.", users.update_team)
    delete_team: TeamPayload = mutation("Delete a team that is nobody's home.", users.delete_team, RecordInput)
    restore_team: TeamPayload = mutation(
        "Bring a deleted team back, with its members.", users.restore_team, RecordInput
    )
    add_team_member: TeamMemberPayload = mutation("Put a user in a team.", users.add_member, AddTeamMemberInput)
    remove_team_member: TeamMemberPayload = mutation(
        "Take a user out of a team that is not the home team.", users.remove_member, RemoveTeamMemberInput
    )
