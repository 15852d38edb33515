"""A provider that answers in three wire formats without a model: for demos and tests. Its own process; no Django."""
