"""Which address of a provider's name is connected to."""

import asyncio

from tests.gateway.relay.test_upstream import OK, ask, provider_with


async def test_the_next_address_of_a_name_is_tried_when_one_is_dead(monkeypatch):
    async with provider_with([OK]) as (provider, client):
        port = int(provider.url.split(":")[2].split("/")[0])
        provider.url = provider.url.replace("127.0.0.1", "provider.test")

        async def two_addresses(*_, **__):
            return [(2, 1, 6, "", ("127.0.0.2", port)), (2, 1, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two_addresses)
        assert (await ask(client, provider)).body == b"hello"
