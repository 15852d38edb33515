"""What this app announces. Sent after commit, so a receiver sees what every other process sees."""

from django.dispatch import Signal

# A key was made, changed or deleted. Keyword arguments: api_key (ApiKey, freshly read).
key_changed = Signal()
