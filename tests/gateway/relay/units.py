"""Models of the test catalog that are no chats, their hosts and their prices in picos per unit."""

from typing import Any

from catalog.types import EndpointSpec, ModelSpec, ModelType, RateCard

SEARCH_PICOS = 2_000_000_000  # $2 per thousand searches
RERANK_TOKEN_PICOS = 50_000  # $0.05 per million tokens
IMAGE_PICOS = 40_000_000_000  # $0.04 a picture
IMAGE_TOKEN_PICOS, TEXT_PICOS = 30_000_000, 5_000_000  # $30 and $5 per million tokens
SECOND_PICOS = 100_000_000  # $0.0001 a second
SOUND_TOKEN_PICOS = 2_500_000
CHARACTER_PICOS = 15_000_000  # $15 per million characters
SPOKEN_TOKEN_PICOS = 12_000_000
EMBED_PICOS = 20_000  # $0.02 per million tokens

#: Slug → dialect and the path of the simulator that speaks it.
HOSTS: dict[str, tuple[str, str]] = {
    "cohere": ("cohere", "/p/cohere/v2"),
    "voyage": ("voyage", "/p/voyage/voyage/v1"),
    "anthropic": ("messages", "/p/anthropic/v1"),
    "jina": ("jina", "/p/jina/v1"),
    "openai": ("chat_completions", "/p/openai/v1"),
    "elevenlabs": ("elevenlabs", "/p/elevenlabs/v1"),
    "deepgram": ("deepgram", "/p/deepgram/v1"),
}
_IMAGE_TOKENS = {"input_tokens": TEXT_PICOS, "output_tokens": TEXT_PICOS, "image_output_tokens": IMAGE_TOKEN_PICOS}
_SOUND_TOKENS = {"audio_input_tokens": SOUND_TOKEN_PICOS, "input_tokens": SOUND_TOKEN_PICOS, "output_tokens": 4 * SOUND_TOKEN_PICOS}
_SPOKEN_TOKENS = {"input_tokens": TEXT_PICOS, "output_tokens": SPOKEN_TOKEN_PICOS, "audio_output_tokens": SPOKEN_TOKEN_PICOS}
_CARDS: dict[str, tuple[ModelType, dict[str, int], tuple[str, ...]]] = {
    "test/rank-searches": ("rerank", {"searches": SEARCH_PICOS}, ("cohere", "alpha")),
    "test/rank-tokens": ("rerank", {"input_tokens": RERANK_TOKEN_PICOS}, ("alpha",)),
    "test/rank-voyage": ("rerank", {"input_tokens": RERANK_TOKEN_PICOS}, ("voyage",)),
    "test/image-pieces": ("image", {"images": IMAGE_PICOS}, ("alpha", "beta")),
    "test/image-tokens": ("image", _IMAGE_TOKENS, ("openai", "alpha")),
    "test/image-gemini": ("image", _IMAGE_TOKENS, ("gem",)),
    "test/whisper": ("transcription", {"seconds": SECOND_PICOS}, ("openai", "alpha")),
    "test/listen-tokens": ("transcription", _SOUND_TOKENS, ("openai",)),
    "test/listen-eleven": ("transcription", {"seconds": SECOND_PICOS}, ("elevenlabs",)),
    "test/listen-deep": ("transcription", {"seconds": SECOND_PICOS}, ("deepgram",)),
    "test/listen-gemini": ("transcription", _SOUND_TOKENS, ("gem",)),
    "test/speak": ("speech", {"characters": CHARACTER_PICOS}, ("alpha", "beta")),
    "test/speak-tokens": ("speech", _SPOKEN_TOKENS, ("openai",)),
    "test/speak-eleven": ("speech", {"characters": CHARACTER_PICOS}, ("elevenlabs",)),
    "test/speak-deep": ("speech", {"characters": CHARACTER_PICOS}, ("deepgram",)),
    "test/speak-gemini": ("speech", _SPOKEN_TOKENS, ("gem",)),
    "test/judge": ("moderation", {"input_tokens": TEXT_PICOS}, ("alpha", "beta")),
    "openai/omni-moderation-latest": ("moderation", {"input_tokens": 0}, ("openai",)),
    **{
        f"test/{slug}-embed": ("embedding", {"input_tokens": EMBED_PICOS}, (host,))
        for slug, host in (("cohere", "cohere"), ("voyage", "voyage"), ("multimodal", "voyage"), ("context", "voyage"), ("jina", "jina"))
    },
    "test/gemini-embedding-2": ("embedding", {"input_tokens": EMBED_PICOS}, ("google-vertex",)),
    "test/text-embedding-005": ("embedding", {"input_tokens": EMBED_PICOS}, ("google-vertex",)),
    "test/imagen": ("image", {"images": IMAGE_PICOS}, ("gem",)),
    "test/image-unpriced": ("image", {"input_tokens": TEXT_PICOS, "output_tokens": TEXT_PICOS}, ("alpha",)),
}


def make_units(first_price_version: int) -> tuple[dict[str, ModelSpec], dict[str, EndpointSpec]]:
    """Return the models and endpoints; at the first host of each the price is the listed one, at others a hundredth more."""
    models: dict[str, ModelSpec] = {}
    endpoints: dict[str, EndpointSpec] = {}
    for model_id, (kind, rates, slugs) in _CARDS.items():
        names = []
        for place, slug in enumerate(slugs):
            card = RateCard(rates={meter: rate + place * rate // 100 for meter, rate in rates.items()})
            one = _endpoint(model_id, slug, card, first_price_version + len(endpoints))
            endpoints[one.id] = one
            names.append(one.id)
        models[model_id] = _model(model_id, kind, tuple(names))
    return models, endpoints


def _endpoint(model_id: str, slug: str, card: RateCard, version: int) -> EndpointSpec:
    return EndpointSpec(
        id=f"{model_id}@{slug}",
        model=model_id,
        provider=slug,
        provider_model_id=model_id.partition("/")[2],
        tag=slug,
        price_version_id=version,
        price=card,
        cost=card,
        is_free=not any(card.rates.values()),
    )


def _model(model_id: str, kind: ModelType, endpoints: tuple[str, ...]) -> ModelSpec:
    fields: dict[str, Any] = {"canonical_slug": model_id, "name": model_id, "author": "test", "description": "", "created_s": 1_700_000_000}
    return ModelSpec(
        id=model_id,
        type=kind,
        context_length=0,
        max_output_tokens=0,
        input_modalities=("text",),
        output_modalities=("text",),
        supported_parameters=(),
        endpoints=endpoints,
        **fields,
    )
