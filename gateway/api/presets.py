"""/api/v1/presets: named, versioned settings of requests. For either kind of key, of the key's own organization.

A preset is made by posting a body as one would send it to the API it is for; each post adds a version and puts it in force.
"""

from typing import Any, Final

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import presets, queries
from accounts.models import RequestPreset
from accounts.presets import PresetChanges, UnknownPreset
from gateway.api import fields
from gateway.api.preset_shapes import preset_data, version_data, whole_preset_data
from gateway.api.views import ApiView
from gateway.dialects.base import InvalidRequest
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.drf import bearer_of, organization_of
from gateway.relay.errors import BadRequest
from gateway.relay.preferences import read_preferences
from gateway.relay.presets import config_of

_KIND: Final = RequestPreset.Kind.PRESET
_PAGE_MAX: Final = 100
_PAGE: Final = 50
_DIALECTS: Final = {dialect.api: dialect for dialect in CLIENT_DIALECTS.values()}


class PresetList(ApiView):
    """GET /presets."""

    def get(self, request: Request) -> Response:
        """List presets, newest first."""
        found = queries.request_presets(organization_of(request), _KIND).select_related("organization", "created_by")
        offset, limit = fields.read_offset(request.query_params), read_limit(request)
        page = list(found[offset : offset + limit])
        designated = queries.designated_ids(page)
        return Response({"data": [preset_data(one, designated.get(one.pk)) for one in page], "total_count": found.count()})


class PresetDetail(ApiView):
    """GET and PATCH /presets/{slug}."""

    def get(self, request: Request, slug: str) -> Response:
        """Show one preset with the version in force."""
        preset = find(request, _KIND, slug)
        return Response({"data": whole_preset_data(preset, queries.designated_version(preset))})

    def patch(self, request: Request, slug: str) -> Response:
        """Change the name, the description, the status, or which version is in force."""
        preset = presets.change(preset=find(request, _KIND, slug), by=bearer_of(request), **read_changes(request))
        return Response({"data": whole_preset_data(preset, queries.designated_version(preset))})


class PresetFromRequest(ApiView):
    """POST /presets/{slug}/chat/completions, /messages, /responses."""

    def post(self, request: Request, slug: str, api: str) -> Response:
        """Keep the body's settings as a new version and put it in force."""
        word = "chat" if api == "chat/completions" else api
        try:
            config, system_prompt = config_of(_DIALECTS[word], request.body, word)
        except InvalidRequest as error:
            raise BadRequest(error.message, metadata={"param": error.param} if error.param else None) from error
        read_preferences(config.get("provider") or {})
        preset, version = presets.save_version(
            organization=organization_of(request), kind=_KIND, slug=slug, config=config, system_prompt=system_prompt, by=bearer_of(request)
        )
        return Response({"data": whole_preset_data(preset, version)})


class PresetVersions(ApiView):
    """GET /presets/{slug}/versions."""

    def get(self, request: Request, slug: str) -> Response:
        """List versions, newest first."""
        found = queries.preset_versions(find(request, _KIND, slug)).select_related("created_by")
        offset, limit = fields.read_offset(request.query_params), read_limit(request)
        return Response({"data": [version_data(one) for one in found[offset : offset + limit]], "total_count": found.count()})


class PresetVersion(ApiView):
    """GET /presets/{slug}/versions/{version}."""

    def get(self, request: Request, slug: str, number: str) -> Response:
        """Show one version."""
        version = queries.preset_versions(find(request, _KIND, slug)).filter(number=int(number)).first()
        if version is None:
            raise UnknownPreset
        return Response({"data": version_data(version)})


def find(request: Request, kind: str, slug: str) -> RequestPreset:
    """Return a preset or policy of the key's organization. Raises: UnknownPreset, for strangers too."""
    found = queries.request_preset(organization_of(request), kind, slug)
    if found is None:
        raise UnknownPreset
    return found


def read_limit(request: Request) -> int:
    """Return ``limit`` of the query string, 50 when absent. Raises: BadRequest."""
    value = request.query_params.get("limit", str(_PAGE))
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value[:9]) <= _PAGE_MAX:
        fields.refuse("limit", f"must be a whole number from 1 to {_PAGE_MAX}")
    return int(value)


def read_changes(request: Request) -> PresetChanges:
    """Read what a PATCH changes. Raises: BadRequest."""
    body: dict[str, Any] = fields.read_object(request.data)
    changes: PresetChanges = {}
    if "name" in body:
        changes["name"] = fields.read_text(body, "name")
    if "description" in body:
        changes["description"] = "" if body["description"] is None else fields.read_text(body, "description")
    if "status" in body:
        changes["status"] = fields.read_text(body, "status")
    if "designated_version" in body:
        number = body["designated_version"]
        if isinstance(number, bool) or not isinstance(number, int):
            fields.refuse("designated_version", "must be the number of a version")
        changes["designated_number"] = number
    return changes
