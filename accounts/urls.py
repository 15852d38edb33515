"""Addresses of organizations."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("organizations/new", views.create_organization, name="create_organization"),
    path("organizations/<slug:public_id>/choose", views.choose_organization, name="choose_organization"),
]
