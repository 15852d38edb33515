"""What the operator's tables have in common."""

from typing import Any

import msgspec
from django.contrib import admin
from django.http import HttpRequest

from catalog.pricing import blended_picos
from catalog.types import RateCard


def describe_margin(*, cost: dict[str, Any] | None, price: dict[str, Any] | None) -> str:
    """Return the part of our price that is ours, in percent, over three input tokens and one output token; a dash without a price."""
    if cost is None or price is None:
        return "–"
    charged = blended_picos(msgspec.convert(price, RateCard))
    ours = charged - blended_picos(msgspec.convert(cost, RateCard))
    return f"{ours * 100 / charged:.2f} %" if charged else "–"


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 -- Django's signature
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False
