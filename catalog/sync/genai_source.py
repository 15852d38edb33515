"""Reads an installed ``genai-prices`` package: prices of the labs and of many hosts, checked by people."""

import datetime as dt
import importlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from catalog.sync.offers import Offer, UnreadableSource, make_tiers, picos_per_unit
from catalog.types import RateCard

# Their price key → our meter, and units per price.
_KEYS: Final[Mapping[str, tuple[str, int]]] = {
    "input_mtok": ("input_tokens", 1_000_000),
    "output_mtok": ("output_tokens", 1_000_000),
    "cache_read_mtok": ("cache_read_tokens", 1_000_000),
    "cache_write_mtok": ("cache_write_tokens", 1_000_000),
    "cache_write_1h_mtok": ("cache_write_1h_tokens", 1_000_000),
    "input_audio_mtok": ("audio_input_tokens", 1_000_000),
    "output_audio_mtok": ("audio_output_tokens", 1_000_000),
    "input_image_mtok": ("image_input_tokens", 1_000_000),
    "output_image_mtok": ("image_output_tokens", 1_000_000),
    "output_reasoning_mtok": ("reasoning_tokens", 1_000_000),
    "requests_kcount": ("requests", 1_000),
    "web_searches_kcount": ("searches", 1_000),
    "rerank_searches_kcount": ("searches", 1_000),
    "input_mchars": ("characters", 1_000_000),
    "input_document_kpages": ("pages", 1_000),
    "audio_hours": ("seconds", 3_600),
    "input_audio_hours": ("seconds", 3_600),
}


def read_card(price: Any) -> tuple[RateCard, tuple[str, ...]]:
    """Return a ``genai_prices.types.ModelPrice`` as a rate card, and the keys that have no meter here."""
    rates: dict[str, int] = {}
    steps: list[tuple[int, str, int]] = []
    unread = []
    for key, value in vars(price).items():
        if value is None:
            continue
        meter, per = _KEYS.get(key, ("", 1))
        base = value if isinstance(value, Decimal) else value.base
        tiers = () if isinstance(value, Decimal) else tuple(value.tiers)
        picos = [picos_per_unit(one, per) for one in (base, *(tier.price for tier in tiers))]
        if not meter or None in picos:
            unread.append(key)
            continue
        whole = [one for one in picos if one is not None]
        rates[meter] = whole[0]
        steps += [(tier.start, meter, rate) for tier, rate in zip(tiers, whole[1:], strict=True)]
    return RateCard(rates=rates, tiers=make_tiers(steps)), tuple(unread)


def read_genai_prices(*, at: dt.datetime) -> list[Offer]:
    """Return every offer of the installed package at ``at``. Raises: UnreadableSource if it is not installed."""
    try:
        data = importlib.import_module("genai_prices.data")
    except ImportError as error:
        msg = "genai-prices is not installed: pip install genai-prices"
        raise UnreadableSource(msg) from error
    offers = []
    for provider in data.providers:
        for model in provider.models:
            card, unread = read_card(model.get_prices(at))
            offers.append(
                Offer(
                    provider=provider.id,
                    key=model.id,
                    name=model.name or model.id,
                    card=card,
                    context_length=model.context_window,
                    deprecated=bool(model.deprecated),
                    unread=unread,
                ),
            )
    return offers
