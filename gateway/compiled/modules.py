"""What is compiled, and how a compilation knows the source that it was made from."""

import hashlib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "build" / "compiled"
MANIFEST: Final = FOLDER / "manifest.json"
# The library that all modules share: mypyc compiles them as one, so that they call each other without the interpreter.
GROUP: Final = "tollway_compiled"

_PACKAGES: Final = ("accounts", "billing", "catalog", "gateway")

# What a request runs through, in the order in which it does. Structs of msgspec with options, and classes whose bases are not compiled,
# are left to Python or marked in the source (docs/adr/0028); a class of tests cannot stand in for one of these.
MODULES: Final = (
    "gateway.server",
    "gateway.relay.app",
    "gateway.relay.exchange",
    "accounts.key_format",
    "accounts.lookup",
    "accounts.rule_lookup",
    "gateway.relay.admission",
    "gateway.relay.presets",
    "gateway.dialects.chat_completions",
    "gateway.dialects.chat_checks",
    "gateway.dialects.chat_client",
    "gateway.dialects.chat_answers",
    "gateway.dialects.usage",
    "gateway.relay.planning",
    "gateway.relay.routing",
    "gateway.relay.stickiness",
    "gateway.relay.health",
    "gateway.relay.statistics",
    "gateway.relay.windows",
    "gateway.relay.web_search",
    "gateway.relay.estimate",
    "catalog.pricing",
    "billing.money",
    "gateway.relay.generation",
    "gateway.relay.hold",
    "billing.authorizer.holds",
    "billing.authorizer.gathering",
    "billing.authorizer.keys",
    "billing.authorizer.leases",
    "billing.authorizer.connection",
    "gateway.relay.flow",
    "gateway.relay.turns",
    "gateway.relay.tries",
    "gateway.relay.attempts",
    "gateway.relay.upstream",
    "gateway.relay.http1",
    "gateway.relay.outbox",
    "gateway.relay.answers",
    "gateway.relay.streams",
    "gateway.relay.sse",
    "gateway.relay.outcomes",
    "gateway.relay.stalls",
    "gateway.relay.settlement",
    "billing.authorizer.spool",
)


def source_of(module: str) -> str:
    """Return where the module's source lies, as a path from ROOT."""
    return module.replace(".", "/") + ".py"


def fingerprint() -> str:
    """Return the SHA-256 of all source of the service, in hex: compiled code has constants of modules that are not compiled in it."""
    digest = hashlib.sha256()
    for path in sorted(path for package in _PACKAGES for path in (ROOT / package).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
