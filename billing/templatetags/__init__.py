"""How the mails of this app write money."""
