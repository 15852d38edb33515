"""Who may see the operator's pages of the books."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from accounts.models import User

P = ParamSpec("P")


def operator_of(request: HttpRequest) -> User | None:
    """Return the operator who is signed in, if it is one."""
    user = request.user
    return user if isinstance(user, User) and user.is_staff and user.is_active else None


def operator_required(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let operators pass. To others the page does not exist; whoever is not signed in is asked to."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if operator_of(request) is not None:
            return view(request, *args, **kwargs)
        if request.user.is_authenticated:
            raise Http404
        return redirect(f"{reverse('account_login')}?{urlencode({'next': request.get_full_path()})}")

    return guarded
