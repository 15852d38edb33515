"""What this app announces."""

from django.dispatch import Signal

# Usage of these organizations was booked; committed and acknowledged. Keyword arguments: org_ids (set of int).
usage_booked = Signal()
