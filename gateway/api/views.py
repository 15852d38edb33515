"""What every view of the management API has in common, and the view of paths that are nothing."""

from typing import Any, NoReturn

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from gateway.drf import JsonNegotiation
from gateway.relay.errors import NotFound


class ApiView(APIView):
    """Base of every management view: never cached, callable from any web page that holds a key, no OPTIONS description."""

    content_negotiation_class = JsonNegotiation
    metadata_class = None
    http_method_names = [  # noqa: RUF012 -- the framework declares it on the instance
        "get",
        "post",
        "patch",
        "delete",
        "head",
        "options",
    ]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer CORS preflights before authentication: browsers send them without the key."""
        if request.method == "OPTIONS":
            return _with_api_headers(self._preflight())
        return super().dispatch(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the headers that every answer of the API carries."""
        return _with_api_headers(super().finalize_response(request, response, *args, **kwargs))

    def _preflight(self) -> HttpResponse:
        response = HttpResponse(status=204)
        response["Access-Control-Allow-Methods"] = ", ".join([*self.allowed_methods])
        response["Access-Control-Allow-Headers"] = "*, authorization"
        response["Access-Control-Max-Age"] = "86400"
        return response


def _with_api_headers(response: Any) -> Any:
    response["Cache-Control"] = "private, no-store"
    response["Access-Control-Allow-Origin"] = "*"
    response["Access-Control-Expose-Headers"] = "x-request-id, retry-after"
    return response


class UnknownPath(ApiView):
    """Everything under /api/v1 that is nothing."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        """Answer 404 to any method. Raises: NotFound."""
        raise NotFound(f"There is nothing at {request.path}", remedy="The API lives under /api/v1.")
