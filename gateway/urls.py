"""The control plane's table of contents."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path, re_path

from gateway.api.prices import RssFeed
from gateway.api.receipts import signing_keys
from gateway.api.views import UnknownPath

# The admin's own form counts no failed attempts; operators log in where everybody does, and attempts are limited there.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # as allauth documents it

handler400 = "gateway.pages.site.bad_request"
handler403 = "gateway.pages.site.forbidden"
handler404 = "gateway.pages.site.not_found"
handler500 = "gateway.pages.site.server_error"

urlpatterns = [
    path("api/v1/", include("gateway.api.urls")),
    re_path(r"^api(/|$)", UnknownPath.as_view()),
    path(".well-known/jwks.json", signing_keys, name="signing_keys"),
    path("feed.rss", RssFeed.as_view(), name="feed"),
    path("", include("gateway.pages.urls")),
    path("", include("accounts.urls")),
    path("", include("billing.urls")),
    path("", include("catalog.urls")),
    path("operator/", include("billing.proof.urls")),
    path("operator/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
]
