"""The data plane: from request to ledger. No Django below this line."""
