from collections.abc import Callable

import pytest

from accounts import organizations
from accounts.models import Organization, User


@pytest.fixture
def make_organization(db: None) -> Callable[[str], tuple[Organization, User]]:
    """Return an organization and its owner, whose address is made of the given word."""

    def make(word: str) -> tuple[Organization, User]:
        owner = User.objects.create_user(f"{word}@example.com", "correct horse battery")
        return organizations.create(name=word.title(), owner=owner), owner

    return make
