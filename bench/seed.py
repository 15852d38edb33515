"""Rows for a run, made with the project's own functions: ``python -m bench.seed STATIC_PORT STREAM_PORT``, under Django's settings.

Two real providers of the catalog are pointed at the upstreams of the run, so nothing is simulated. Prints the key as JSON.
"""

import json
import sys

import django

_STATIC = ("openai", "openai/gpt-4o-mini")
_STREAM = ("mistral", "mistralai/mistral-large-2512")
_CREDIT_NANOS = 10_000_000 * 1_000_000_000


def seed(static_port: int, stream_port: int) -> dict[str, str]:
    """Make them and return the key's secret and the two models."""
    from accounts import api_keys, organizations  # noqa: PLC0415 -- after django.setup()
    from accounts.models import User  # noqa: PLC0415
    from billing.books import transfers  # noqa: PLC0415
    from catalog import credentials  # noqa: PLC0415

    for (slug, _), port in ((_STATIC, static_port), (_STREAM, stream_port)):
        credentials.set_provider(slug=slug, api_key="bench-upstream", base_url=f"http://127.0.0.1:{port}/v1", allow_private=True)
    owner = User.objects.create_user("bench@example.com", "not-used-anywhere")
    organization = organizations.create(name="Bench", owner=owner)
    transfers.grant(organization=organization, amount_nanos=_CREDIT_NANOS, reason="Benchmark", idempotency_key="bench", by=None)
    _, secret = api_keys.create(organization=organization, name="Bench", by=owner)
    return {"key": secret, "model": _STATIC[1], "stream_model": _STREAM[1]}


if __name__ == "__main__":
    django.setup()
    print(json.dumps(seed(int(sys.argv[1]), int(sys.argv[2]))))
