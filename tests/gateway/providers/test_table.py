"""Which row of quirks a provider gets, and what is said to a gateway with every call."""

from msgspec.structs import replace

from gateway.providers.table import DEFAULT_QUIRKS, QUIRKS, quirks_for, standing_headers
from tests.gateway.dialects.builders import provider


def test_a_provider_has_its_own_row_or_that_of_the_one_it_is_like():
    assert quirks_for(provider("openrouter")) is QUIRKS["openrouter"]
    assert quirks_for(replace(provider("house"), like="litellm")) is QUIRKS["litellm"]
    assert quirks_for(provider("house")) is DEFAULT_QUIRKS


def test_whatever_stands_behind_cloudflares_gateway_is_not_served_from_a_cache_without_tenants():
    behind = replace(provider("openai"), base_url="https://gateway.ai.cloudflare.com/v1/account/gateway/openai")
    assert standing_headers(behind) == {"cf-aig-skip-cache": "true"}
    assert standing_headers(provider("openai")) == {}
    assert standing_headers(replace(provider("openai"), base_url="https://gateway.ai.cloudflare.com.evil.example/v1")) == {}
