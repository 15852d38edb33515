import hashlib
import zlib

from accounts import key_format


def test_a_minted_secret_is_well_formed_and_never_the_same():
    secrets = {key_format.mint_secret() for _ in range(200)}
    assert len(secrets) == 200
    assert all(key_format.is_well_formed(secret) for secret in secrets)


def test_the_checksum_is_the_crc32_of_the_56_random_digits():
    body = key_format.mint_secret().removeprefix("sk-tw-v1-")
    assert len(body) == 64
    assert body[56:] == f"{zlib.crc32(body[:56].encode()):08x}"


def test_any_single_changed_digit_is_refused():
    secret = key_format.mint_secret()
    for place in range(len("sk-tw-v1-"), len(secret)):
        wrong = "0" if secret[place] != "0" else "1"
        assert not key_format.is_well_formed(secret[:place] + wrong + secret[place + 1 :])


def test_other_shapes_are_refused_without_an_error():
    secret = key_format.mint_secret()
    for other in ["", "sk-tw-v1-", secret[:-1], secret + "0", secret.replace("sk-tw", "sk-or"), "ж" * len(secret), secret[:-1] + "ж"]:
        assert not key_format.is_well_formed(other)


def test_the_hash_is_sha256_of_the_whole_secret_and_the_label_shows_three_digits_at_each_end():
    secret = key_format.mint_secret()
    assert key_format.hash_secret(secret) == hashlib.sha256(secret.encode()).hexdigest()
    body = secret.removeprefix("sk-tw-v1-")
    assert key_format.redact_secret(secret) == f"sk-tw-v1-{body[:3]}...{body[-3:]}"
