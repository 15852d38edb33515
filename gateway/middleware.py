"""Request id, security headers and the content security policy."""
