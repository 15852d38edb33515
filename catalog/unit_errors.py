"""Prices out of all proportion to what others ask for the same model: a unit was mistaken, such as a thousand tokens for a million."""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from catalog.files import DataFiles

# Between the prices of one model for the same thing lies a factor of 50 at most, and that for cached tokens; mistaken units are a
# thousand and a million apart.
_FACTOR: Final = 100


class _Offer(NamedTuple):
    place: str
    usd: Decimal
    is_looked_at: bool  # a notice says that it was


def find_unit_errors(files: DataFiles) -> Iterator[str]:
    """Yield file, endpoint and reason of every listed price that is a hundred times, or a hundredth, of the others' median.

    Prices that are free are compared with nothing; one with a ``notice`` was looked at by a person. The prices must be valid decimals.
    """
    offers: dict[tuple[str, str], list[_Offer]] = defaultdict(list)
    for provider in files.providers:
        for endpoint in provider.endpoints:
            listed = {**endpoint.price.usd_per_million_tokens, **endpoint.price.usd_per_unit}
            for name, usd in listed.items():
                if (value := Decimal(usd)) > 0:
                    place = f"providers/{provider.slug}.yaml {endpoint.id}"
                    offers[endpoint.model, name].append(_Offer(place, value, endpoint.price.notice is not None))
    for (_, name), given in offers.items():
        for offer in given:
            others = [one.usd for one in given if one is not offer]
            if not others or offer.is_looked_at:
                continue
            usual = statistics.median(others)
            if max(offer.usd / usual, usual / offer.usd) >= _FACTOR:
                yield (
                    f"{offer.place}: {name} at ${offer.usd} looks like a wrong unit: others ask ${usual:f} for this model."
                    " If it is right, say so in a notice of the price"
                )
