"""What a client hears of the road that its request took: left-out parameters always, the whole road if it asks for it by header."""

from typing import Any

from gateway.relay.auto_router import AUTO, ROUTERS
from gateway.relay.catalog import CatalogView
from gateway.relay.families import LATEST_PREFIX
from gateway.relay.generation import Generation
from gateway.relay.types import Attempt

HEADERS = (b"x-openrouter-metadata", b"x-openrouter-experimental-metadata")
_DROPPED = b"x-tollway-dropped-parameters"


def answer_headers(attempt: Attempt) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer: those of its endpoint, and which parameters it was not sent."""
    headers = attempt.candidate.headers
    return [*headers, (_DROPPED, ", ".join(attempt.dropped).encode("latin-1", "replace"))] if attempt.dropped else headers


def router_metadata(generation: Generation, attempt: Attempt) -> dict[str, Any] | None:
    """Return the road in OpenRouter's form, with the names of parameters that were left out; None where nobody asked."""
    request, chosen = generation.request, attempt.candidate
    if not request.wants_metadata:
        return None
    named = request.model or (request.models[0] if request.models else "")
    candidates = generation.route.candidates
    endpoints = generation.view.snapshot.endpoints
    return {
        "requested": named,
        "strategy": _strategy(generation.view, named, chosen.endpoint.model),
        "region": chosen.endpoint.region or None,
        "summary": f"available={len(candidates)}, selected={chosen.host.spec.name}",
        "attempt": len(generation.attempts),
        "is_byok": False,
        "endpoints": {
            "total": len(candidates),
            "available": [
                {"provider": one.host.spec.name, "model": one.endpoint.model, "selected": one.endpoint.id == chosen.endpoint.id}
                for one in candidates
            ],
        },
        "attempts": [
            {"provider": one.provider, "model": endpoints[one.endpoint_id].model, "status": one.status}
            for one in generation.attempts
            if one.endpoint_id in endpoints
        ],
        "params": {"dropped": list(attempt.dropped)},
    }


def _strategy(view: CatalogView, named: str, answered: str) -> str:
    """Return the word for how the name that was asked for led to the model that answers."""
    if named in ROUTERS:
        return "auto" if named in AUTO else "free"
    found = view.find_model(named)
    if found is None or found[0].id != answered:
        return "fallback"
    if named.startswith(LATEST_PREFIX):
        return "latest"
    return "alias" if named in view.snapshot.aliases else "direct"
