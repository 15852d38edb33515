"""What the data plane knows of models, endpoints, providers and prices: an immutable snapshot. No Django.

Rates are integer picos (1e-12 USD) per unit, in which every price of the catalog is exact:
$0.075 per million tokens is 75_000 picos per token.
"""

import datetime as dt
from typing import Literal

import msgspec

Dialect = Literal[
    "chat_completions", "messages", "gemini", "responses", "cohere", "voyage", "jina", "elevenlabs", "deepgram", "bedrock", "vertex"
]
# How requests are shared among the credentials of a provider.
Balancing = Literal["weighted", "least_busy", "lowest_latency", "headroom"]
ModelType = Literal["chat", "embedding", "image", "speech", "transcription", "rerank", "moderation"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Disjoint meters of one generation. Nothing is counted twice: ``input_tokens`` excludes cache, audio and image tokens;
    ``output_tokens`` excludes reasoning, audio and image tokens. Each dialect normalises once, at its edge.

    ``is_estimate`` is true when the provider reported no usage and the counts were estimated here.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0  # kept 5 minutes (OpenAI: 30)
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    requests: int = 1
    searches: int = 0
    seconds: int = 0
    characters: int = 0
    pages: int = 0
    images: int = 0
    is_estimate: bool = False

    @property
    def prompt_tokens(self) -> int:
        """Everything on the input side, cached or not: what a tier's threshold counts."""
        return (
            self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens
            + self.audio_input_tokens + self.image_input_tokens
        )  # fmt: skip

    @property
    def completion_tokens(self) -> int:
        """Everything on the output side, reasoning included."""
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens + self.image_output_tokens


METERS: tuple[str, ...] = tuple(name for name in Usage.__struct_fields__ if name != "is_estimate")


class PriceTier(msgspec.Struct, frozen=True):
    """Rates for the whole request when its prompt is longer than ``min_prompt_tokens`` (strictly)."""

    min_prompt_tokens: int
    rates: dict[str, int]  # meter → picos; replaces base rates of the same meter


class TimePrice(msgspec.Struct, frozen=True):
    """Rates inside a daily UTC window, half-open, minutes since midnight (0 to 1440); may wrap around midnight.

    ``weekdays`` are ISO numbers (1 is Monday) of the day on which the moment falls, in UTC; empty means every day.
    """

    start_minute: int
    end_minute: int
    rates: dict[str, int]
    weekdays: tuple[int, ...] = ()


class RateCard(msgspec.Struct, frozen=True, kw_only=True):
    """The customer's prices of one endpoint. ``rates`` maps meter → picos per unit; ``0`` is free, a missing meter is unpriced
    (pricing.py says which meters fall back to which).
    """

    rates: dict[str, int]
    tiers: tuple[PriceTier, ...] = ()  # ascending by min_prompt_tokens
    service_tiers: dict[str, "RateCard"] = {}  # batch, flex, priority: full cards
    time_prices: tuple[TimePrice, ...] = ()


class EndpointSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One way to reach one model: a provider, its name for the model, its limits and its price version."""

    id: str  # model@provider[/region][/variant][/quantization]
    model: str
    provider: str
    provider_model_id: str  # what is sent upstream
    tag: str  # what routing preferences match: provider[/variant or region]
    variant: str = ""  # turbo, fast, …: the provider's own name for a dearer or quicker service
    region: str = ""  # eu, us, global; empty is unknown
    quantization: str = ""
    context_length: int = 0
    max_output_tokens: int = 0  # 0 is unknown
    supported_parameters: frozenset[str] = frozenset()
    input_modalities: tuple[str, ...] = ("text",)
    price_version_id: int
    price: RateCard  # what the customer pays
    cost: RateCard  # what the provider charges us
    is_free: bool = False
    deprecated: bool = False


class CredentialSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a credential takes part in load balancing. Limits are requests and tokens a minute at one endpoint; 0 is none."""

    name: str
    weight: int = 1
    rpm_limit: int = 0
    tpm_limit: int = 0


class ProviderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A host. ``credentials`` are sealed (accounts.secrets); the data plane opens them when it loads a snapshot.

    ``mode`` is 'live' with credentials (or for one that needs none), 'simulated' without them in demo mode, 'off' otherwise.
    """

    slug: str
    name: str
    base_url: str
    dialect: Dialect
    auth: str  # bearer, x-api-key, query-key, api-key, none
    mode: Literal["live", "simulated", "off"] = "off"
    sealed_credentials: tuple[bytes, ...] = ()
    credential_settings: tuple[CredentialSettings, ...] = ()  # one for each, in the same order; empty: all alike
    balancing: Balancing = "weighted"
    group: str = ""  # providers of one group are each other's equals: ``balancing`` chooses among them too
    cooldown_s: int = 5  # after a rate limit that does not say how long
    allow_private_address: bool = False  # an operator's own server on a private network or loopback
    like: str = ""  # the slug whose quirks it shares; '' is its own
    options: dict[str, str] = {}  # region, project, api_version, …: what its wire format wants to know besides
    sealed_headers: bytes = b""  # JSON, for every call; sealed because some are secret
    is_last_resort: bool = False  # tried only after those that are not
    data_policy: dict[str, object] = {}
    docs_url: str = ""
    status_page_url: str = ""
    hq: str = ""
    terms_url: str = ""
    privacy_policy_url: str = ""


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A model as customers name it. ``endpoints`` are ids in the snapshot, cheapest first."""

    id: str  # author/slug
    canonical_slug: str
    name: str
    author: str
    type: ModelType
    description: str
    created_s: int  # Unix seconds of the release; 0 is unknown
    context_length: int
    max_output_tokens: int
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]
    supported_parameters: tuple[str, ...]
    endpoints: tuple[str, ...]
    tokenizer: str = ""
    knowledge_cutoff: str = ""
    hugging_face_id: str = ""
    expiration_date: str = ""
    reasoning: bool = False
    reasoning_efforts: tuple[str, ...] = ()  # highest first; empty is unknown
    is_moderated: bool = False
    open_weights: bool | None = None  # None is unknown


class CallerPrice(msgspec.Struct, frozen=True, array_like=True):
    """What an endpoint costs a caller who has a price of their own."""

    price_version_id: int
    price: RateCard


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The published catalog: immutable, versioned, encoded with MessagePack for the data plane.

    ``aliases`` maps other accepted ids (canonical slugs, old ids) to model ids. ``price_books`` has the prices of an organization or a
    plan: MessagePack of endpoint id → CallerPrice, left encoded until someone asks. ``book_of`` pairs organization ids
    with the books that they have.
    """

    version: int
    published_at: dt.datetime
    models: dict[str, ModelSpec]
    endpoints: dict[str, EndpointSpec]
    providers: dict[str, ProviderSpec]
    aliases: dict[str, str]
    price_books: dict[str, msgspec.Raw] = {}
    book_of: tuple[tuple[int, str], ...] = ()


class CostLine(msgspec.Struct, frozen=True, array_like=True):
    """One meter of a receipt: ``count`` units at ``rate_picos`` each."""

    meter: str
    count: int
    rate_picos: int
    picos: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a request comes to. ``picos`` is exact and the sum of its lines; ``nanos`` is that, rounded half up, once."""

    picos: int
    nanos: int
    lines: tuple[CostLine, ...] = ()
