"""The published catalog as the data plane uses it: a snapshot, opened credentials, and lists made once so that no request makes them."""

import logging
from collections.abc import Collection
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
from msgspec.structs import replace

from accounts.secrets import Sealer
from catalog.listings import Listings
from catalog.pricing import blended_picos, is_priced
from catalog.switch_reader import SwitchedOff
from catalog.types import CallerPrice, CredentialSettings, EndpointSpec, ModelSpec, ModelType, ProviderSpec, Snapshot
from gateway.dialects.base import UpstreamDialect
from gateway.dialects.registry import find_dialect
from gateway.providers.auth import Signer, UnknownAuth, needs_signer
from gateway.providers.signers import make_signer
from gateway.providers.table import lacks_for, standing_headers
from gateway.relay.config import RelayConfig
from gateway.relay.families import ROUTER_ROWS, latest_aliases, listed_aliases
from gateway.relay.upstream import Target

_DRAWING_DIALECTS = frozenset({"gemini", "vertex"})  # in which a model of pictures can be asked for a chat
_log = logging.getLogger(__name__)
# What stands in a provider's own address between its name and the paths of its dialect; the simulator tells formats apart by it.
_SIMULATED_VERSIONS = {"gemini": "v1beta", "cohere": "v2", "voyage": "voyage/v1"}
_SORTING_SUFFIXES = ("nitro", "floor", "exacto")
_TRAFFIC_SUFFIXES = (*_SORTING_SUFFIXES, "online")
_decode_book = msgspec.msgpack.Decoder(dict[str, CallerPrice]).decode


@dataclass(frozen=True, slots=True)
class Credential:
    """One of several keys of a provider, or one with limits. Limits are requests and tokens a minute at one endpoint; 0 is none."""

    name: str
    secret: str = field(repr=False)
    weight: int = 1
    rpm_limit: int = 0
    tpm_limit: int = 0


@dataclass(frozen=True, slots=True)
class Host:
    """A provider that can be called: where, and with which credential. ``credential`` is '' where none is needed."""

    spec: ProviderSpec
    base_url: str
    credential: str
    simulated: bool
    credentials: tuple[Credential, ...] = ()  # all of them, where there is something to balance
    headers: dict[str, str] = field(default_factory=dict, repr=False)  # for every call, beside those that authenticate
    signers: dict[str, Signer] = field(default_factory=dict, repr=False)  # by credential, where it is none to be shown

    def can_answer(self, kind: ModelType) -> bool:
        """Whether there is a dialect in which it can be asked for models of this type."""
        if self.simulated:
            return find_dialect(self.spec.dialect, kind, simulated=True) is not None
        return find_dialect(self.spec.dialect, kind) is not None and kind not in lacks_for(self.spec)

    @property
    def is_balanced(self) -> bool:
        """Whether there are several credentials, limits to keep, or a group to share requests with."""
        return bool(self.credentials)

    @property
    def is_public_only(self) -> bool:
        """Whether its name must not lead into a private network, now or later."""
        return not self.simulated and not self.spec.allow_private_address


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint at a host that can be called. ``blended_picos`` compares prices: three input tokens and one output token.

    ``is_at_cost`` says that the customer's card is the provider's own, so that a request is priced once for both. ``dialects`` and
    ``targets`` are what was worked out for earlier requests (attempts.py).
    """

    endpoint: EndpointSpec
    host: Host
    blended_picos: int
    is_at_cost: bool = False
    dialects: dict[tuple[ModelType, str], UpstreamDialect] = field(default_factory=dict, init=False, repr=False, compare=False)
    targets: dict[tuple[str, str], Target] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def draws_in_chats(self) -> bool:
        """Whether a picture can be asked for in a chat here, and everything that such a chat uses has a price."""
        return self.host.spec.dialect in _DRAWING_DIALECTS and is_priced(self.endpoint.price, "chat")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What an answer from here says about itself: whether no real model was asked."""
        return [(b"x-tollway-simulated", b"1")] if self.host.simulated else []


def _host(spec: ProviderSpec, config: RelayConfig, sealer: Sealer) -> Host | None:
    if spec.mode == "off":
        return None
    if spec.mode == "simulated":
        if not config.simulator_url:
            return None
        version = _SIMULATED_VERSIONS.get(spec.dialect, "v1")
        grouped = (Credential("main", ""),) if spec.group else ()
        return Host(spec, f"{config.simulator_url}/p/{spec.slug}/{version}", "", simulated=True, credentials=grouped)
    balanced: tuple[Credential, ...] = ()
    if spec.sealed_credentials:
        opened = [sealer.open_sealed(one) for one in spec.sealed_credentials]
        credential, balanced = opened[0], _balanced(spec, opened)
    else:
        credential = config.provider_credentials.get(spec.slug, "")
    if spec.group and not balanced:
        balanced = (Credential("main", credential),)
    headers = standing_headers(spec)
    if spec.sealed_headers:
        headers |= msgspec.json.decode(sealer.open_sealed(spec.sealed_headers), type=dict[str, str])
    try:
        secrets = {credential, *(one.secret for one in balanced)}
        signers = {secret: make_signer(spec, secret) for secret in secrets if needs_signer(spec, secret)}
    except (UnknownAuth, ValueError):  # one bad credential must not keep the rest of the catalog from being served
        _log.exception("provider %s is left out: its credential cannot be used", spec.slug)
        return None
    return Host(spec, spec.base_url.rstrip("/"), credential, simulated=False, credentials=balanced, headers=headers, signers=signers)


def _balanced(spec: ProviderSpec, secrets: list[str]) -> tuple[Credential, ...]:
    """Return the credentials with their settings; none where there is one without limits."""
    settings = spec.credential_settings or tuple(CredentialSettings(name=str(place)) for place, _ in enumerate(secrets))
    found = tuple(
        Credential(one.name, secret, one.weight, one.rpm_limit, one.tpm_limit) for one, secret in zip(settings, secrets, strict=True)
    )
    return found if len(found) > 1 or any(one.rpm_limit or one.tpm_limit for one in found) else ()


def _open_hosts(snapshot: Snapshot, config: RelayConfig) -> dict[str, Host]:
    sealer = Sealer(*config.secret_keys)
    opened = {slug: _host(spec, config, sealer) for slug, spec in snapshot.providers.items()}
    return {slug: host for slug, host in opened.items() if host is not None}


def _with_prices(snapshot: Snapshot, encoded: msgspec.Raw) -> Snapshot:
    """Return the catalog as the owner of a price book sees it."""
    book = _decode_book(encoded)
    endpoints = {
        name: replace(spec, price=book[name].price, price_version_id=book[name].price_version_id) if name in book else spec
        for name, spec in snapshot.endpoints.items()
    }
    return replace(snapshot, endpoints=endpoints, price_books={}, book_of=())


def _is_off(candidate: Candidate, off: SwitchedOff) -> bool:
    return candidate.endpoint.provider in off.providers or candidate.endpoint.id in off.endpoints


class CatalogView:
    """One version of the catalog. A new version is a new view; a request keeps the one it began with."""

    def __init__(self, snapshot: Snapshot, config: RelayConfig, *, hosts: dict[str, Host] | None = None) -> None:
        self.snapshot = snapshot
        self.version = snapshot.version
        self._public_url = config.public_url
        self.hosts = _open_hosts(snapshot, config) if hosts is None else hosts
        self.candidates: dict[str, tuple[Candidate, ...]] = {
            model_id: self._candidates(model) for model_id, model in snapshot.models.items()
        }
        self.latest = latest_aliases(model for model in snapshot.models.values() if self.candidates[model.id])
        books = {name: CatalogView(_with_prices(snapshot, book), config, hosts=self.hosts) for name, book in snapshot.price_books.items()}
        self.views = {org_id: books[name] for org_id, name in snapshot.book_of}

    @cached_property
    def listings(self) -> Listings:
        """What the catalog's API answers. Making them takes tens of milliseconds."""
        return self.list_without(frozenset())

    def list_without(self, refused: Collection[str]) -> Listings:
        """Return what the catalog's API answers where the endpoints named are not to be had. Takes tens of milliseconds."""
        return Listings(
            self.snapshot,
            public_url=self._public_url,
            unanswered=self._unanswered().union(refused),
            latest=listed_aliases(model for model in self.snapshot.models.values() if self.candidates[model.id]),
            routers=ROUTER_ROWS,
        )

    def _unanswered(self) -> frozenset[str]:
        """Return the endpoints whose provider is here and has no format for their type of model."""
        return frozenset(
            endpoint_id
            for model in self.snapshot.models.values()
            for endpoint_id in model.endpoints
            if (host := self.hosts.get(self.snapshot.endpoints[endpoint_id].provider)) is not None and not host.can_answer(model.type)
        )

    def of(self, org_id: int) -> "CatalogView":
        """Return the catalog as an organization has it: with prices of its own or of its plan where there are any."""
        return self.views.get(org_id, self)

    def _candidates(self, model: ModelSpec) -> tuple[Candidate, ...]:
        found = []
        for endpoint_id in model.endpoints:
            endpoint = self.snapshot.endpoints[endpoint_id]
            host = self.hosts.get(endpoint.provider)
            # What has no price is never served: a bound of zero would let anyone use it without limit.
            if host is not None and is_priced(endpoint.price, model.type) and host.can_answer(model.type):
                found.append(Candidate(endpoint, host, blended_picos(endpoint.price), is_at_cost=endpoint.price == endpoint.cost))
        found.sort(key=lambda one: (one.host.spec.is_last_resort, one.blended_picos, one.endpoint.id))
        return tuple(found)

    def candidates_of(self, model: ModelSpec, kind: ModelType) -> tuple[Candidate, ...] | None:
        """Return the model's endpoints for requests of ``kind``, or None where it is no model for them.

        Some models of pictures draw in a chat; that is asked of those hosts whose chats can draw.
        """
        if model.type == kind:
            return self.candidates[model.id]
        if kind == "chat" and model.type == "image":
            drawing = tuple(one for one in self.candidates[model.id] if one.draws_in_chats)
            return drawing or None
        return None

    def without(self, off: SwitchedOff) -> "CatalogView":
        """Return the catalog with what is switched off left out of what can be called; lists stay as they are."""
        if not any(off):
            return self
        reduced = copy(self)
        reduced.candidates = {
            model_id: () if model_id.removesuffix(":free") in off.models else tuple(one for one in candidates if not _is_off(one, off))
            for model_id, candidates in self.candidates.items()
        }
        reduced.views = {org_id: view.without(off) for org_id, view in self.views.items()}
        return reduced

    def find_model(self, name: str) -> tuple[ModelSpec, str] | None:
        """Return the model by id, alias or ``~author/family-latest``, and the routing suffix ('' or nitro, floor, …).

        ``author/slug:free`` is a model of its own. Suffixes combine in any order; of those that sort, the last counts.
        """
        model = self.snapshot.models.get(self.snapshot.aliases.get(name, name))
        if model is not None:
            return model, ""
        base, *words = name.split(":")
        own = [word for word in words if word not in _TRAFFIC_SUFFIXES]
        plain = ":".join((base, *own))
        model = self.snapshot.models.get(self.snapshot.aliases.get(plain) or self.latest.get(plain, plain))
        if model is None:
            return None
        suffixes = [word for word in words if word in _TRAFFIC_SUFFIXES]
        sorting = [word for word in suffixes if word in _SORTING_SUFFIXES]
        return model, (sorting or suffixes or [""])[-1]
