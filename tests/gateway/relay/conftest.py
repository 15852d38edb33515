"""A running data plane over the real stores, in front of the simulated provider. One per test module; every test has its own
organization."""

import asyncio
import dataclasses
import datetime as dt
import socket
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
import redis
import uvicorn
from django.conf import settings

from accounts import api_keys
from accounts.models import ApiKey, Organization
from accounts.secrets import Sealer
from billing import queries
from billing.books import partitions, settlement, transfers
from billing.money import NANOS_PER_USD
from catalog.models import CatalogSnapshot
from catalog.types import CredentialSettings, EndpointSpec, ModelSpec, ProviderSpec, RateCard, Snapshot
from gateway.relay.config import RelayConfig
from gateway.relay.exchange import Message, Receive, Send
from gateway.relay.plane import DataPlane
from gateway.server import DirectProtocol
from tests.database import empty_database
from tests.factories.people import OrganizationFactory, UserFactory
from tests.gateway.relay import units
from tests.gateway.relay.epochs import open_shards
from tests.gateway.relay.google_accounts import service_account_for
from tests.gateway.relay.recorder import Recorder

PROMPT_PICOS, COMPLETION_PICOS = 2_500_000, 10_000_000  # $2.50 and $10 per million tokens
EMBED_PICOS = units.EMBED_PICOS
UPSTREAM_NAMES = {
    "test/vertex-gemini": "gemini-3.5-flash",
    "test/vertex-claude": "claude-opus-4-5@20251101",
    "test/vertex-mistral": "mistral-large@2407",
    "test/vertex-llama": "meta/llama-4-scout-17b-16e-instruct-maas",
    "test/bedrock": "eu.anthropic.claude-sonnet-4-5-v1:0",
    "test/bedrock-key": "us.amazon.nova-2-lite-v1:0",
    "test/azure-gpt": "gpt-4o",
    "test/azure-gpt-5-pro": "gpt-5-pro",
    "test/azure-claude": "claude-opus-5",
}


class ServerThread:
    """A uvicorn server on a free loopback port, in a thread."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="warning", lifespan="on", loop="uvloop", http=DirectProtocol, interface="asgi3")
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self._socket])), daemon=True)

    def start(self) -> None:
        self._thread.start()
        while not self.server.started:
            assert self._thread.is_alive()
            self._thread.join(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(10)


class PlaneApp:
    """The data plane with the lifespan that ``gateway/asgi.py`` gives it."""

    def __init__(self, config: RelayConfig) -> None:
        self._config = config

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.plane.app(scope, receive, send)
            return
        await receive()
        self.plane = DataPlane(self._config)
        await self.plane.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.plane.close()
        await send({"type": "lifespan.shutdown.complete"})


PAID = RateCard(rates={"input_tokens": PROMPT_PICOS, "output_tokens": COMPLETION_PICOS, "cache_read_tokens": 250_000})
DEAR = RateCard(rates={"input_tokens": 4 * PROMPT_PICOS, "output_tokens": 4 * COMPLETION_PICOS})
FREE = RateCard(rates={"input_tokens": 0, "output_tokens": 0})
EMBED = RateCard(rates={"input_tokens": EMBED_PICOS})
# Model → provider → price.
CARDS = {
    "test/chat": {"alpha": PAID, "beta": DEAR},
    "test/claude": {"clio": PAID},
    "test/searching": {"alpha": PAID, "anthropic": RateCard(rates={**DEAR.rates, "searches": units.SEARCH_PICOS})},
    "test/gemini": {"gem": PAID},
    "test/responses": {"rhea": PAID},
    "test/gpt-5": {"openai": PAID},
    "test/free": {"alpha": FREE},
    "test/rescued": {"dead": PAID, "openrouter": DEAR},
    "test/spared": {"alpha": DEAR, "openrouter": PAID},
    "test/openrouter": {"openrouter": PAID},
    "test/cohere": {"cora": PAID},
    "test/single": {"alpha": PAID},
    **{f"test/vertex-{family}": {"google-vertex": PAID} for family in ("gemini", "claude", "mistral", "llama")},
    "test/bedrock": {"amazon-bedrock": PAID},
    "test/bedrock-key": {"bedrock-key": PAID},
    "test/azure-gpt": {"azure": PAID},
    "test/azure-gpt-5-pro": {"azure": PAID},
    "test/azure-claude": {"azure": PAID},
    "test/azure-v1": {"azure-v1": PAID},
    "test/litellm": {"house-litellm": PAID},
    "test/cloudflare": {"behind-cloudflare": PAID},
    "test/shaky": {"dead": PAID, "beta": DEAR},
    "test/dead": {"dead": PAID},
    "test/twins": {"twins": PAID},
    "test/hanging": {"alpha": PAID, "beta": DEAR},
    "test/modest": {"modest": PAID, "beta": DEAR},
    "test/embed": {"alpha": EMBED, "beta": EMBED},
    "test/gem-embed": {"gem": EMBED},
}


def _hosts(simulator_url: str, dead_url: str) -> dict[str, tuple[Any, str]]:
    """Return dialect and address of each provider."""
    return {
        "alpha": ("chat_completions", f"{simulator_url}/p/alpha/v1"),
        "beta": ("chat_completions", f"{simulator_url}/p/beta/v1"),
        "clio": ("messages", f"{simulator_url}/p/clio/v1"),
        "rhea": ("responses", f"{simulator_url}/p/rhea/v1"),
        "gem": ("gemini", f"{simulator_url}/p/gem/v1beta"),
        "dead": ("chat_completions", f"{dead_url}/v1"),
        "twins": ("chat_completions", f"{simulator_url}/p/twins/v1"),
        "modest": ("chat_completions", f"{simulator_url}/p/modest/v1"),
        "openrouter": ("chat_completions", f"{simulator_url}/p/openrouter/api/v1"),
        "cora": ("cohere", f"{simulator_url}/p/cora/v2"),
        "google-vertex": ("vertex", f"{simulator_url}/p/google-vertex/v1/projects/p/locations/europe-west4"),
        "amazon-bedrock": ("bedrock", f"{simulator_url}/p/amazon-bedrock"),
        "bedrock-key": ("bedrock", f"{simulator_url}/p/bedrock-key"),
        "azure": ("chat_completions", f"{simulator_url}/p/azure/openai"),
        "azure-v1": ("chat_completions", f"{simulator_url}/p/azure-v1/openai/v1"),
        "house-litellm": ("chat_completions", f"{simulator_url}/p/house-litellm"),
        "behind-cloudflare": ("messages", f"{simulator_url}/p/behind-cloudflare/v1/account/gateway/anthropic/v1"),
        **{slug: (dialect, f"{simulator_url}{path}") for slug, (dialect, path) in units.HOSTS.items()},
    }


def _reached(simulator_url: str) -> dict[str, dict[str, Any]]:
    """Return what is special about reaching some of them."""
    sealer = Sealer(settings.SECRET_KEY)
    return {
        "openrouter": {"is_last_resort": True, "auth": "bearer", "sealed_credentials": (sealer.seal("sk-or-test"),)},
        "house-litellm": {"like": "litellm"},
        "google-vertex": {"auth": "oauth2", "sealed_credentials": (sealer.seal(service_account_for(f"{simulator_url}/token")),)},
        "amazon-bedrock": {
            "auth": "sigv4",
            "sealed_credentials": (sealer.seal("AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY:session"),),
            "options": {"region": "eu-central-1"},
        },
        "bedrock-key": {"auth": "sigv4", "sealed_credentials": (sealer.seal("ABSKexample"),)},
        "azure": {
            "auth": "api-key",
            "sealed_credentials": (sealer.seal("azure-key"),),
            "options": {"api_version": "2025-01-01-preview"},
        },
        "azure-v1": {"auth": "api-key", "like": "azure", "sealed_credentials": (sealer.seal("azure-key"),)},
        # Of its two keys the one that is nearly always drawn first is rate limited.
        "twins": {
            "auth": "bearer",
            "sealed_credentials": (sealer.seal("[[simulate:status=429,retry_after=30]]"), sealer.seal("good-key")),
            "credential_settings": (CredentialSettings(name="limited", weight=1_000_000), CredentialSettings(name="good")),
        },
        "modest": {
            "auth": "bearer",
            "sealed_credentials": (sealer.seal("only-key"),),
            "credential_settings": (CredentialSettings(name="only", rpm_limit=2),),
        },
        "behind-cloudflare": {
            "like": "cloudflare-ai-gateway",
            "sealed_headers": sealer.seal('{"cf-aig-authorization":"Bearer cf-secret","cf-aig-metadata":"{\\"team\\":\\"a\\"}"}'),
        },
    }


def _endpoint(model_id: str, provider: str, card: RateCard, *, number: int) -> EndpointSpec:
    return EndpointSpec(
        id=f"{model_id}@{provider}",
        model=model_id,
        provider=provider,
        provider_model_id=UPSTREAM_NAMES.get(model_id, f"{provider}-model"),
        tag=provider,
        context_length=200_000,
        max_output_tokens=16_000,
        supported_parameters=frozenset(
            {"temperature", "tools", "tool_choice", "stop", "seed", "top_p", "response_format", "reasoning", "max_tokens"},
        ),
        price_version_id=number,
        price=card,
        cost=card,
        is_free=card is FREE,
    )


def _model(model_id: str, endpoints: tuple[str, ...]) -> ModelSpec:
    return ModelSpec(
        id=model_id,
        canonical_slug=model_id,
        name=model_id,
        author="test",
        type="embedding" if "embed" in model_id else "chat",
        description="A model for tests.",
        created_s=1_700_000_000,
        context_length=200_000,
        max_output_tokens=16_000,
        input_modalities=("text",),
        output_modalities=("text",),
        supported_parameters=("temperature", "tools"),
        endpoints=endpoints,
    )


def make_snapshot(simulator_url: str, dead_url: str) -> Snapshot:
    """Return models whose endpoints are the simulator in each wire format, and some that fail."""
    providers = {
        slug: ProviderSpec(
            slug=slug, name=slug.title(), base_url=url, dialect=dialect, auth="none", mode="live", allow_private_address=True
        )
        for slug, (dialect, url) in _hosts(simulator_url, dead_url).items()
    }
    providers |= {slug: msgspec.structs.replace(providers[slug], **fields) for slug, fields in _reached(simulator_url).items()}
    models, endpoints = {}, {}
    for model_id, cards in CARDS.items():
        for slug, card in cards.items():
            endpoints[f"{model_id}@{slug}"] = _endpoint(model_id, slug, card, number=len(endpoints) + 1)
        models[model_id] = _model(model_id, tuple(f"{model_id}@{slug}" for slug in cards))
    unit_models, unit_endpoints = units.make_units(len(endpoints) + 1)
    models.update(unit_models)
    endpoints.update(unit_endpoints)
    return Snapshot(
        version=1, published_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), models=models, endpoints=endpoints, providers=providers, aliases={}
    )


@dataclasses.dataclass
class Customer:
    """An organization with one key, and the ways a test looks at its money. Amounts in nanos."""

    stack: "Stack"
    organization: Organization
    key: ApiKey
    secret: str

    def post(self, **fields: Any) -> httpx.Response:
        # In order, so that the draw by price does not decide what a test sees.
        body = {
            "model": "test/chat",
            "messages": [{"role": "user", "content": "Say hello to the road."}],
            "provider": {"order": ["alpha"]},
            **fields,
        }
        return self.stack.client.post("/api/v1/chat/completions", json=body, headers=self.headers)

    def stream(self, **fields: Any) -> list[dict[str, Any] | str]:
        """Return the events of a streamed answer; comments as strings, the end mark as '[DONE]'."""
        answer = self.post(stream=True, **fields)
        assert answer.status_code == 200, answer.text
        return read_events(answer.text)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def balance_nanos(self) -> int:
        deadline = time.monotonic() + 2  # an answer's last byte may reach the client a moment before the money store hears of it
        while (balance := queries.balance(self.organization)).held_nanos and time.monotonic() < deadline:
            time.sleep(0.005)
        return balance.available_nanos

    def receipts(self) -> list[Any]:
        """Book everything that was answered and return the receipts, newest first."""
        self.balance_nanos()  # waits until it has reached the stream
        settlement.settle_shard(shard=self.organization.shard, wait_s=5)
        return queries.latest_requests(self.organization, limit=100)


def read_events(text: str) -> list[dict[str, Any] | str]:
    events: list[dict[str, Any] | str] = []
    for block in text.split("\n\n"):
        if block.startswith("data: "):
            data = block.removeprefix("data: ")
            events.append(data if data == "[DONE]" else msgspec.json.decode(data))
        elif block:
            events.append(block)
    return events


def cost_nanos(usage: dict[str, Any]) -> int:
    """Return ``usage.cost`` exactly; JSON numbers arrive as floats, whose shortest decimal form is what was sent."""
    return int(Decimal(repr(usage["cost"])) * NANOS_PER_USD)


@dataclasses.dataclass
class Stack:
    """The running servers."""

    client: httpx.Client
    url: str
    plane: DataPlane
    simulator_url: str
    recorder: Recorder

    def new_customer(self, *, credit_nanos: int = 10 * NANOS_PER_USD, **key_fields: Any) -> Customer:
        owner = UserFactory()
        organization = OrganizationFactory(owner=owner)
        if credit_nanos:
            transfers.grant(
                organization=organization,
                amount_nanos=credit_nanos,
                reason="test",
                idempotency_key=f"test-{organization.public_id}",
                by=None,
            )
        key, secret = api_keys.create(organization=organization, name="Test", by=owner, **key_fields)
        return Customer(self, organization, key, secret)


@pytest.fixture(scope="module")
def stack(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    from gateway.simulator.app import app as simulator_app  # noqa: PLC0415 -- only where it runs

    with django_db_blocker.unblock():
        with redis.Redis.from_url(settings.BROKER_REDIS_URL) as broker:
            broker.flushdb()
        partitions.make_ahead()
        recorder = Recorder(simulator_app)
        simulator = ServerThread(recorder)
        simulator.start()
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        snapshot = make_snapshot(simulator.url, f"http://127.0.0.1:{closed.getsockname()[1]}")
        CatalogSnapshot.objects.create(
            version=1,
            published_at=snapshot.published_at,
            body=msgspec.msgpack.encode(snapshot),
            digest="",
            environment_digest="",
            model_count=len(snapshot.models),
            endpoint_count=len(snapshot.endpoints),
            provider_count=len(snapshot.providers),
        )
        open_shards()
        app = PlaneApp(
            RelayConfig(
                database_url=settings.DATABASE_URL,
                redis_url=settings.REDIS_URL,
                broker_redis_url=settings.BROKER_REDIS_URL,
                secret_keys=(settings.SECRET_KEY,),
                provider_credentials={},
                public_url="https://tollway.example",
                spool_dir=tmp_path_factory.mktemp("spool"),
                body_max_bytes=1_000_000,
                first_byte_timeout_s=3,
                answer_timeout_s=5,
                keepalive_s=0.4,
            ),
        )
        server = ServerThread(app)
        server.start()
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while client.get("/api/v1/models").status_code != 200:
                pass
            yield Stack(client, server.url, app.plane, simulator.url, recorder)
        server.stop()
        simulator.stop()
        closed.close()
        # What was committed here must not be seen by the next module.
        empty_database()


@pytest.fixture
def customer(stack: Stack, django_db_blocker: Any) -> Iterator[Customer]:
    with django_db_blocker.unblock():
        yield stack.new_customer()


@pytest.fixture
def new_customer(stack: Stack, django_db_blocker: Any) -> Iterator[Callable[..., Customer]]:
    with django_db_blocker.unblock():
        yield stack.new_customer
