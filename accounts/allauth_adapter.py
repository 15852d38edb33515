"""How sign-up and login differ from allauth's defaults."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.db import transaction
from django.http import HttpRequest

from accounts import organizations
from accounts.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Makes a personal organization together with the person: neither exists without the other."""

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:  # noqa: FBT001, FBT002 -- allauth's signature
        """Store the person and the organization in one transaction."""
        with transaction.atomic():
            saved: User = super().save_user(request, user, form, commit=commit)
            if commit:
                organizations.create_personal(user=saved)
        return saved

    def clean_email(self, email: str) -> str:
        """Return the address in lower case, as ``User.email`` is stored."""
        cleaned: str = super().clean_email(email)
        return cleaned.lower()

    def format_email_subject(self, subject: str) -> str:
        """Return the subject with the product's name before it, whatever host it is sent from."""
        return f"Tollway: {subject}"
