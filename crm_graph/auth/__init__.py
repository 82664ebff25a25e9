"""Authentication: sessions with short access tokens and rotating refresh tokens, and personal API tokens."""

from __future__ import annotations

from crm_graph.auth.principals import (
    API_TOKEN_PREFIX,
    KEY,
    Principal,
    authenticate,
    digest,
    reload,
    still_valid,
    switch_token,
    valid_session_condition,
)
from crm_graph.auth.sessions import (
    MAX_CANDIDATES,
    SignedIn,
    change_password,
    end_sessions,
    refresh,
    sign_in,
    sign_out,
    sign_out_everywhere,
)
from crm_graph.auth.tokens import create_api_token, new_api_token, revoke_api_token, revoke_tokens

__all__ = [
    "API_TOKEN_PREFIX",
    "KEY",
    "MAX_CANDIDATES",
    "Principal",
    "SignedIn",
    "authenticate",
    "change_password",
    "create_api_token",
    "digest",
    "end_sessions",
    "new_api_token",
    "refresh",
    "reload",
    "revoke_api_token",
    "revoke_tokens",
    "sign_in",
    "sign_out",
    "sign_out_everywhere",
    "still_valid",
    "switch_token",
    "valid_session_condition",
]
