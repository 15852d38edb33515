"""GET /api/v1/key, and its old path /auth/key: what a key may ask about itself."""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from billing import queries
from gateway.api.key_shapes import current_key_data
from gateway.api.views import ApiView
from gateway.drf import bearer_of


class CurrentKey(ApiView):
    """Either kind of key."""

    def get(self, request: Request) -> Response:
        """Show the key's limit and usage, exact at the moment of asking."""
        api_key = bearer_of(request)
        usage = queries.key_usage(api_key.organization, [api_key])[api_key.pk]
        is_free_tier = queries.total_credits_nanos(api_key.organization) == 0
        return Response({"data": current_key_data(api_key, usage, is_free_tier=is_free_tier, now=timezone.now())})
