"""/api/v1/policies: an organization's routing policies, versioned, tried on past requests before they are used. For management keys."""

from typing import Any, Final

import msgspec
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import presets, queries
from accounts.models import RequestPreset
from accounts.presets import UnknownPreset
from accounts.request_rules import Policy
from gateway.api import fields
from gateway.api.preset_shapes import policy_data, policy_version_data
from gateway.api.presets import find, read_changes, read_limit
from gateway.api.views import ApiView
from gateway.dialects.base import InvalidRequest, Json
from gateway.dialects.chat_completions import parse_json
from gateway.drf import ManagementKeyOnly, bearer_of, organization_of
from gateway.policy_trials import REQUESTS, REQUESTS_MAX, checked_policy, try_policy
from gateway.relay.errors import BadRequest

_KIND: Final = RequestPreset.Kind.POLICY


class PolicyView(ApiView):
    """Base of the views of policies."""

    permission_classes = (IsAuthenticated, ManagementKeyOnly)


class PolicyList(PolicyView):
    """GET and POST /policies."""

    def get(self, request: Request) -> Response:
        """List policies, newest first."""
        found = queries.request_presets(organization_of(request), _KIND)
        offset, limit = fields.read_offset(request.query_params), read_limit(request)
        page = [policy_data(one, queries.designated_version(one)) for one in found[offset : offset + limit]]
        return Response({"data": page, "total_count": found.count()})

    def post(self, request: Request) -> Response:
        """Save a version of the policy that ``slug`` names and put it in force; it is made if there is none."""
        body = read_exactly(request)
        policy, version = presets.save_version(
            organization=organization_of(request),
            kind=_KIND,
            slug=fields.read_text(body, "slug"),
            name=fields.read_text(body, "name") if "name" in body else "",
            config=checked_policy(body.get("provider")),
            by=bearer_of(request),
        )
        if body.get("is_default") is not None:
            policy = presets.change(preset=policy, by=bearer_of(request), is_default=fields.read_flag(body, "is_default"))
        return Response({"data": policy_data(policy, version)}, status=201 if version.number == 1 else 200)


class PolicyDetail(PolicyView):
    """GET and PATCH /policies/{slug}."""

    def get(self, request: Request, slug: str) -> Response:
        """Show one policy with the version in force."""
        policy = find(request, _KIND, slug)
        return Response({"data": policy_data(policy, queries.designated_version(policy))})

    def patch(self, request: Request, slug: str) -> Response:
        """Change the name, the status, the version in force, or whether it is the default."""
        body, changes = fields.read_object(request.data), read_changes(request)
        if "is_default" in body:
            changes["is_default"] = fields.read_flag(body, "is_default")
        policy = presets.change(preset=find(request, _KIND, slug), by=bearer_of(request), **changes)
        return Response({"data": policy_data(policy, queries.designated_version(policy))})


class PolicyVersions(PolicyView):
    """GET /policies/{slug}/versions."""

    def get(self, request: Request, slug: str) -> Response:
        """List versions, newest first."""
        found = queries.preset_versions(find(request, _KIND, slug)).select_related("created_by")
        offset, limit = fields.read_offset(request.query_params), read_limit(request)
        return Response({"data": [policy_version_data(one) for one in found[offset : offset + limit]], "total_count": found.count()})


class PolicySimulation(PolicyView):
    """POST /policies/simulate."""

    def post(self, request: Request) -> Response:
        """Tell what a ``provider`` object, or the stored policy that ``slug`` names, would have done to the latest requests."""
        organization, body = organization_of(request), read_exactly(request)
        if "slug" in body:
            stored = queries.request_preset(organization, _KIND, fields.read_text(body, "slug"))
            if stored is None:
                raise UnknownPreset
            version = queries.designated_version(stored)
            policy = Policy(slug=stored.slug, version=version.number, provider=version.config)
        else:
            policy = Policy(slug="draft", version=0, provider=checked_policy(body.get("provider")))
        count = body.get("requests", REQUESTS)
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= REQUESTS_MAX:
            fields.refuse("requests", f"must be a whole number from 1 to {REQUESTS_MAX}")
        return Response({"data": msgspec.to_builtins(try_policy(organization, policy, count=count))})


def read_exactly(request: Request) -> Json:
    """Return the body with its numbers as they are kept. Raises: BadRequest."""
    try:
        body: Any = parse_json(request.body)
    except InvalidRequest as error:
        raise BadRequest(error.message) from error
    return fields.read_object(body)
