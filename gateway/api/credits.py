"""GET /api/v1/credits: what the organization ever bought and used; the balance is the difference."""

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from billing import queries
from gateway.api.views import ApiView
from gateway.drf import ManagementKeyOnly, Usd, organization_of


class Credits(ApiView):
    """For management keys."""

    permission_classes = (IsAuthenticated, ManagementKeyOnly)

    def get(self, request: Request) -> Response:
        """Show both totals, exact at the moment of asking."""
        organization = organization_of(request)
        totals = {
            "total_credits": Usd(queries.total_credits_nanos(organization)),
            "total_usage": Usd(queries.total_usage_nanos(organization)),
        }
        return Response({"data": totals})
