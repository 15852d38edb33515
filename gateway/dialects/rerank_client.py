"""Rankings as clients ask for them, in OpenRouter's form. Pure."""

from typing import Annotated

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json
from gateway.dialects.client import Closing, Head
from gateway.dialects.units import UnitClient, cost_fields, encode_json, read_body, text_size

# A search is one query and up to so many documents; long documents count in pieces of so many tokens, the query's included.
_DOCUMENTS_PER_SEARCH, _TOKENS_PER_PIECE = 100, 500
_BYTES_PER_TOKEN = 4  # on average; a token is at least one
_DOCUMENTS_MAX = 10_000

_NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _Document(msgspec.Struct):
    text: str | None = None
    image: str | None = None


class _Body(msgspec.Struct):
    query: _NotEmpty
    documents: Annotated[list[str | _Document], msgspec.Meta(min_length=1, max_length=_DOCUMENTS_MAX)]
    model: _Name | None = None
    models: list[_Name] | None = None
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    return_documents: bool | None = None
    provider: Json | None = None
    user: str | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None


def searches_of(query_bytes: int, document_bytes: list[int], *, bytes_per_token: int) -> int:
    """Return how many searches a ranking is billed as, by Cohere's rule: every document counts once for each 500 tokens of it.

    A query takes its part of each piece; half of a piece is always the document's.
    """
    query_tokens = -(-query_bytes // bytes_per_token)
    room = max(_TOKENS_PER_PIECE - query_tokens, _TOKENS_PER_PIECE // 2) * bytes_per_token
    pieces = sum(max(1, -(-size // room)) for size in document_bytes)
    return -(-pieces // _DOCUMENTS_PER_SEARCH)


class RerankClient(UnitClient):
    """POST /api/v1/rerank."""

    api = "rerank"
    api_type = "rerank"

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. The request's ``body`` has query, documents (texts or objects) and top_n; a query is read once with each
        document, so that is how its bytes count. Raises: InvalidRequest.
        """
        typed, _ = read_body(data, _Body, {})
        documents: list[str | Json] = []
        sizes: list[int] = []
        images = media_bytes = 0
        for place, one in enumerate(typed.documents):
            if isinstance(one, str):
                documents.append(one)
                sizes.append(text_size(one))
                continue
            if not one.text and not one.image:
                raise InvalidRequest(f"documents[{place}] must have text or image.", f"documents[{place}]")
            documents.append({name: value for name, value in (("text", one.text), ("image", one.image)) if value})
            sizes.append(text_size(one.text or ""))
            images += bool(one.image)
            media_bytes += len(one.image or "")
        query_bytes = text_size(typed.query)
        canonical: Json = {"query": typed.query, "documents": documents}
        if typed.top_n is not None:
            canonical["top_n"] = typed.top_n
        return ChatRequest(
            body=canonical,
            kind="rerank",
            model=typed.model,
            models=tuple(typed.models or ()),
            provider=typed.provider or {},
            user=typed.user or "",
            session_id=typed.session_id or "",
            message_count=len(documents),
            prompt_bytes=sum(sizes) + query_bytes * len(documents),
            image_parts=images,
            media_bytes=media_bytes,
            units_max={"searches": searches_of(query_bytes, sizes, bytes_per_token=1)},
            units_likely={"searches": searches_of(query_bytes, sizes, bytes_per_token=_BYTES_PER_TOKEN)},
        )

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write a ranking, best first, with the documents as they were sent."""
        documents = request.body["documents"]
        usage: Json = {"total_tokens": closing.usage.prompt_tokens + closing.usage.completion_tokens, **cost_fields(closing)}
        if closing.usage.searches:
            usage["search_units"] = closing.usage.searches
        results = [
            {"index": place, "relevance_score": score, "document": one if isinstance(one := documents[place], dict) else {"text": one}}
            for place, score in body["results"]
            if place < len(documents)
        ]
        return encode_json({"id": head.id, "model": head.model, "provider": head.provider, "results": results, "usage": usage})
