import asyncio
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser

from accounts.models import Organization, User
from gateway import live
from gateway.live import ActivityConsumer

ACCEPTED = {"type": "websocket.accept", "subprotocol": None}
ACTIVITY = {"type": "websocket.send", "text": "activity"}


def _socket_of(person: Any) -> ApplicationCommunicator:
    return ApplicationCommunicator(ActivityConsumer.as_asgi(), {"type": "websocket", "path": "/ws/live", "user": person, "session": {}})


async def _answer_to_connect(socket: ApplicationCommunicator) -> dict[str, Any]:
    await socket.send_input({"type": "websocket.connect"})
    answer = await socket.receive_output(timeout=5)
    return {"type": answer["type"], "subprotocol": answer.get("subprotocol")}


async def _disconnect(socket: ApplicationCommunicator) -> None:
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait(timeout=5)


@pytest.mark.django_db(transaction=True)
async def test_a_page_hears_of_its_own_organization_only(owner: User, organization: Organization, stranger: User) -> None:
    mine, theirs = _socket_of(owner), _socket_of(stranger)
    assert [await _answer_to_connect(socket) for socket in (mine, theirs)] == [ACCEPTED, ACCEPTED]

    await asyncio.to_thread(live.notify, [organization.pk, organization.pk])

    assert await mine.receive_output(timeout=5) == ACTIVITY
    assert await theirs.receive_nothing(timeout=0.3) is True
    for socket in (mine, theirs):
        await _disconnect(socket)


@pytest.mark.django_db(transaction=True)
async def test_others_reach_the_page_by_the_name_of_the_group(owner: User, organization: Organization) -> None:
    socket = _socket_of(owner)
    await _answer_to_connect(socket)

    await get_channel_layer().group_send(f"org-{organization.pk}", {"type": "activity.changed"})

    assert await socket.receive_output(timeout=5) == ACTIVITY
    await _disconnect(socket)


@pytest.mark.django_db(transaction=True)
async def test_a_visitor_is_turned_away() -> None:
    assert (await _answer_to_connect(_socket_of(AnonymousUser())))["type"] == "websocket.close"


@pytest.mark.django_db(transaction=True)
async def test_organizations_without_an_open_page_are_not_told(
    owner: User, organization: Organization, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def note(groups: list[str]) -> None:
        told.extend(groups)

    monkeypatch.setattr(live, "_send_to_all", note)
    quiet = await Organization.objects.aget(memberships__user=stranger)
    socket = _socket_of(owner)
    await _answer_to_connect(socket)

    await asyncio.to_thread(live.notify, [organization.pk, quiet.pk])

    assert told == [f"org-{organization.pk}"]
    await _disconnect(socket)
