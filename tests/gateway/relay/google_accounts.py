"""A Google service account made here, and the server that gives it tokens for a request signed with its key."""

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

MAIL = "tollway@project.iam.gserviceaccount.com"
asked: list[dict[str, Any]] = []  # what each request for a token claimed


@lru_cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def service_account_for(token_url: str) -> str:
    """Return a key file whose tokens are asked for at ``token_url``."""
    pem = key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    fields = {"type": "service_account", "client_email": MAIL, "private_key": pem, "private_key_id": "1", "token_uri": token_url}
    return msgspec.json.encode(fields).decode()


async def give_token(receive: Any, send: Any, *, lifetime_s: int = 3600) -> None:
    """Answer a request for a token, if its assertion was signed by the account."""
    body = (await receive())["body"]
    assertion = parse_qs(body.decode())["assertion"][0]
    public = key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    asked.append(dict(jwt.decode(assertion, certs=public, verify=False)))
    answer = msgspec.json.encode({"access_token": f"ya29.token-{len(asked)}", "expires_in": lifetime_s, "token_type": "Bearer"})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": answer})
