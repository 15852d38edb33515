"""The order of the files in a parallel run: the longest first, so that no worker stands idle while another is still at one of them."""

import pytest

# What takes ten seconds and more: those that start whole services, browsers and clients, then the others.
_LONGEST = (
    "tests/faults/test_bad_days.py",
    "tests/e2e/",
    "tests/gateway/node/",
    "tests/gateway/clients/",
    "tests/gateway/relay/test_contract.py",
    "tests/billing/purchases/test_disputes.py",
    "tests/gateway/test_strangers.py",
    "tests/pages/test_tenants.py",
    "tests/gateway/local/",
    "tests/billing/test_ledger_machine.py",
    "tests/billing/authorizer/test_state_machine.py",
    "tests/billing/books/test_lot_machine.py",
    "tests/faults/",
    "tests/bench/",
    "tests/billing/purchases/",
    "tests/billing/books/test_settlement.py",
    "tests/catalog/",
    "tests/gateway/dialects/test_unit_answers.py",
    "tests/gateway/receipts/",
    "tests/gateway/relay/",
)


def order_by_length(items: list[pytest.Item]) -> None:
    """Sort the files; the tests of one stay together and in their order."""
    items.sort(key=lambda item: _rank(item.nodeid.partition("::")[0]))


def _rank(path: str) -> tuple[int, str]:
    return next((place for place, prefix in enumerate(_LONGEST) if path.startswith(prefix)), len(_LONGEST)), path
