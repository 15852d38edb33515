"""The operator's own providers: any server that speaks one of our dialects, with its models and prices."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import yaml
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts import audit
from accounts.audit import Actor
from catalog import publication
from catalog.addresses import check_base_url
from catalog.cards import make_timeline
from catalog.credentials import current_hosting, store_key
from catalog.files import PriceEntry, parse_yaml
from catalog.hosting import OWN, PROTOCOL_OF, Hosting
from catalog.locks import hold_catalog_lock
from catalog.markup_rules import read_book
from catalog.models import AgreementLevel, Endpoint, Model, Origin, Provider
from catalog.prices import WantedPrice, append_changes
from catalog.pricing import is_priced
from catalog.reach import Reach, change_reach
from catalog.types import Dialect, ModelType

_PARAMETERS: Final = (
    "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "min_p", "presence_penalty", "repetition_penalty", "response_format",
    "seed", "stop", "temperature", "tool_choice", "tools", "top_k", "top_logprobs", "top_p",
)  # fmt: skip
# Gateways that name models author/slug, as we do.
_BY_FULL_ID: Final = frozenset({"openrouter"})


class NameTaken(Exception):
    """A provider of the data files has this slug; set_provider changes those."""


class BadModel(ValueError):
    """A model of an own provider cannot be used: no name, no price, or a price that cannot be billed."""


class OwnModel(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A model of the operator's own server. ``id`` is what customers send (author/slug), ``provider_model_id`` what the server is sent.

    ``id`` may be that of a model in the catalog; then this is one more endpoint of it. Prices are those of the data files (data/README.md).
    """

    id: str
    provider_model_id: str = ""
    name: str = ""
    type: ModelType = "chat"
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: list[str] = msgspec.field(default_factory=lambda: ["text"])
    supported_parameters: list[str] = msgspec.field(default_factory=lambda: list(_PARAMETERS))
    price: PriceEntry


class _OwnModels(msgspec.Struct, forbid_unknown_fields=True):
    models: list[OwnModel]


def read_models(path: Path) -> list[OwnModel]:
    """Read a file of own models: YAML with a list ``models`` of OwnModel. Raises: BadModel."""
    try:
        return msgspec.convert(parse_yaml(path.read_bytes()), _OwnModels).models
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        msg = f"{path}: {error}"
        raise BadModel(msg) from error


def _put_model(entry: OwnModel, model_id: str) -> Model:
    author, _, name = model_id.partition("/")
    model, _created = Model.objects.get_or_create(
        slug=model_id,
        defaults={
            "origin": Origin.OPERATOR,
            "name": entry.name or name,
            "author": author,
            "author_name": author,
            "type": entry.type,
            "context_length": entry.context_length,
            "max_output_tokens": entry.max_output_tokens,
            "input_modalities": entry.input_modalities,
            "output_modalities": ["text"],
            "supported_parameters": entry.supported_parameters,
        },
    )
    return model


def _put_endpoint(
    entry: OwnModel, *, model: Model, provider: Provider, today: dt.date, is_free: bool, source: Mapping[str, str]
) -> Endpoint:
    endpoint, _created = Endpoint.objects.update_or_create(
        slug=f"{model.slug}@{provider.slug}",
        defaults={
            "origin": Origin.OPERATOR,
            "model": model,
            "provider": provider,
            "provider_model_id": entry.provider_model_id or (entry.id if provider.like in _BY_FULL_ID else entry.id.rpartition("/")[2]),
            "tag": provider.slug,
            "context_length": entry.context_length or model.context_length,
            "max_output_tokens": entry.max_output_tokens or model.max_output_tokens,
            "input_modalities": entry.input_modalities,
            "supported_parameters": entry.supported_parameters,
            "is_free": is_free,
            "last_seen": today,
            "withdrawn_at": None,
            "source": dict(source),
            "agreement": {"level": AgreementLevel.OPERATOR},
        },
    )
    return endpoint


def put_model(entry: OwnModel, provider: Provider, *, now: dt.datetime, source: Mapping[str, str] | None = None) -> WantedPrice:
    """Write the model and its endpoint at ``provider``; return what it should cost. ``source`` is the operator unless it says more.

    Does not publish. Raises: BadModel.
    """
    model_id = entry.id if "/" in entry.id else f"{provider.slug}/{entry.id}"
    if not all(model_id.partition("/")):
        msg = f"{entry.id!r} is not a model id such as author/slug"
        raise BadModel(msg)
    try:
        timeline = make_timeline(entry.price)
    except ValueError as error:
        msg = f"{entry.id}: {error}"
        raise BadModel(msg) from error
    card = timeline[0][1]
    if not is_priced(card, entry.type):
        msg = f"{entry.id} needs a price for input and output; '0' is free"
        raise BadModel(msg)
    today = now.date()
    endpoint = _put_endpoint(
        entry,
        model=_put_model(entry, model_id),
        provider=provider,
        today=today,
        is_free=not any(card.rates.values()),
        source=source or {"data_set": "operator", "date": today.isoformat()},
    )
    return WantedPrice(
        endpoint_id=endpoint.pk,
        timeline=timeline,
        known_from=now,
        listed=msgspec.to_builtins(entry.price),
        source=endpoint.source,
        agreement=endpoint.agreement,
    )


def add_provider(
    *,
    name: str,
    base_url: str,
    dialect: Dialect,
    models: Sequence[OwnModel],
    api_key: str | None = None,
    allow_private: bool = False,
    reach: Reach = Reach(),  # noqa: B008 -- frozen
    by: Actor = None,
    now: dt.datetime | None = None,
) -> tuple[Provider, Hosting]:
    """Add the operator's own server with its models and prices, or change it when it exists; then publish.

    Models that are left out stay. Without ``api_key`` nothing authenticates us there.
    Raises: NameTaken, BadModel, BadKey, BadBaseUrl, PrivateAddress, BadReach, BrokenCatalog; then nothing has changed.
    """
    moment = now or timezone.now()
    slug = slugify(name)
    if not slug or not models:
        msg = "a provider needs a name with letters or digits, and at least one model"
        raise BadModel(msg)
    url = check_base_url(base_url, allow_private=allow_private)
    with transaction.atomic():
        hold_catalog_lock()
        if Provider.objects.filter(slug=slug, origin=Origin.DATA).exists():
            msg = f"{slug} is a provider of the catalog; change it with set_provider {slug}"
            raise NameTaken(msg)
        like = reach.like or Provider.objects.filter(slug=slug).values_list("like", flat=True).first() or ""
        defaults = {
            "origin": Origin.OPERATOR,
            "name": name,
            "kind": OWN,
            "base_url": url,
            "protocol": PROTOCOL_OF[dialect],
            "auth": _auth(dialect, like) if api_key else "none",
            "allow_private_address": allow_private,
            "withdrawn_at": None,
        }
        provider, created = Provider.objects.update_or_create(slug=slug, defaults=defaults)
        if reach:
            change_reach(provider, reach)
        if api_key:
            store_key(provider=provider, api_key=api_key, by=by)
        wanted = [put_model(entry, provider, now=moment) for entry in models]
        append_changes(wanted, markups=read_book(), now=moment)
        action: audit.Action = "provider.added" if created else "provider.updated"
        audit.record(
            organization_id=None, by=by, action=action, target=slug, detail={"base_url": url, "models": [one.id for one in models]}
        )
        publication.publish(now=moment)
    return provider, current_hosting(provider)


def _auth(dialect: Dialect, like: str) -> str:
    if like == "azure":
        return "api-key"
    own = {"messages": "x-api-key", "gemini": "query-key", "elevenlabs": "xi-api-key", "deepgram": "token"}
    return own.get(dialect, "bearer")
