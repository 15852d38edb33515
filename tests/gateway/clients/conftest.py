"""`make test` installs the older clients beside today's; where it could not, they are left out."""

import sys
import warnings
from pathlib import Path

from tests.gateway.relay.conftest import customer, stack  # noqa: F401 -- fixtures
from tests.gateway.relay.shipped import real_catalog, shop  # noqa: F401 -- fixtures

OLDER = Path(sys.prefix) / "older-clients"

if not (OLDER / ".installed").is_file():
    warnings.warn("NOT TRIED: OpenRouter's client of August (openrouter 1.1.60): `make test` installs it", stacklevel=1)
