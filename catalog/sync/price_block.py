"""Rates back into the price block of a data file, so that an applied price reads as a reviewed one. Pure."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

from catalog.cards import TOKEN_NAMES, UNIT_NAMES, usd_from_picos
from catalog.sync.comparison import Move
from catalog.types import RateCard

_TOKEN_NAME_OF: Final = {meter: name for name, meter in TOKEN_NAMES.items()}
_UNIT_NAME_OF: Final = {meter: name for name, meter in UNIT_NAMES.items()}
_MILLION: Final = 1_000_000


def block_of(card: RateCard) -> dict[str, Any]:
    """Return the price block that says what a source's card says: base rates and tiers by length."""
    units = {_UNIT_NAME_OF[meter]: usd_from_picos(picos) for meter, picos in card.rates.items() if meter in _UNIT_NAME_OF}
    tiers = [{"above_prompt_tokens": tier.min_prompt_tokens, "usd_per_million_tokens": _tokens(tier.rates)} for tier in card.tiers]
    return {"usd_per_million_tokens": _tokens(card.rates), "usd_per_unit": units, "tiers": tiers}


def _tokens(rates: Mapping[str, int]) -> dict[str, str]:
    return {_TOKEN_NAME_OF[meter]: usd_from_picos(picos, per=_MILLION) for meter, picos in rates.items() if meter in _TOKEN_NAME_OF}


def with_moves(listed: dict[str, Any], moves: Iterable[Move]) -> dict[str, Any]:
    """Return the price block ``listed`` with the moved rates. What a move names is there: both sides had a rate for it, or its fallback."""
    block = copy.deepcopy(listed)
    for move in moves:
        if move.edge:
            tier = next(one for one in block["tiers"] if one["above_prompt_tokens"] == move.edge)
            tier["usd_per_million_tokens"][_TOKEN_NAME_OF[move.meter]] = usd_from_picos(move.after, per=_MILLION)
        elif move.meter in _TOKEN_NAME_OF:
            block.setdefault("usd_per_million_tokens", {})[_TOKEN_NAME_OF[move.meter]] = usd_from_picos(move.after, per=_MILLION)
        else:
            block.setdefault("usd_per_unit", {})[_UNIT_NAME_OF[move.meter]] = usd_from_picos(move.after)
    return block
