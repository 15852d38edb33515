"""/api/v1/keys: make, list, read, change and delete the organization's keys. For management keys.

Management keys themselves are not seen here: they are made and revoked on the dashboard, by people.
"""

from collections.abc import Mapping
from typing import Any, Final

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import api_keys, queries
from accounts.api_keys import KeyChanges, UnknownKey
from accounts.models import ApiKey, Organization, User
from billing.queries import key_usage
from gateway.api import fields
from gateway.api.key_shapes import key_data, workspace_id
from gateway.api.views import ApiView
from gateway.drf import ManagementKeyOnly, bearer_of, organization_of
from gateway.relay.errors import NotFound

PAGE_SIZE: Final = 100
_RESETS: Final = ("daily", "weekly", "monthly")
_USER_PREFIX: Final = "user_"
_BIGINT_DIGITS: Final = 18


class KeyList(ApiView):
    """GET and POST /keys."""

    permission_classes = (IsAuthenticated, ManagementKeyOnly)

    def get(self, request: Request) -> Response:
        """List keys, newest first, at most 100 from ``offset``. Disabled and expired ones only when asked for."""
        organization, query = organization_of(request), request.query_params
        _check_workspace(organization, query)
        found = queries.api_keys(
            organization,
            include_disabled=fields.read_query_flag(query, "include_disabled"),
            include_expired=fields.read_query_flag(query, "include_expired"),
            include_management=False,
        )
        offset = fields.read_offset(query)
        page = list(found[offset : offset + PAGE_SIZE])
        usage = key_usage(organization, page)
        return Response({"data": [key_data(api_key, usage[api_key.pk]) for api_key in page]})

    def post(self, request: Request) -> Response:
        """Make a key; the answer is the only place where its secret appears."""
        organization, body = organization_of(request), fields.read_object(request.data)
        _check_workspace(organization, body)
        named: KeyChanges = {"name": fields.read_text(body, "name"), **read_changes(body), "external_user": _read_external_user(body)}
        api_key, secret = api_keys.create(
            organization=organization, by=bearer_of(request), creator=_read_creator(organization, body), **named
        )
        return Response({"data": _shown(api_key), "key": secret}, status=201)


class KeyDetail(ApiView):
    """GET, PATCH and DELETE /keys/{hash}."""

    permission_classes = (IsAuthenticated, ManagementKeyOnly)

    def get(self, request: Request, key_hash: str) -> Response:
        """Show one key."""
        return Response({"data": _shown(_find(request, key_hash))})

    def patch(self, request: Request, key_hash: str) -> Response:
        """Change what the body names, nothing else. ``"limit": null`` takes the limit away."""
        api_key, body = _find(request, key_hash), fields.read_object(request.data)
        _check_workspace(api_key.organization, body)
        return Response({"data": _shown(api_keys.update(api_key=api_key, by=bearer_of(request), **read_changes(body)))})

    def delete(self, request: Request, key_hash: str) -> Response:
        """Revoke one key for ever."""
        api_keys.delete(api_key=_find(request, key_hash), by=bearer_of(request))
        return Response({"deleted": True})


def read_changes(body: Mapping[str, Any]) -> KeyChanges:
    """Read the fields of a key that the body names. Raises: BadRequest."""
    changes: KeyChanges = {}
    if "name" in body:
        changes["name"] = fields.read_text(body, "name")
    if "disabled" in body:
        changes["disabled"] = fields.read_flag(body, "disabled")
    if "limit" in body:
        changes["limit_nanos"] = fields.read_usd(body, "limit")
    if "limit_reset" in body:
        changes["limit_reset"] = fields.read_choice(body, "limit_reset", _RESETS)
    if "include_byok_in_limit" in body:
        changes["include_byok_in_limit"] = fields.read_flag(body, "include_byok_in_limit")
    if "expires_at" in body:
        changes["expires_at"] = fields.read_moment(body, "expires_at")
    return changes


def _find(request: Request, key_hash: str) -> ApiKey:
    found = queries.api_key(organization_of(request), key_hash, include_management=False)
    if found is None:
        raise UnknownKey
    return found


def _shown(api_key: ApiKey) -> dict[str, Any]:
    return key_data(api_key, key_usage(api_key.organization, [api_key])[api_key.pk])


def _check_workspace(organization: Organization, given: Mapping[str, Any]) -> None:
    wanted = given.get("workspace_id")
    if wanted is not None and wanted != workspace_id(organization):
        raise NotFound("Workspace not found", metadata={"param": "workspace_id"})


def _read_creator(organization: Organization, body: Mapping[str, Any]) -> User | None:
    given = body.get("creator_user_id")
    if given is None:
        return None
    number = given.removeprefix(_USER_PREFIX) if isinstance(given, str) else ""
    is_id = number.isascii() and number.isdigit() and len(number) <= _BIGINT_DIGITS
    creator = queries.member(organization, int(number)) if is_id else None
    if creator is None:
        fields.refuse("creator_user_id", "must be the id of a member of the organization")
    return creator


def _read_external_user(body: Mapping[str, Any]) -> str:
    external = body.get("external")
    if external is None:
        return ""
    if not isinstance(external, dict):
        fields.refuse("external", "must be an object")
    if external.get("api_key") is not None:
        fields.refuse("external.api_key", "is not supported: secrets are made here, so that their checksum is right")
    return fields.read_text(external, "user")
