"""Every model of the shipped catalog that is no chat can be asked for: by somebody, in some format, under a hold."""

from pathlib import Path

import msgspec
import pytest

from catalog.types import ModelType
from gateway.dialects.base import ChatRequest, InvalidRequest
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.dialects.registry import choose_dialect
from gateway.relay.catalog import CatalogView
from gateway.relay.config import RelayConfig
from gateway.relay.estimate import plan_hold
from tests.catalog.conftest import RealCatalog

BODIES: dict[ModelType, tuple[str, dict[str, object]]] = {
    "embedding": ("embeddings", {"input": "a road"}),
    "rerank": ("rerank", {"query": "a road", "documents": ["a road", "a hill"]}),
    "image": ("images", {"prompt": "a road"}),
    "speech": ("audio/speech", {"input": "a road", "response_format": "pcm"}),
    "transcription": ("audio/transcriptions", {"input_audio": {"data": "AAAA", "format": "wav"}}),
    "moderation": ("moderations", {"input": "a road"}),
}


def request_of(kind: ModelType) -> ChatRequest:
    path, body = BODIES[kind]
    request = CLIENT_DIALECTS[f"/api/v1/{path}"].decode_request(msgspec.json.encode({"model": "a/b", **body}))
    request.body_bytes = len(msgspec.json.encode(body))
    return request


CONFIG = RelayConfig(
    database_url="",
    redis_url="",
    broker_redis_url="",
    secret_keys=("secret",),
    provider_credentials={},
    public_url="https://tollway.example",
    spool_dir=Path(),
    simulator_url="http://127.0.0.1:1",
)


@pytest.fixture(scope="module")
def view(real_catalog: RealCatalog) -> CatalogView:
    return CatalogView(real_catalog.snapshot, CONFIG)


@pytest.mark.parametrize("kind", BODIES)
def test_every_sold_model_of_a_type_can_be_asked_for(view: CatalogView, kind: ModelType) -> None:
    request = request_of(kind)
    models = [one for one in view.snapshot.models.values() if one.type == kind and one.endpoints]
    assert models
    for model in models:
        candidates = view.candidates[model.id]
        assert candidates, model.id
        for one in candidates:
            endpoint, host = one.endpoint, one.host
            dialect = choose_dialect(request, endpoint, host.spec, simulated=host.simulated)
            plan = plan_hold(request, endpoint, default_output_tokens=4096)
            assert plan.amount_nanos > 0 or endpoint.is_free, endpoint.id
            assert plan.amount_nanos < 10_000_000_000, endpoint.id
            try:
                call = dialect.encode_request(request, endpoint, host.spec, stream=False, max_tokens=plan.cap_tokens)
            except InvalidRequest as refusal:
                pytest.fail(f"{endpoint.id}: {refusal.message}")
            assert endpoint.provider_model_id.rpartition("/")[2] in f"{call.path} {call.query} {call.body!r}", endpoint.id


def test_a_live_provider_without_a_format_for_a_type_is_neither_asked_nor_listed(real_catalog: RealCatalog) -> None:
    live = {
        slug: msgspec.structs.replace(spec, mode="live", base_url="https://acme.example") if slug in ("alibaba", "openai") else spec
        for slug, spec in real_catalog.snapshot.providers.items()
    }
    view = CatalogView(msgspec.structs.replace(real_catalog.snapshot, providers=live), CONFIG)
    listed = {one["id"] for one in msgspec.json.decode(view.listings.image_models.plain)["data"]}

    assert view.candidates["qwen/qwen-image-3.0"] == ()
    assert "openai" in {one.endpoint.provider for one in view.candidates["openai/gpt-image-1-mini"]}
    assert "qwen/qwen-image-3.0" not in listed
    assert "openai/gpt-image-1-mini" in listed


def test_models_without_a_price_in_their_own_unit_have_no_candidates(view: CatalogView) -> None:
    # Their only endpoints are priced by text tokens, which do not say what a picture costs.
    unsold = {one.id for one in view.snapshot.models.values() if one.type in BODIES and not view.candidates[one.id]}
    assert {"black-forest-labs/flux.2-flex", "qwen/qwen3-asr-flash"} <= unsold
    assert all(not view.snapshot.models[name].endpoints for name in unsold)
