"""Live pages: one websocket group per organization, and a message that says only that something happened there.

The message carries no data. The page fetches its fragments again through the ordinary views, which check who is asking, and polls
slowly in any case: a lost message costs a few seconds, never a wrong figure.
"""

from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.core.cache import cache
from django.urls import path

from accounts.middleware import find_membership

_CLOSE_NOT_ALLOWED = 4403
_ACTIVITY = {"type": "activity.changed"}
_LISTENED_FOR_S = 86_400  # as long as Channels keeps a page in its group


def group_name(org_id: int) -> str:
    """Return the channel group of an organization. Settlement sends to it by this name without importing this module."""
    return f"org-{org_id}"


def notify(org_ids: Iterable[int]) -> None:
    """Tell every open page of these organizations to look again. Synchronous: for Django and Celery."""
    # Settlement names every organization that spends, every second. Most have no page open, and one question tells which.
    listened = cache.get_many([_listened_key(group_name(org_id)) for org_id in set(org_ids)])
    if listened:
        async_to_sync(_send_to_all)(sorted(listened.values()))


def _listened_key(group: str) -> str:
    return f"live-listened:{group}"


async def _send_to_all(groups: list[str]) -> None:
    layer = get_channel_layer()
    # One after the other: settlement may name hundreds at once, and the layer's connections are few.
    for group in groups:
        await layer.group_send(group, _ACTIVITY)


class ActivityConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Sends 'activity' whenever something happened in the organization the session works in; closes the door to strangers."""

    group: str | None = None

    async def connect(self) -> None:
        """Join the organization's group."""
        user = self.scope["user"]
        membership = None
        if user.is_authenticated:
            # The session and the lazy user both read the database.
            membership = await database_sync_to_async(lambda: find_membership(user=user, session=self.scope["session"]))()
        if membership is None:
            await self.close(code=_CLOSE_NOT_ALLOWED)
            return
        self.group = group_name(membership.organization_id)
        await cache.aset(_listened_key(self.group), self.group, timeout=_LISTENED_FOR_S)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 -- Channels' signature
        """Leave the group."""
        if self.group is not None:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def activity_changed(self, event: dict[str, Any]) -> None:  # noqa: ARG002 -- the message has no content
        """Pass the news on."""
        await self.send(text_data="activity")


websocket_urlpatterns = [path("ws/live", ActivityConsumer.as_asgi())]
