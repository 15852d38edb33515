"""Wire formats: the clients' and the providers'. Pure functions; no Django, no input or output."""
