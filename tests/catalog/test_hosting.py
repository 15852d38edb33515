"""Live with credentials, simulated without them in demo mode, off otherwise; and always with a reason."""

from dataclasses import dataclass, field

import pytest

from accounts.secrets import Sealer
from catalog.hosting import Environment, host_provider
from catalog.models import Provider

SEALER = Sealer("key")
DEMO = Environment(demo_mode=True, local_model_url="", variables=frozenset(), sealer=SEALER)


@dataclass
class Case:
    mode: str
    reason: str = ""
    provider: dict[str, object] = field(default_factory=dict)
    sealed: bool = False
    variable: bool = False
    demo: bool = True
    local_model_url: str = ""


CASES = [
    Case("live", sealed=True),
    Case("live", variable=True, demo=False),
    Case("simulated"),
    Case("off", "no credentials", demo=False),
    Case("off", "switched off", {"enabled": False}, sealed=True),
    Case("off", "left the data files", {"withdrawn_at": "2026-01-01"}),
    Case("simulated", provider={"protocol": "bedrock", "auth": "sigv4"}),
    Case("live", provider={"protocol": "bedrock", "auth": "sigv4"}, variable=True),
    Case("off", "wire format 'fal' is not supported", {"protocol": "fal", "auth": "key"}, variable=True),
    Case("off", "authentication 'key' is not supported", {"auth": "key"}, variable=True),
    Case("off", "has blanks (region)", {"base_url": "https://{region}.example"}, variable=True),
    Case("live", provider={"base_url": "https://{region}.example", "options": {"region": "eu"}}, variable=True),
    Case("live", provider={"sealed_headers": SEALER.seal("{}")}, demo=False),
    Case("off", "SECRET_KEY", provider={"sealed_headers": Sealer("old").seal("{}")}),
    Case("simulated", provider={"base_url": "https://{region}.example"}),
    Case("live", provider={"base_url": "https://{r}.example", "base_url_override": "https://eu.example"}, variable=True),
    Case("off", "LOCAL_MODEL_URL", {"kind": "own", "auth": "none", "base_url": "{local_model_url}"}),
    Case("live", provider={"kind": "own", "auth": "none", "base_url": "{local_model_url}"}, local_model_url="http://127.0.0.1:9/v1"),
]


@pytest.mark.parametrize("case", CASES)
def test_a_provider_is_reached_as_its_credentials_allow(case: Case) -> None:
    fields = {"slug": "acme", "kind": "host", "base_url": "https://a.example/v1/", "protocol": "openai", "auth": "bearer", **case.provider}
    environment = Environment(case.demo, case.local_model_url, frozenset({"acme"} if case.variable else set()), SEALER)
    sealed = (SEALER.seal("secret"),) if case.sealed else ()
    hosting = host_provider(Provider(**fields), sealed=sealed, environment=environment)
    assert (hosting.mode, case.reason in hosting.reason) == (case.mode, True)
    assert bool(hosting.reason) is (hosting.mode == "off")


def test_a_key_that_cannot_be_opened_turns_the_provider_off_and_is_never_simulated() -> None:
    provider = Provider(slug="acme", kind="host", base_url="https://a.example", protocol="openai", auth="bearer")
    hosting = host_provider(provider, sealed=(Sealer("old").seal("x"),), environment=DEMO)
    assert hosting.mode == "off"
    assert "SECRET_KEY" in hosting.reason


@pytest.mark.parametrize(
    ("protocol", "dialect"),
    [("openai", "chat_completions"), ("anthropic", "messages"), ("gemini", "gemini"), ("cohere", "cohere"), ("bfl", "chat_completions")],
)
def test_the_wire_format_decides_the_dialect(protocol: str, dialect: str) -> None:
    provider = Provider(slug="acme", kind="host", base_url="https://a.example", protocol=protocol, auth="bearer")
    assert host_provider(provider, sealed=(), environment=DEMO).dialect == dialect


def test_the_environment_digest_follows_what_decides_and_not_the_keys() -> None:
    one = DEMO._replace(variables=frozenset({"a", "b"}))
    assert one.digest == one._replace(sealer=Sealer("other")).digest
    assert len({one.digest, one._replace(demo_mode=False).digest, one._replace(variables=frozenset({"a"})).digest}) == 3
