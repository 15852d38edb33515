"""Whether a provider can be called here: live, simulated or off, and why. Pure; the settings come in as ``Environment``."""

import hashlib
import re
from typing import Final, Literal, NamedTuple

from accounts.secrets import CannotOpen, Sealer
from catalog.models import Provider
from catalog.types import Dialect

# Wire format of a provider → the dialect that speaks it. What is not here can be simulated, not called.
_DIALECTS: Final[dict[str, Dialect]] = {
    "openai": "chat_completions",
    "azure-openai": "chat_completions",
    "anthropic": "messages",
    "gemini": "gemini",
    "openai-responses": "responses",
    "cohere": "cohere",
    "voyage": "voyage",
    "jina": "jina",
    "elevenlabs": "elevenlabs",
    "deepgram": "deepgram",
    "bedrock": "bedrock",
    "vertex": "vertex",
}
PROTOCOL_OF: Final[dict[Dialect, str]] = {dialect: protocol for protocol, dialect in _DIALECTS.items() if protocol != "azure-openai"}
_AUTHS: Final = ("bearer", "x-api-key", "query-key", "api-key", "token", "xi-api-key", "sigv4", "oauth2", "none")
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_FORMAT: Final = 5  # of snapshots; grows when one made from unchanged rows says more than before, so that it is published again
OWN: Final = "own"  # kind of the operator's own servers: never simulated


class Environment(NamedTuple):
    """What the settings say about providers. ``variables`` are the slugs whose key is in an environment variable."""

    demo_mode: bool
    local_model_url: str
    variables: frozenset[str]
    sealer: Sealer

    @property
    def digest(self) -> str:
        """64 hex digits that change with everything here that decides a mode. Holds no secret."""
        return hashlib.sha256(f"{_FORMAT}|{self.demo_mode}|{self.local_model_url}|{sorted(self.variables)}".encode()).hexdigest()


class Hosting(NamedTuple):
    """How a provider is reached. ``reason`` says why it is off; '' otherwise."""

    mode: Literal["live", "simulated", "off"]
    dialect: Dialect
    base_url: str
    reason: str = ""


def _fill(url: str, options: dict[str, str], environment: Environment) -> str:
    filled = url.replace("{local_model_url}", environment.local_model_url)
    filled = _PLACEHOLDER.sub(lambda blank: options.get(blank[1], blank[0]), filled)
    return filled.replace("://global-aiplatform.", "://aiplatform.").rstrip("/")  # Google's hosts name every region but this one


def _find_bar(provider: Provider, base_url: str) -> str:
    """Return why a provider is off whatever its credentials, '' if it is not."""
    if not provider.enabled:
        return "switched off by the operator"
    if provider.withdrawn_at is not None:
        return "it left the data files"
    if provider.kind == OWN and not base_url:
        return "LOCAL_MODEL_URL is not set"
    return ""


def _find_obstacle(provider: Provider, base_url: str, sealed: tuple[bytes, ...], sealer: Sealer) -> str:
    """Return what keeps a provider with credentials from being called, '' for nothing."""
    try:
        for one in (*sealed, *([bytes(provider.sealed_headers)] if provider.sealed_headers else ())):
            sealer.open_sealed(one)
    except CannotOpen:
        return "its sealed key cannot be opened: SECRET_KEY has changed; set SECRET_KEY_FALLBACKS or the key again"
    if provider.protocol not in _DIALECTS:
        return f"its wire format {provider.protocol!r} is not supported yet"
    if provider.auth not in _AUTHS:
        return f"its authentication {provider.auth!r} is not supported yet"
    blanks = _PLACEHOLDER.findall(base_url)
    if blanks:
        fill = f"set_provider {provider.slug} --option {blanks[0]}=…"
        return f"its base URL {base_url} has blanks ({', '.join(blanks)}): fill them with {fill}, or give another with --base-url"
    return "" if base_url else "it has no base URL"


def host_provider(provider: Provider, *, sealed: tuple[bytes, ...], environment: Environment) -> Hosting:
    """Decide how ``provider`` is reached. With credentials, or needing none, it is live or off, never simulated."""
    dialect = _DIALECTS.get(provider.protocol, "chat_completions")
    base_url = _fill(provider.effective_base_url, provider.options, environment)
    reason = _find_bar(provider, base_url)
    needs_none = provider.auth == "none" or provider.kind == OWN
    # Headers of the operator's may be all that authenticates: a gateway that keeps the provider's keys itself.
    is_real = bool(sealed) or bool(provider.sealed_headers) or provider.slug in environment.variables or needs_none
    if not reason and is_real:
        reason = _find_obstacle(provider, base_url, sealed, environment.sealer)
        if not reason:
            return Hosting("live", dialect, base_url)
    if not reason and environment.demo_mode:
        return Hosting("simulated", dialect, base_url)
    without = f"it has no credentials: run set_provider {provider.slug} --api-key …, or set its usual environment variable"
    return Hosting("off", dialect, base_url, reason or without)
