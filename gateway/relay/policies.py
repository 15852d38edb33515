"""An organization's routing policies over a request's own preferences. Pure.

A request may tighten what a policy says and never loosen it: lists of what is allowed are cut with each other, lists of what is not are
added up, the lower price and the stricter data policy hold. Matters of taste (sort, order, thresholds, hedge) are the policy's only where
the request says nothing.
"""

from typing import Any, Final

from accounts.request_rules import Policy, RequestRules
from billing.money import nanos_from_usd
from gateway.dialects.base import Json
from gateway.relay.errors import BadRequest, NoEndpoint, availability
from gateway.relay.preferences import read_preferences

_FIELD: Final = "policy"


def apply_policies(provider: Json, rules: RequestRules) -> Json:
    """Return the request's ``provider`` object under the default policy and the one that it names.

    Raises: BadRequest for a policy that is not there, and for a malformed object; NoEndpoint when the policy leaves nothing of what the
    request allows.
    """
    named = provider.get(_FIELD)
    if named is None and not rules.default_policy:
        return provider
    merged = {name: value for name, value in provider.items() if name != _FIELD}
    read_preferences(merged)  # so that what is merged below has the types that it should
    if named is not None:
        policy = rules.policies.get(named) if isinstance(named, str) else None
        if policy is None:
            raise BadRequest(
                "provider.policy names no active policy of your organization",
                metadata={"param": "provider.policy"},
                remedy="GET /api/v1/policies lists them.",
            )
        merged = merge(merged, policy)
    default = rules.policies.get(rules.default_policy)
    return merged if default is None else merge(merged, default)


def merge(request: Json, policy: Policy) -> Json:
    """Return the request's preferences, which are well formed, under the policy's. Raises: NoEndpoint."""
    rules = policy.provider
    merged: Json = {**rules, **{name: value for name, value in request.items() if value is not None}}
    for name in ("zdr", "enforce_distillable_text", "require_parameters"):
        if rules.get(name):
            merged[name] = True
    if rules.get("data_collection") == "deny":
        merged["data_collection"] = "deny"
    if rules.get("ignore"):
        merged["ignore"] = list(dict.fromkeys([*rules["ignore"], *(request.get("ignore") or ())]))
    for name in ("only", "quantizations"):
        if rules.get(name) and request.get(name):
            merged[name] = _common(request[name], rules[name], name, policy)
    if rules.get("max_price") and request.get("max_price"):
        merged["max_price"] = _lower(request["max_price"], rules["max_price"])
    if merged.get("only") and merged.get("ignore"):
        # An exclusion of the one and an allowance of the other are no contradiction here: what is left is what both allow.
        merged["only"] = [slug for slug in merged["only"] if slug.lower() not in {one.lower() for one in merged["ignore"]}]
        if not merged["only"]:
            raise _nothing_left("only", policy)
    return merged


def _common(asked: list[str], allowed: list[str], name: str, policy: Policy) -> list[str]:
    """Return what both lists name; a base slug covers its variants."""
    ours = {slug.lower() for slug in allowed}
    theirs = {slug.lower() for slug in asked}
    both = [slug for slug in theirs if slug in ours or slug.partition("/")[0] in ours]
    both += [slug for slug in ours if slug.partition("/")[0] in theirs and slug not in both]
    if not both:
        raise _nothing_left(name, policy)
    return sorted(both)


def _lower(asked: Json, allowed: Json) -> Json:
    prices = {name: value for name, value in [*allowed.items(), *asked.items()] if value is not None}
    both = [name for name in prices if allowed.get(name) is not None and asked.get(name) is not None]
    return prices | {name: allowed[name] for name in both if nanos_from_usd(allowed[name]) < nanos_from_usd(asked[name])}


def _nothing_left(name: str, policy: Policy) -> NoEndpoint:
    return NoEndpoint(
        f"The routing policy {policy.slug!r} of your organization allows nothing of what provider.{name} allows.",
        availability=availability("constraint_filtered", retryable=False, models=(), excluded_by=["allowed_providers"]),
        metadata={"param": f"provider.{name}", "policy": policy.slug},
        remedy="Ask an administrator to change the policy, or relax the request.",
    )


def check_policy(provider: Any) -> Json:
    """Return a policy's ``provider`` object if it is well formed and says something. Raises: BadRequest naming the field."""
    if not isinstance(provider, dict) or not provider:
        raise BadRequest("provider must be an object with at least one preference", metadata={"param": "provider"})
    if _FIELD in provider:
        raise BadRequest("a policy cannot name another one", metadata={"param": "provider.policy"})
    read_preferences(provider)
    return provider
