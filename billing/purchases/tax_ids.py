"""Which of Stripe's kinds a tax id is, by the country that it was written with. Other countries' are printed and told to nobody.

https://docs.stripe.com/billing/customer/tax-ids
"""

import re
from typing import Final, NamedTuple

_EU: Final = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
_KINDS: Final = {
    **dict.fromkeys(_EU.split(), "eu_vat"),
    "AE": "ae_trn",
    "AU": "au_abn",
    "BR": "br_cnpj",
    "CA": "ca_bn",
    "CH": "ch_vat",
    "GB": "gb_vat",
    "IL": "il_vat",
    "IN": "in_gst",
    "IS": "is_vat",
    "JP": "jp_trn",
    "KR": "kr_brn",
    "LI": "li_vat",
    "MX": "mx_rfc",
    "NO": "no_vat",
    "NZ": "nz_gst",
    "SA": "sa_vat",
    "SG": "sg_gst",
    "TH": "th_vat",
    "TR": "tr_tin",
    "TW": "tw_vat",
    "UA": "ua_vat",
    "US": "us_ein",
    "ZA": "za_vat",
}
_VAT_PREFIXES: Final = {"GR": "EL"}
_PREFIX: Final = re.compile(r"[A-Z]{2}")


class TaxId(NamedTuple):
    """A tax id as Stripe takes it."""

    kind: str
    value: str


def parse(told: str) -> TaxId | None:
    """Return the tax id that stands on a profile as told: kind and value, or nothing."""
    kind, _, value = told.partition(" ")
    return TaxId(kind, value) if value else None


def read(text: str, *, country: str) -> TaxId | None:
    """Return the tax id, None when there is none or Stripe has no kind for it. VAT numbers get their country in front."""
    kind = _KINDS.get(country)
    value = text.strip().upper()
    if kind is None or not value:
        return None
    if kind == "eu_vat":
        value = re.sub(r"[ .\-]", "", value)
        if not _PREFIX.match(value):
            value = _VAT_PREFIXES.get(country, country) + value
    return TaxId(kind, value)
