"""The models that one caller may use: the catalog's lists without the endpoints that the organization's default policy rules out."""

from collections import OrderedDict
from typing import Final
from weakref import WeakKeyDictionary

from accounts.request_rules import RequestRules
from catalog.listings import Listings
from gateway.relay.catalog import CatalogView
from gateway.relay.policies import apply_policies
from gateway.relay.preferences import NO_PREFERENCES, Preferences, read_preferences
from gateway.relay.routing import refusal_of

_KEPT: Final = 8  # lists of one catalog; one is up to a megabyte
_lists_by_view: WeakKeyDictionary[CatalogView, OrderedDict[Preferences, Listings]] = WeakKeyDictionary()


def preferences_of(rules: RequestRules) -> Preferences:
    """Return what the organization wants of every request. Raises: BadRequest for a policy that cannot be read."""
    return read_preferences(apply_policies({}, rules))


def find_listings(view: CatalogView, wish: Preferences) -> Listings | None:
    """Return the lists of the view under a policy if they were made lately. Quick."""
    if wish == NO_PREFERENCES:
        return vars(view).get("listings")
    return _lists_by_view.get(view, OrderedDict()).get(wish)


def make_listings(view: CatalogView, wish: Preferences) -> Listings:
    """Make and keep the lists of the view under a policy. Takes tens of milliseconds, so a thread is the place for it.

    A model is there with the endpoints that may serve it, so its price is that of the cheapest of these; without any it is left out.
    """
    if wish == NO_PREFERENCES:
        return view.listings
    allowed = {
        candidate.endpoint.id
        for candidates in view.candidates.values()
        for candidate in candidates
        if not refusal_of(candidate, wish, frozenset(), None)
    }
    listings = view.list_without(view.snapshot.endpoints.keys() - allowed)
    kept = _lists_by_view.setdefault(view, OrderedDict())
    kept[wish] = listings
    if len(kept) > _KEPT:
        kept.popitem(last=False)
    return listings
