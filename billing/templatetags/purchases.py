"""Cents as people read them, in pages and mails."""

from django import template

from billing.money import NANOS_PER_CENT
from billing.purchases import fees

register = template.Library()


@register.filter
def dollars(cents: int) -> str:
    """Write cents: $1,000.50."""
    return fees.dollars(cents)


@register.filter
def nanos(cents: int) -> int:
    """Return cents as nanos, for the tags that write exact money."""
    return cents * NANOS_PER_CENT
