"""One try at one endpoint: what is sent, how a failure is classified, and what the caller is told when nothing worked."""

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple

from gateway.dialects.base import ChatRequest, InvalidRequest, UpstreamCall, UpstreamDialect, UpstreamFault
from gateway.dialects.registry import choose_dialect, fit_tools
from gateway.providers.addresses import address_of
from gateway.providers.auth import NotReady, auth_headers
from gateway.relay.catalog import Candidate
from gateway.relay.errors import ApiError, ProviderFailed
from gateway.relay.generation import Generation
from gateway.relay.types import HoldPlan
from gateway.relay.upstream import Target, UpstreamDown, aim

_JSON_HEADERS: Final = {"content-type": "application/json"}
LARGE_BYTES = 256 * 1024  # bodies from here on are read, written and signed beside the loop
# The request itself is at fault: another endpoint of the same model would say the same.
_CALLERS_FAULT = frozenset({400, 413, 422})
# Refusals that another endpoint, with another window or policy, may not share.
_MAY_FIT_ELSEWHERE = frozenset({"context_length_exceeded", "content_policy_violation"})
# Our credential, our contract, or the provider's own trouble: the caller has no part in it.
_MASKED = frozenset({401, 402, 403, 404})
# A word of ours: this endpoint's wire format has no way to say what the request says.
_NOT_EXPRESSIBLE = "not_expressible"
_OURS = "the provider refused the operator's credential or account"


class Call(NamedTuple):
    """A request ready to be sent upstream."""

    dialect: UpstreamDialect
    target: Target
    body: bytes
    dropped: tuple[str, ...]


class _Ahead(NamedTuple):
    candidate: Candidate
    secret: str
    call: Call


def prepare_ahead(generation: Generation, candidate: Candidate, plan: HoldPlan) -> None:
    """Make the call to the candidate while its hold is under way, so that ``prepare_call`` finds it ready. What fails here fails there."""
    generation.ahead = None
    if candidate.host.is_balanced or is_large(generation):
        return  # which credential will be used is not known yet; large bodies are written beside the loop
    secret = candidate.host.credential
    with suppress(Exception):
        generation.ahead = _Ahead(candidate, secret, _prepare(generation.request, candidate, secret, plan.cap_tokens))


def prepare_call(generation: Generation, candidate: Candidate, secret: str) -> Call:
    """Return what is sent to the candidate, in its dialect and with that credential.

    Raises: InvalidRequest for what the dialect cannot express, UpstreamDown when nothing authenticates us there now.
    """
    ahead: _Ahead | None = generation.ahead
    generation.ahead = None
    if ahead is not None and ahead.candidate is candidate and ahead.secret == secret:
        return ahead.call
    return _prepare(generation.request, candidate, secret, generation.plan.cap_tokens if generation.plan else None)


def _prepare(request: ChatRequest, candidate: Candidate, secret: str, cap_tokens: int | None) -> Call:
    form = request.kind, request.native_dialect
    dialect = candidate.dialects.get(form)
    if dialect is None:
        dialect = choose_dialect(request, candidate.endpoint, candidate.host.spec, simulated=candidate.host.simulated)
        candidate.dialects[form] = dialect
    if request.opaque and getattr(dialect, "native", "") != request.native_dialect:
        raise InvalidRequest(f"{request.opaque} can only be sent to providers that speak the same wire format.", request.opaque)
    request, lost = fit_tools(request, candidate.endpoint, candidate.host.spec) if request.has_custom else (request, ())
    call = dialect.encode_request(
        request,
        candidate.endpoint,
        candidate.host.spec,
        stream=request.stream,
        max_tokens=cap_tokens,
    )
    dropped = lost + call.dropped
    if dropped and request.provider.get("require_parameters") is True:
        name = dropped[0]
        raise InvalidRequest(f"{name} would be left out for this model's provider, and provider.require_parameters forbids that.", name)
    return Call(dialect, _target_of(candidate, call, secret), call.body, dropped)


def _target_of(candidate: Candidate, call: UpstreamCall, secret: str) -> Target:
    spec, host = candidate.host.spec, candidate.host
    signer = host.signers.get(secret)
    is_plain = signer is None and not call.query and (not call.headers or call.headers == _JSON_HEADERS)
    if is_plain and (target := candidate.targets.get((call.path, secret))) is not None:
        return target
    headers = {**_JSON_HEADERS, **call.headers, **auth_headers(spec, secret), **host.headers}
    url = address_of(spec, host.base_url, path=call.path, query=call.query, model=candidate.endpoint.provider_model_id)
    if signer is not None:
        try:
            headers |= signer.headers(url, headers, call.body)
        except NotReady as error:
            raise UpstreamDown("connect", str(error), sent=False) from error
    target = aim(url, headers, is_public_only=host.is_public_only)
    if is_plain:
        candidate.targets[call.path, secret] = target
    return target


async def prepare_large(generation: Generation, candidate: Candidate, secret: str) -> Call:
    """Do what ``prepare_call`` does, beside the loop: signing megabytes takes as long as a hundred requests."""
    return await asyncio.to_thread(prepare_call, generation, candidate, secret)


def is_large(generation: Generation) -> bool:
    """Whether a call is to be prepared beside the loop."""
    return generation.request.body_bytes >= LARGE_BYTES


def fault_from_down(down: UpstreamDown, provider: str) -> UpstreamFault:
    """Turn a broken connection into the same shape as an error answer."""
    timeout = down.kind == "timeout"
    return UpstreamFault(
        status=504 if timeout else 502,
        message=f"{provider}: {down}",
        code=down.kind,
        error_type="timeout" if timeout else "provider_unavailable",
        retryable=True,
        retry_after_s=None,
    )


def fault_from_refusal(refusal: InvalidRequest) -> UpstreamFault:
    """Turn what an endpoint's wire format cannot express into the same shape as an error answer; another endpoint's may."""
    return UpstreamFault(
        status=400, message=refusal.message, code=_NOT_EXPRESSIBLE, error_type="invalid_request", retryable=False, upstream_status=400
    )


def may_try_next(fault: UpstreamFault) -> bool:
    """Whether another endpoint may do better."""
    return fault.status not in _CALLERS_FAULT or fault.code == _NOT_EXPRESSIBLE or fault.error_type in _MAY_FIT_ELSEWHERE


def error_from(faults: list[tuple[Candidate, UpstreamFault]]) -> ApiError:
    """Return what the caller is told when every try failed: the last reason, its provider, and the earlier ones.

    A refusal of our own credential or account is masked: it is ours to mend, and names nothing the caller could use.
    """
    candidate, fault = faults[-1]
    name = candidate.host.spec.name
    masked = fault.upstream_status in _MASKED
    status = 502 if masked or fault.status < 400 else fault.status  # noqa: PLR2004 -- HTTP
    metadata: dict[str, object] = {"provider_name": name, "model_slug": candidate.endpoint.model}
    if fault.code and not masked:
        metadata["provider_code"] = fault.code
    if len(faults) > 1:
        metadata["previous_errors"] = [
            {
                "provider": one.host.spec.name,
                "code": earlier.status,
                "message": _OURS if earlier.upstream_status in _MASKED else earlier.message,
            }
            for one, earlier in faults[:-1]
        ]
    hints = [earlier.retry_after_s for _, earlier in faults]
    retry_after = min((hint for hint in hints if hint is not None), default=None) if all(hint is not None for hint in hints) else None
    return ProviderFailed(
        f"{name}: {_OURS}" if masked else f"{name}: {fault.message}" if not fault.message.startswith(name) else fault.message,
        status=status,
        error_type="provider_unavailable" if masked else fault.error_type,
        retryable=fault.retryable and not masked,
        retry_after_s=retry_after,
        metadata=metadata,
        remedy="" if fault.status in _CALLERS_FAULT else "Try again, or allow other providers or models (provider, models).",
    )
