"""Signing keys: made once, published for ever, changed without breaking what was signed."""

import json
import threading

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.management import call_command
from django.db import connection
from django.test import Client

from billing.models import SigningKey
from billing.receipts import canonical, signing


def verify(raw: bytes) -> None:
    document = json.loads(raw)
    value = bytes.fromhex(document["signature"].pop("value"))
    [key] = [key for key in signing.published_keys() if key.key_id == document["signature"]["key"]]
    Ed25519PublicKey.from_public_bytes(key.public_key).verify(value, canonical.encode(document))


@pytest.mark.django_db
def test_what_is_signed_holds_and_what_is_changed_does_not():
    raw = signing.sign({"b": 1, "a": "ä\n"})
    assert raw.startswith('{"a":"ä\\n","b":1,"signature":{"algorithm":"Ed25519","key":'.encode())
    verify(raw)
    with pytest.raises(InvalidSignature):
        verify(raw.replace(b'"b":1', b'"b":2'))
    assert signing.sign({"a": "ä\n", "b": 1}) == raw


@pytest.mark.parametrize("value", [0.5, {"x": [1, 2.0]}, (1.0,)])
@pytest.mark.django_db
def test_a_fraction_is_not_signed(value):
    with pytest.raises(TypeError):
        signing.sign({"a": value})


@pytest.mark.django_db
def test_a_new_key_signs_and_the_old_one_still_vouches():
    old = signing.sign({"a": 1})
    call_command("rotate_signing_key", verbosity=0)
    new = signing.sign({"a": 1})
    verify(old)
    verify(new)
    assert json.loads(old)["signature"]["key"] != json.loads(new)["signature"]["key"]
    assert [key.retired_at is None for key in signing.published_keys()] == [True, False]


@pytest.mark.django_db
def test_the_published_set_tells_ids_ends_and_revocations_and_no_secret(settings):
    first = signing.current_signer().key_id
    signing.rotate(revoke=True)
    answer = Client().get("/.well-known/jwks.json")
    [new, old] = answer.json()["keys"]
    assert (set(new), set(old) - set(new)) == (
        {"kty", "crv", "alg", "use", "kid", "x", "created_at"}, {"retired_at", "revoked_at"}
    )  # fmt: skip
    assert (old["kid"], new["kty"], new["crv"], answer["Cache-Control"]) == (first, "OKP", "Ed25519", "public, max-age=300")
    assert Client().post("/.well-known/jwks.json").status_code == 405


@pytest.mark.django_db
def test_a_key_that_cannot_be_opened_any_more_is_retired_and_another_signs(settings):
    old = signing.sign({"a": 1})
    settings.SECRET_KEY = "another secret key, and the first one is not among the fallbacks"
    new = signing.sign({"a": 1})
    verify(old)
    verify(new)
    assert SigningKey.objects.filter(retired_at=None).count() == 1


@pytest.mark.django_db
def test_with_the_old_secret_among_the_fallbacks_the_key_stays(settings):
    old = signing.sign({"a": 1})
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret key, and the first one is among the fallbacks now"
    assert signing.sign({"a": 1}) == old


@pytest.mark.django_db(transaction=True)
def test_many_first_signatures_at_once_make_one_key():
    found = []

    def sign() -> None:
        try:
            found.append(signing.current_signer().key_id)
        finally:
            connection.close()

    threads = [threading.Thread(target=sign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(set(found)), len(found), SigningKey.objects.count()) == (1, 4, 1)
