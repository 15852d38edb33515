"""A routing policy before it is used: whether it can be kept, and what it would have done to an organization's latest requests.

Joins the catalog, the receipts and the policies in force, for the API and the pages alike.
"""

from typing import Any, Final

from accounts import presets
from accounts.models import Organization
from accounts.request_rules import Policy
from billing import queries as billing_queries
from gateway.dialects.base import Json
from gateway.relay.errors import Unavailable
from gateway.relay.policies import check_policy
from gateway.relay.preferences import check_slugs, read_preferences
from gateway.relay.simulation import Simulation, simulate
from gateway.relay_settings import published_view

REQUESTS: Final = 200
REQUESTS_MAX: Final = 1_000


def checked_policy(provider: Any) -> Json:
    """Return a policy's ``provider`` object if requests could be made under it. Raises: BadRequest naming the field.

    A provider that nobody knows is refused here, where one person reads it, and not at every request.
    """
    checked = check_policy(provider)
    view = published_view()
    if view is not None:
        check_slugs(read_preferences(checked), view)
    return checked


def try_policy(organization: Organization, policy: Policy, *, count: int = REQUESTS) -> Simulation:
    """Return what the policy, in place of the default one, would have done to the latest ``count`` requests. Raises: Unavailable."""
    view = published_view()
    if view is None:
        raise Unavailable("The catalog is not loaded yet.", retry_after_s=1)
    rules = presets.rules_of(organization)
    before = rules.policies.get(rules.default_policy)
    events = billing_queries.latest_requests(organization, limit=count)
    return simulate(view.of(organization.pk), events, policy, before=before)
