"""Reads a provider's own list of models over HTTP, with its key, from the address that was checked and from no other."""

import ipaddress
import socket
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from catalog.addresses import BadBaseUrl, check_base_url
from catalog.sync.offers import Offer, UnreadableSource, picos_per_unit
from catalog.types import RateCard

# OpenRouter's names, which several hosts use: dollars per token as text.
_PRICES: Final[Mapping[str, str]] = {
    "prompt": "input_tokens",
    "completion": "output_tokens",
    "input_cache_read": "cache_read_tokens",
    "input_cache_write": "cache_write_tokens",
    "internal_reasoning": "reasoning_tokens",
    "request": "requests",
}
_TIMEOUT: Final = httpx.Timeout(20.0, connect=5.0)
_BYTES_MAX: Final = 20 * 1024 * 1024
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def _pin(url: str, *, allow_private: bool) -> tuple[httpx.URL, str]:
    """Return the URL with the address in place of the name, and the name. Raises: UnreadableSource.

    The name is resolved once, here: what is connected to is what was checked, whatever the name says a moment later.
    """
    try:
        parts = urlsplit(check_base_url(url, allow_private=allow_private))
    except BadBaseUrl as error:
        raise UnreadableSource(str(error)) from error
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or (443 if parts.scheme == "https" else 80), proto=socket.IPPROTO_TCP)
    except OSError as error:
        msg = f"{host} has no address: {error}"
        raise UnreadableSource(msg) from error
    address = str(found[0][4][0])
    if not allow_private and not ipaddress.ip_address(address).is_global:
        msg = f"{host} leads to {address}, which is on this machine or a private network"
        raise UnreadableSource(msg)
    return httpx.URL(url).copy_with(host=address), host


def _fetch(url: str, headers: Mapping[str, str], *, allow_private: bool) -> bytes:
    pinned, host = _pin(url, allow_private=allow_private)
    named = httpx.URL(url)
    authority = named.netloc.decode("ascii")
    extensions = {"sni_hostname": host}  # the certificate must be that of the name
    body = bytearray()
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", pinned, headers={**headers, "Host": authority}, extensions=extensions) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                msg = f"{url} answered {answer.status_code}"
                raise UnreadableSource(msg)
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > _BYTES_MAX:
                    msg = f"{url} answered more than {_BYTES_MAX:,} bytes"
                    raise UnreadableSource(msg)
    except httpx.HTTPError as error:
        msg = f"{url} cannot be read: {type(error).__name__}"
        raise UnreadableSource(msg) from error
    return bytes(body)


def _rates(pricing: object) -> tuple[dict[str, int], tuple[str, ...]]:
    rates, unread = {}, []
    if not isinstance(pricing, Mapping):
        return {}, ()
    for name, meter in _PRICES.items():
        if pricing.get(name) in {None, ""}:
            continue
        try:
            picos = picos_per_unit(Decimal(str(pricing[name])))
        except InvalidOperation:
            picos = None
        if picos is None:
            unread.append(name)
        else:
            rates[meter] = picos
    return rates, tuple(unread)


def _offers(provider: str, rows: list[Any]) -> list[Offer]:
    offers = []
    for row in rows:
        if not isinstance(row, Mapping) or not isinstance(row.get("id"), str):
            msg = f"{provider}: a row of its list has no id"
            raise UnreadableSource(msg)
        rates, unread = _rates(row.get("pricing"))
        context = row.get("context_length")
        offers.append(
            Offer(
                provider=provider,
                key=row["id"],
                name=str(row.get("name") or row["id"]),
                card=RateCard(rates=rates),
                context_length=context if isinstance(context, int) else None,
                unread=unread,
            ),
        )
    return offers


def read_provider_list(*, slug: str, base_url: str, headers: Mapping[str, str], allow_private: bool) -> list[Offer]:
    """Return what ``GET <base_url>/models`` lists; offers without rates where it has no prices. Raises: UnreadableSource."""
    body = _fetch(f"{base_url.rstrip('/')}/models", headers, allow_private=allow_private)
    try:
        answer = _decode(body)
    except msgspec.MsgspecError as error:
        msg = f"{slug}: its list is not JSON: {error}"
        raise UnreadableSource(msg) from error
    rows = answer.get("data") if isinstance(answer, dict) else answer
    if not isinstance(rows, list):
        msg = f"{slug}: its list has no array of models"
        raise UnreadableSource(msg)
    return _offers(slug, rows)
