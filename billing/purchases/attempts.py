"""One attempt per page: a signed id in the form, which becomes the id of what the form makes. Sent twice, it makes one thing."""

import uuid
from typing import Final

import uuid_utils
from django.core import signing

from accounts.models import Organization

_SALT: Final = "billing.purchases.attempts"
_LIFE_S: Final = 24 * 3600


class StaleAttempt(Exception):
    """The page was open for more than a day, was made for something else, or its id was tampered with. Show it anew."""


def new_id() -> uuid.UUID:
    """Return a time-sortable id."""
    return uuid.UUID(int=uuid_utils.uuid7().int)


def new_attempt(*, organization: Organization, purpose: str) -> str:
    """Return the signed id of one attempt at something, such as 'buy'."""
    return signing.dumps([str(new_id()), organization.pk, purpose], salt=_SALT)


def read_attempt(token: str, *, organization: Organization, purpose: str) -> uuid.UUID:
    """Return the id inside. Raises: StaleAttempt."""
    try:
        attempt, *made_for = signing.loads(token, salt=_SALT, max_age=_LIFE_S)
    except signing.BadSignature as error:
        raise StaleAttempt from error
    if made_for != [organization.pk, purpose]:
        raise StaleAttempt
    return uuid.UUID(attempt)
