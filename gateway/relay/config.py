"""Caps and time-outs of the data plane, frozen at start."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """Everything the data plane is told from outside. Built from Django's settings in ``gateway/asgi.py`` alone."""

    database_url: str
    redis_url: str
    broker_redis_url: str
    secret_keys: tuple[str, ...]  # newest first; they open sealed provider credentials
    provider_credentials: dict[str, str]  # slug → key from the operator's environment
    public_url: str
    spool_dir: Path
    simulator_url: str = ""
    body_max_bytes: int = 32 * 1024 * 1024
    leases: bool = True  # money set aside for busy keys (billing/authorizer/leases.py)
    # Outlasts a lost packet, which is sent again after a second; a dead provider is noticed before two have gone by.
    connect_timeout_s: float = 1.5
    first_byte_timeout_s: float = 120.0  # one attempt at one endpoint, streamed
    first_byte_deadline_s: float = 300.0  # all attempts of a stream together, from the request's arrival
    answer_timeout_s: float = 600.0  # one attempt at a whole answer
    answer_deadline_s: float = 900.0  # all of them together
    idle_timeout_s: float = 300.0  # silence inside a stream
    keepalive_s: float = 10.0  # a comment line to a streaming client after this much silence
    body_timeout_s: float = 30.0  # between two pieces of the client's request body
    attempts_max: int = 4
    # What a stream holds at first, and extends by, when the client sets no max_tokens.
    hold_output_tokens: int = 4096
    database_pool_max: int = 4
