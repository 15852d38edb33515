"""What this app announces."""

from django.dispatch import Signal

# Usage of these organizations was booked; committed and acknowledged. Keyword arguments: org_ids (set of int).
usage_booked = Signal()

# Credit of an organization was bought, taken back or granted; committed. Keyword arguments: organization_id (int).
credit_changed = Signal()
