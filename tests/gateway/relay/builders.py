"""Catalog shapes for tests of pure functions."""

from catalog.types import EndpointSpec, ProviderSpec, RateCard
from gateway.relay.catalog import Candidate, Host


def make_candidate(
    provider: str,
    *,
    prompt_usd_per_million: int = 1,
    completion_usd_per_million: int | None = None,
    model: str = "author/model",
    tag: str | None = None,
    quantization: str = "",
    max_output_tokens: int = 8192,
    parameters: frozenset[str] = frozenset({"temperature", "tools"}),
    data_policy: dict[str, object] | None = None,
) -> Candidate:
    completion = prompt_usd_per_million if completion_usd_per_million is None else completion_usd_per_million
    card = RateCard(rates={"input_tokens": prompt_usd_per_million * 1_000_000, "output_tokens": completion * 1_000_000})
    endpoint = EndpointSpec(
        id=f"{model}@{tag or provider}",
        model=model,
        provider=provider,
        provider_model_id="upstream-model",
        tag=tag or provider,
        quantization=quantization,
        context_length=32_000,
        max_output_tokens=max_output_tokens,
        supported_parameters=parameters,
        price_version_id=1,
        price=card,
        cost=card,
    )
    spec = ProviderSpec(
        slug=provider,
        name=provider.title(),
        base_url="https://provider.example/v1",
        dialect="chat_completions",
        auth="bearer",
        mode="live",
        data_policy=data_policy or {},
    )
    return Candidate(
        endpoint, Host(spec, spec.base_url, "", simulated=False), 3 * prompt_usd_per_million * 1_000_000 + completion * 1_000_000
    )
