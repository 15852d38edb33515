"""The record: double entry in PostgreSQL, written in batches behind the authorizer."""
