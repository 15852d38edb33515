"""Providers as data: quirks and credentials headers. No Django."""
