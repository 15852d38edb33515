"""The simulator's rankings, in the forms of Jina, Cohere and Voyage. Pure.

A document's score is the share of the query's words that it has, so that the order means something.
"""

from typing import Any

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.forms import FormWire
from gateway.simulator.replies import SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import count_tokens
from gateway.simulator.wire import BadBody, Json, Prompt

_DOCUMENTS_PER_SEARCH, _TOKENS_PER_PIECE = 100, 500


def rank(request: SimRequest) -> SimReply:
    """Return the documents' places and scores, best first."""
    query, *documents = request.inputs
    words = set(query.lower().split())
    scores = [len(words & set(text.lower().split())) / (len(words) or 1) for text in documents]
    ranked = sorted(enumerate(scores), key=lambda one: -one[1])[: request.top_n or None]
    pieces = sum(max(1, -(-(count_tokens(text) + count_tokens(query)) // _TOKENS_PER_PIECE)) for text in documents)
    usage = SimUsage(input_tokens=request.prompt_tokens, searches=-(-pieces // _DOCUMENTS_PER_SEARCH))
    return SimReply(id=request.prompt_key[:24], model=request.model, choices=[], usage=usage, ranking=ranked)


class JinaRerankWire(FormWire):
    """POST /v1/rerank."""

    top_name = "top_n"

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        del stream
        query, documents = body.get("query"), body.get("documents")
        if not isinstance(query, str) or not query or not isinstance(documents, list) or not documents:
            raise BadBody("'query' must be a string and 'documents' an array, neither empty")
        texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in documents]
        prompt = Prompt()
        for text in (query, *texts):
            prompt.add_text(text)
        top = body.get(self.top_name)
        return SimRequest(
            model=str(body.get("model") or model),
            prompt_tokens=sum(count_tokens(text) for text in texts) + count_tokens(query) * len(texts),
            prompt_key=prompt.key,
            control=find_in_text(query),
            make=rank,
            inputs=(query, *texts),
            top_n=top if isinstance(top, int) else 0,
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a ranking."""
        body: Json = {"model": reply.model, "results": _rows(reply)}
        return {**body, "usage": _token_usage(reply, directives)} if "missing_usage" not in directives else body


class CohereRerankWire(JinaRerankWire):
    """POST /v2/rerank."""

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a ranking with what was billed."""
        body: Json = {"id": reply.id, "results": _rows(reply)}
        if "missing_usage" not in directives:
            body["meta"] = {"api_version": {"version": "2"}, "billed_units": {"search_units": reply.usage.searches}}
        return body

    def error(self, status: int, message: str) -> Json:
        """Write an error body: a message and nothing else."""
        del status
        return {"message": message}


class VoyageRerankWire(JinaRerankWire):
    """POST /v1/rerank of Voyage."""

    top_name = "top_k"

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a ranking."""
        body: Json = {"object": "list", "data": _rows(reply), "model": reply.model}
        return {**body, "usage": _token_usage(reply, directives)} if "missing_usage" not in directives else body

    def error(self, status: int, message: str) -> Json:
        """Write an error body as FastAPI does."""
        del status
        return {"detail": message}


def _rows(reply: SimReply) -> list[Json]:
    return [{"index": place, "relevance_score": round(score, 6)} for place, score in reply.ranking]


def _token_usage(reply: SimReply, directives: Directives) -> dict[str, Any]:
    return {"total_tokens": 0 if "zero_usage" in directives else reply.usage.prompt_tokens}
