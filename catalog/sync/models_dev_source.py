"""Reads models.dev: its ``api.json``, or a checkout of its repository (``providers/<provider>/models/**/<model>.toml``)."""

import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import msgspec

from catalog.sync.offers import Offer, UnreadableSource, make_tiers, picos_per_token
from catalog.types import RateCard

_KEYS: Final[Mapping[str, str]] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
    "input_audio": "audio_input_tokens",
    "output_audio": "audio_output_tokens",
}
_BYTES_MAX: Final = 64 * 1024 * 1024
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    try:
        return Decimal(value)
    except InvalidOperation:
        return None


def _rates(cost: Mapping[str, Any]) -> tuple[dict[str, int], list[str]]:
    rates, unread = {}, []
    for name, meter in _KEYS.items():
        if name not in cost:
            continue
        usd = _decimal(cost[name])
        picos = None if usd is None else picos_per_token(usd)
        if picos is None:
            unread.append(name)
        else:
            rates[meter] = picos
    return rates, unread


def _offer(provider: str, key: str, model: Mapping[str, Any]) -> Offer:
    cost = model.get("cost") or {}
    rates, unread = _rates(cost)
    steps = []
    for tier in cost.get("tiers") or ():
        edge = _decimal(tier.get("tier", {}).get("size"))
        if edge is None:
            unread.append("tiers")
            continue
        tier_rates, tier_unread = _rates(tier)
        unread += tier_unread
        steps += [(int(edge), meter, picos) for meter, picos in tier_rates.items()]
    limit = model.get("limit") or {}
    context, output = _decimal(limit.get("context")), _decimal(limit.get("output"))
    return Offer(
        provider=provider,
        key=key,
        name=str(model.get("name") or key),
        card=RateCard(rates=rates, tiers=make_tiers(steps)),
        context_length=int(context) if context else None,
        max_output_tokens=int(output) if output else None,
        deprecated=model.get("status") == "deprecated",
        unread=tuple(unread),
    )


def _read_file(path: Path) -> Iterator[Offer]:
    for provider, facts in _decode(path.read_bytes()).items():
        for key, model in facts["models"].items():
            yield _offer(provider, key, model)


def _read_checkout(path: Path) -> Iterator[Offer]:
    found = sorted((path / "providers").glob("*/models/**/*.toml"))
    if not found:
        msg = f"{path} has no providers/*/models/*.toml: is it a checkout of models.dev?"
        raise UnreadableSource(msg)
    for file in found:
        parts = file.relative_to(path / "providers").parts
        with file.open("rb") as opened:
            model = tomllib.load(opened, parse_float=Decimal)
        yield _offer(parts[0], "/".join(parts[2:]).removesuffix(".toml"), model)


def read_models_dev(path: Path) -> list[Offer]:
    """Return every offer in a file or checkout. Raises: UnreadableSource; then nothing is read."""
    try:
        if path.is_dir():
            return list(_read_checkout(path))
        if path.stat().st_size > _BYTES_MAX:
            msg = f"{path} is larger than {_BYTES_MAX:,} bytes"
            raise UnreadableSource(msg)
        return list(_read_file(path))
    except (OSError, msgspec.MsgspecError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        msg = f"{path}: {error}"
        raise UnreadableSource(msg) from error
