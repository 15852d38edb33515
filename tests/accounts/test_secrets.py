"""Sealed secrets open under the current key and its predecessors, and under no other."""

import pytest

from accounts.secrets import CannotOpen, Sealer


def test_a_sealed_secret_opens_and_does_not_show() -> None:
    sealed = Sealer("key").seal("sk-secret-ü")
    assert b"secret" not in sealed
    assert Sealer("key").open_sealed(sealed) == "sk-secret-ü"
    assert Sealer("key").open_sealed(memoryview(sealed)) == "sk-secret-ü"


def test_two_seals_of_one_secret_differ() -> None:
    assert Sealer("key").seal("x") != Sealer("key").seal("x")


def test_a_rotated_key_still_opens_old_secrets_and_seals_anew() -> None:
    old = Sealer("old").seal("x")
    rotated = Sealer("new", "old")
    assert rotated.open_sealed(old) == "x"
    assert Sealer("new").open_sealed(rotated.reseal(old)) == "x"


@pytest.mark.parametrize("tamper", [lambda sealed: sealed[:-2] + b"AA", lambda _: b"", lambda _: Sealer("other").seal("x")])
def test_what_was_changed_or_sealed_elsewhere_does_not_open(tamper) -> None:
    with pytest.raises(CannotOpen):
        Sealer("key").open_sealed(tamper(Sealer("key").seal("x")))
