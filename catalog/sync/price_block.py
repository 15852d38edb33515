"""Rates back into the price block of a data file, so that an applied price reads as a reviewed one. Pure."""

import copy
from collections.abc import Iterable
from typing import Any, Final

from catalog.cards import TOKEN_NAMES, UNIT_NAMES, usd_from_picos
from catalog.sync.comparison import Move

_TOKEN_NAME_OF: Final = {meter: name for name, meter in TOKEN_NAMES.items()}
_UNIT_NAME_OF: Final = {meter: name for name, meter in UNIT_NAMES.items()}
_MILLION: Final = 1_000_000


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
