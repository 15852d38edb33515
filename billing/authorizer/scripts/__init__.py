"""The atomic functions of the money store: the Lua files of this folder, ready for EVALSHA."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script. ``sha`` is what EVALSHA wants: SHA-1 of ``text``, 40 lowercase hex digits."""

    name: str
    text: str = field(repr=False)
    sha: str


def _load(name: str, *heads: str, reads_only: bool = False) -> Script:
    # The first line makes the server refuse the whole script when it is out of memory, instead of failing in the middle; those that only
    # read may still run.
    first = "#!lua flags=no-writes\n" if reads_only else "#!lua\n"
    parts = [first, *((_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in (*heads, name))]
    text = "".join(parts)
    return Script(name=name, text=text, sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


RESERVE = _load("reserve", "common", "scopes", "take")
RESERVE_MANY = _load("reserve_many", "common", "scopes", "take")
LEASE = _load("lease", "common", "scopes")
DRAW = _load("draw", "common")
EXTEND = _load("extend", "common", "scopes")
HEARTBEAT = _load("heartbeat", "common")
RELEASE = _load("release", "common", "scopes")
CLAIM = _load("claim", "common")
END_CLAIM = _load("end_claim")
SETTLE = _load("settle", "common", "scopes", "close")
SETTLE_MANY = _load("settle_many", "common", "scopes", "close")
REAP = _load("reap", "common", "scopes", "close")
ACKNOWLEDGE = _load("acknowledge", "common", "scopes")
ACKNOWLEDGE_PLAIN = _load("acknowledge_plain", "common")
ACKNOWLEDGE_RUN = _load("acknowledge_run", "common")
CREDIT = _load("credit", "common")
PUT_BALANCE = _load("put_balance", "common")
PUT_KEY_SCOPE = _load("put_key_scope", "common", "scopes")
PUT_FROZEN = _load("put_frozen", "common")
RETURN_CHARGE = _load("return_charge", "common", "scopes")
LEAVE_SHARD = _load("leave_shard", "common")
CLOSE_EPOCH = _load("close_epoch")
BEGIN_EPOCH = _load("begin_epoch", "common")
FILLED = _load("filled", reads_only=True)
STALE = _load("stale", reads_only=True)

# What a data-plane connection loads when it connects.
DATA_PLANE = (
    CLAIM, END_CLAIM, RESERVE, RESERVE_MANY, LEASE, DRAW, EXTEND, HEARTBEAT, RELEASE, SETTLE, SETTLE_MANY, PUT_BALANCE, PUT_KEY_SCOPE,
)  # fmt: skip
EVERY = (
    *DATA_PLANE, REAP, ACKNOWLEDGE, ACKNOWLEDGE_PLAIN, ACKNOWLEDGE_RUN, CREDIT, PUT_FROZEN, LEAVE_SHARD, RETURN_CHARGE, CLOSE_EPOCH,
    BEGIN_EPOCH, FILLED, STALE,
)  # fmt: skip
