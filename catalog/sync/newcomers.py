"""A model that a source lists and the catalog does not have: remembered as it was offered, and written down when a person says so."""

import datetime as dt
import re
from typing import Any, Final

import msgspec

from catalog.files import PriceEntry
from catalog.markup_rules import read_book
from catalog.models import Endpoint, Model, PriceProposal, Provider
from catalog.own_providers import BadModel, OwnModel, put_model
from catalog.prices import append_changes
from catalog.sync.offers import Offer
from catalog.sync.price_block import block_of

# What every chat model can do; what else a new one can is for the operator to add.
_SAFE_PARAMETERS: Final = ["max_tokens", "stop", "temperature", "top_p"]
_NOT_IN_SLUGS: Final = re.compile(r"[^a-z0-9._:-]+")


class NotAddable(ValueError):
    """What is new cannot be added from what the source says; the message says what is missing."""


def offered(offer: Offer | None) -> dict[str, Any]:
    """Return what a proposal remembers of an offer."""
    if offer is None:
        return {}
    return {"price": block_of(offer.card), "context_length": offer.context_length, "max_output_tokens": offer.max_output_tokens}


def add(proposal: PriceProposal, *, now: dt.datetime) -> Endpoint:
    """Write the endpoint, its price and, where the catalog does not have it, its model. Does not publish. Raises: NotAddable."""
    provider = Provider.objects.get(slug=proposal.provider)
    known = _find_model(proposal.key)
    if known is not None and known.type != "chat":
        msg = f"{known.slug} is no chat model: its endpoint must be written into the data files"
        raise NotAddable(msg)
    slug = known.slug if known else _new_slug(proposal)
    if Endpoint.objects.filter(slug=f"{slug}@{provider.slug}").exists():
        msg = f"{slug} is at {provider.slug} already, under another name or switched off"
        raise NotAddable(msg)
    entry = OwnModel(
        id=slug,
        provider_model_id=proposal.key,
        name=proposal.name,
        context_length=proposal.offered.get("context_length"),
        max_output_tokens=proposal.offered.get("max_output_tokens"),
        input_modalities=list(known.input_modalities) if known else ["text"],
        supported_parameters=list(known.supported_parameters) if known else _SAFE_PARAMETERS,
        price=msgspec.convert(proposal.offered.get("price", {}), PriceEntry),
    )
    source = {"data_set": proposal.run.source, "key": proposal.key, "date": proposal.run.started_at.date().isoformat()}
    try:
        wanted = put_model(entry, provider, now=now, source=source)
    except BadModel as error:
        raise NotAddable(str(error)) from error
    append_changes([wanted], markups=read_book(), now=now)
    return Endpoint.objects.get(pk=wanted.endpoint_id)


def _find_model(key: str) -> Model | None:
    """Return the model that the source means: of this id, or the only one whose id ends in it."""
    name = key.lower()
    found = Model.objects.filter(slug=name) if "/" in name else Model.objects.filter(slug__endswith=f"/{name}")
    models = list(found[:2])
    return models[0] if len(models) == 1 else None


def _new_slug(proposal: PriceProposal) -> str:
    author, slash, name = proposal.key.lower().rpartition("/")
    cleaned = _NOT_IN_SLUGS.sub("-", name).strip("-")
    return f"{_NOT_IN_SLUGS.sub('-', author).strip('-') if slash else proposal.provider}/{cleaned}"
