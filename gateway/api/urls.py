"""The management API, included under /api/v1/. The data plane's paths never arrive here."""

from django.urls import path, re_path

from gateway.api.credits import Credits
from gateway.api.generation import GenerationDetail
from gateway.api.key import CurrentKey
from gateway.api.keys import KeyDetail, KeyList
from gateway.api.policies import PolicyDetail, PolicyList, PolicySimulation, PolicyVersions
from gateway.api.presets import PresetDetail, PresetFromRequest, PresetList, PresetVersion, PresetVersions
from gateway.api.prices import JsonFeed, PriceHistory
from gateway.api.receipts import SignedReceipt
from gateway.api.statements import StatementDetail, StatementList, UsageExport
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
    re_path(r"^presets/?$", PresetList.as_view(), name="api_presets"),
    re_path(r"^presets/(?P<slug>[^/]+)/?$", PresetDetail.as_view(), name="api_preset"),
    re_path(
        r"^presets/(?P<slug>[^/]+)/(?P<api>chat/completions|messages|responses)/?$", PresetFromRequest.as_view(), name="api_preset_from"
    ),
    re_path(r"^presets/(?P<slug>[^/]+)/versions/?$", PresetVersions.as_view(), name="api_preset_versions"),
    re_path(r"^presets/(?P<slug>[^/]+)/versions/(?P<number>[0-9]{1,9})/?$", PresetVersion.as_view(), name="api_preset_version"),
    re_path(r"^policies/?$", PolicyList.as_view(), name="api_policies"),
    re_path(r"^policies/simulate/?$", PolicySimulation.as_view(), name="api_policy_simulation"),
    re_path(r"^policies/(?P<slug>[^/]+)/?$", PolicyDetail.as_view(), name="api_policy"),
    re_path(r"^policies/(?P<slug>[^/]+)/versions/?$", PolicyVersions.as_view(), name="api_policy_versions"),
    re_path(r"^statements/?$", StatementList.as_view(), name="api_statements"),
    re_path(r"^statements/(?P<month>[^/]+)/?$", StatementDetail.as_view(), name="api_statement"),
    re_path(r"^exports/usage/?$", UsageExport.as_view(), name="api_usage_export"),
    re_path(r"^prices/(?P<author>[^/]+)/(?P<slug>[^/]+)/history/?$", PriceHistory.as_view(), name="api_price_history"),
    path("feed.json", JsonFeed.as_view(), name="api_feed"),
    # Must stay last.
    re_path(r"", UnknownPath.as_view()),
]
