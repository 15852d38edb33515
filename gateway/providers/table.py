"""What sets each provider apart, as data. A provider that is not listed gets the conservative defaults. Pure; no Django."""

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from catalog.types import ModelType, ProviderSpec

ReasoningStyle = Literal["effort", "thinking_type", "enable_thinking", "object", "none"]

_STANDARD_EFFORTS = ("low", "medium", "high")
_OPENAI_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
# Sampling parameters that are no part of OpenAI's own API; a strict host answers 400 to them.
_NOT_OPENAI = frozenset({"top_k", "min_p", "top_a", "repetition_penalty"})
# developers.openai.com/api/docs/models: which of its models each endpoint takes.
_OPENAI_RESPONSES = r"(?:gpt-|o\d|chat-latest)(?!.*(?:audio|search-preview|transcribe|-tts|image|oss))"
# github.com/openai/openai-node/pull/2023: from GPT-5 on; GPT-4o refuses them. Azure calls GPT-3.5 gpt-35.
_OPENAI_CUSTOM_TOOLS = r"gpt-(?!35)(?:[5-9]|\d\d)"
_OPENAI_RESPONSES_ONLY = r"(?:o\d.*-pro|gpt-.*-pro\b|gpt-.*codex|codex-|computer-use|.*deep-research)"


# How often a provider may search the web for a chat that asks for it; each search is billed.
SEARCHES_ASKED = 1


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """How a Chat Completions host differs from the common ground.

    ``reasoning``: how thinking is asked for: ``effort`` is the reasoning_effort field, ``thinking_type`` an object
    thinking.type, ``enable_thinking`` two fields of Qwen's hosts, ``object`` OpenRouter's own reasoning object.
    """

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    developer_role: bool = False  # else developer messages go as system
    inject_include_usage: bool = True  # false: reports usage in streams unasked
    keeps_cache_control: bool = False  # else cache_control marks are taken out
    echoes_reasoning: bool = False  # wants reasoning_content of earlier turns back, in tool loops
    reasoning: ReasoningStyle = "effort"
    efforts: tuple[str, ...] = _STANDARD_EFFORTS
    refuses: frozenset[str] = frozenset()  # parameters answered with an error
    service_tiers: bool = False  # takes service_tier
    user_field: bool = True  # takes a (hashed) user
    searches_max: int = 0  # that it runs, and bills, for a chat that did not ask for any
    search_tool: bool = False  # searches the web when a chat has Anthropic's tool for it, and reports how often
    thinking_blocks: bool = False  # wants Anthropic's signed blocks of earlier turns back as thinking_blocks, as it sent them
    # Models (a pattern of the provider's names) that are asked in Responses when the client speaks it, and those that are always.
    responses: str = ""
    responses_only: str = ""
    custom_tools: str = ""  # models (a pattern) that have tools whose calls are free text
    messages_only: str = ""  # models that are always asked in Anthropic's Messages
    address: Literal["plain", "azure"] = "plain"  # how addresses are made (addresses.py)
    # What every request says besides. Gateways keep caches that know nothing of our tenants: one's answer must never be another's.
    headers: dict[str, str] = {}
    body: dict[str, object] = {}


DEFAULT_QUIRKS = Quirks()
_CLOUDFLARE_HOST = "gateway.ai.cloudflare.com"
CLOUDFLARE_HEADERS = {"cf-aig-skip-cache": "true"}

QUIRKS: dict[str, Quirks] = {
    "openai": Quirks(
        max_tokens_field="max_completion_tokens",
        developer_role=True,
        efforts=_OPENAI_EFFORTS,
        refuses=_NOT_OPENAI,
        service_tiers=True,
        responses=_OPENAI_RESPONSES,
        responses_only=_OPENAI_RESPONSES_ONLY,
        custom_tools=_OPENAI_CUSTOM_TOOLS,
    ),
    "azure": Quirks(
        max_tokens_field="max_completion_tokens",
        developer_role=True,
        efforts=_OPENAI_EFFORTS,
        refuses=_NOT_OPENAI,
        responses=_OPENAI_RESPONSES,
        responses_only=_OPENAI_RESPONSES_ONLY,
        custom_tools=_OPENAI_CUSTOM_TOOLS,
        messages_only="claude",
        address="azure",
    ),
    # platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool: usage has server_tool_use.web_search_requests.
    "anthropic": Quirks(search_tool=True),
    "groq": Quirks(max_tokens_field="max_completion_tokens", refuses=_NOT_OPENAI, service_tiers=True),
    "cerebras": Quirks(max_tokens_field="max_completion_tokens", refuses=_NOT_OPENAI),
    "xai": Quirks(refuses=_NOT_OPENAI),
    "mistral": Quirks(inject_include_usage=False, refuses=_NOT_OPENAI | {"logit_bias", "logprobs", "top_logprobs"}, user_field=False),
    # docs.perplexity.ai/getting-started/pricing: usage has num_search_queries.
    "perplexity": Quirks(inject_include_usage=False, refuses=_NOT_OPENAI | {"logit_bias"}, user_field=False, searches_max=10),
    "deepseek": Quirks(reasoning="thinking_type", echoes_reasoning=True),
    "z-ai": Quirks(reasoning="thinking_type", echoes_reasoning=True),
    "moonshotai": Quirks(reasoning="thinking_type", echoes_reasoning=True),
    "xiaomi": Quirks(reasoning="thinking_type", echoes_reasoning=True),
    "longcat": Quirks(reasoning="thinking_type"),
    "seed": Quirks(reasoning="thinking_type"),
    "minimax": Quirks(echoes_reasoning=True, reasoning="none"),
    "alibaba": Quirks(reasoning="enable_thinking", keeps_cache_control=True, user_field=False),
    "siliconflow": Quirks(reasoning="enable_thinking"),
    "openrouter": Quirks(reasoning="object", keeps_cache_control=True, service_tiers=True),
    # docs.litellm.ai/docs/proxy/caching: the cache's key has no tenant in it; /docs/reasoning_content: thinking_blocks.
    "litellm": Quirks(
        keeps_cache_control=True, service_tiers=True, thinking_blocks=True, body={"cache": {"no-cache": True, "no-store": True}}
    ),
    # developers.cloudflare.com/ai-gateway/features/caching: the key is the whole request, whoever asks.
    "cloudflare-ai-gateway": Quirks(keeps_cache_control=True, service_tiers=True, headers=CLOUDFLARE_HEADERS),
    "cohere": Quirks(user_field=False),
    "ai21": Quirks(reasoning="none", user_field=False),
}


# Hosts whose own format for a type of model is none that is spoken here, whatever their chats speak.
_LACKS: dict[str, frozenset[ModelType]] = {
    "alibaba": frozenset({"image", "speech", "transcription", "rerank"}),  # DashScope's own, beside its compatible mode
    "minimax": frozenset({"image", "speech"}),  # /t2a_v2, /image_generation
    "nvidia": frozenset({"image"}),  # a path of its own for each model
    "fireworks": frozenset({"image"}),  # workflows
    "cloudflare": frozenset({"image", "speech", "transcription", "rerank"}),  # /ai/run
    "meta": frozenset({"image"}),
}
_NOTHING: frozenset[ModelType] = frozenset()


class ImageQuirks(msgspec.Struct, frozen=True, kw_only=True):
    """How a host of OpenAI's form for pictures differs. ``takes`` are the parameters that it has beside prompt, n and size; ``edits`` says
    that it takes pictures to begin with as OpenAI does, ``references`` that it takes them as OpenRouter does.
    """

    path: str = "/images/generations"
    size: Literal["pixels", "edges", ""] = "pixels"  # one field, width and height, or neither
    takes: tuple[str, ...] = ("seed",)
    response_format: str = "b64_json"  # how pictures are asked for inside the answer; '' where they always are
    edits: bool = False
    references: bool = False
    user_field: bool = False


_ALL_OF_AN_IMAGE = ("quality", "background", "output_format", "output_compression")
_OPENAI_IMAGES = ImageQuirks(takes=(*_ALL_OF_AN_IMAGE, "moderation"), response_format="", edits=True, user_field=True)
IMAGE_QUIRKS: dict[str, ImageQuirks] = {
    "openai": _OPENAI_IMAGES,
    "azure": _OPENAI_IMAGES,
    "litellm": _OPENAI_IMAGES,
    # docs.x.ai/docs/guides/image-generations
    "xai": ImageQuirks(size="", takes=("aspect_ratio",)),
    # docs.together.ai/reference/post-images-generations
    "together": ImageQuirks(size="edges", response_format="base64"),
    "openrouter": ImageQuirks(
        path="/images", takes=(*_ALL_OF_AN_IMAGE, "seed", "size", "resolution", "aspect_ratio"), response_format="", references=True
    ),
}
_DEFAULT_IMAGE_QUIRKS = ImageQuirks()


def lacks_for(provider: ProviderSpec) -> frozenset[ModelType]:
    """Return the types of model that ``provider`` cannot be asked for although it speaks a dialect that has them."""
    return _LACKS.get(provider.like or provider.slug, _NOTHING)


def image_quirks_for(provider: ProviderSpec) -> ImageQuirks:
    """Return how ``provider`` takes wishes for pictures."""
    return IMAGE_QUIRKS.get(provider.like or provider.slug, _DEFAULT_IMAGE_QUIRKS)


def quirks_of(slug: str) -> Quirks:
    """Return the row of provider ``slug``, or the defaults."""
    return QUIRKS.get(slug, DEFAULT_QUIRKS)


def quirks_for(provider: ProviderSpec) -> Quirks:
    """Return the row of the provider that ``provider`` is like, else its own, or the defaults."""
    return QUIRKS.get(provider.like or provider.slug, DEFAULT_QUIRKS)


def standing_headers(provider: ProviderSpec) -> dict[str, str]:
    """Return what every call to ``provider`` says whatever it asks. Cloudflare's gateway may stand before any provider."""
    headers = dict(quirks_for(provider).headers)
    if urlsplit(provider.base_url).hostname == _CLOUDFLARE_HOST:
        headers |= CLOUDFLARE_HEADERS
    return headers
