"""The control plane's table of contents."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("operator/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
]
