"""The management API, included under /api/v1/. The data plane's paths never arrive here."""

from django.urls import path, re_path

from gateway.api.credits import Credits
from gateway.api.generation import GenerationDetail
from gateway.api.key import CurrentKey
from gateway.api.keys import KeyDetail, KeyList
from gateway.api.prices import JsonFeed, PriceHistory
from gateway.api.receipts import SignedReceipt
from gateway.api.views import UnknownPath

# A slash at the end is forgiven, as the data plane forgives it.
urlpatterns = [
    re_path(r"^key/?$", CurrentKey.as_view(), name="api_key"),
    re_path(r"^auth/key/?$", CurrentKey.as_view(), name="api_auth_key"),
    re_path(r"^keys/?$", KeyList.as_view(), name="api_keys"),
    re_path(r"^keys/(?P<key_hash>[^/]+)/?$", KeyDetail.as_view(), name="api_key_detail"),
    re_path(r"^credits/?$", Credits.as_view(), name="api_credits"),
    re_path(r"^generation/?$", GenerationDetail.as_view(), name="api_generation"),
    re_path(r"^receipts/(?P<generation>[^/]+)/?$", SignedReceipt.as_view(), name="api_receipt"),
    re_path(r"^prices/(?P<author>[^/]+)/(?P<slug>[^/]+)/history/?$", PriceHistory.as_view(), name="api_price_history"),
    path("feed.json", JsonFeed.as_view(), name="api_feed"),
    # Must stay last.
    re_path(r"", UnknownPath.as_view()),
]
