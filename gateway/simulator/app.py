"""The simulated provider, an ASGI application: ``uvicorn gateway.simulator.app:app``.

Paths may begin with ``/p/<provider>``, which sets pace and the words of the answer:
POST …/chat/completions, …/responses and …/embeddings (OpenAI), …/messages (Anthropic), …/rerank (Jina; Cohere below v2, Voyage below
voyage/v1), …/images/generations and /edits, …/audio/speech and /audio/transcriptions, …/moderations (OpenAI), …/text-to-speech and
/speech-to-text (ElevenLabs), …/speak and /listen (Deepgram), …/v2/embed (Cohere),
…/models/{model}:generateContent, :streamGenerateContent, :batchEmbedContents and :predict (Gemini, Imagen),
…/model/{model}/converse and /converse-stream (Bedrock), …/publishers/{publisher}/models/{model}:rawPredict and
:streamRawPredict (Claude and Mistral on Vertex);
GET …/models, /healthz, /stats. Every answer says ``x-tollway-simulated: 1``. What it can be told to do wrong: ``directives``.
"""

import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.simulator.anthropic_wire import AnthropicWire
from gateway.simulator.bedrock_wire import BedrockWire
from gateway.simulator.cohere_wire import CohereWire
from gateway.simulator.delivery import ClientGone, Delivery, Receive, Send, Stats
from gateway.simulator.directives import BadDirective, Counters, Directives, active_directives, find_in_text, parse_directives
from gateway.simulator.embeddings_wire import (
    CohereEmbeddingsWire,
    GeminiEmbeddingsWire,
    OpenAiEmbeddingsWire,
    VertexEmbeddingsWire,
    VertexPredictionsWire,
    VoyageEmbeddingsWire,
)
from gateway.simulator.forms import object_of
from gateway.simulator.gemini_wire import GeminiWire
from gateway.simulator.images_wire import ImagenWire, ImagesWire
from gateway.simulator.moderations_wire import ModerationsWire
from gateway.simulator.openai_wire import OpenAiWire
from gateway.simulator.profiles import profile_of
from gateway.simulator.replies import PrefixCache, SimRequest, make_reply
from gateway.simulator.rerank_wire import CohereRerankWire, JinaRerankWire, VoyageRerankWire
from gateway.simulator.responses_wire import ResponsesWire
from gateway.simulator.speech_wire import DeepgramSpeechWire, ElevenLabsSpeechWire, SpeechWire
from gateway.simulator.transcriptions_wire import DeepgramTranscriptionsWire, ElevenLabsTranscriptionsWire, TranscriptionsWire
from gateway.simulator.wire import BadBody, Wire, encode_json

BODY_MAX_BYTES = 64 * 1024 * 1024

_PATH = re.compile(r"^(?:/p/(?P<slug>[A-Za-z0-9._-]+))?(?P<rest>/.*)$")
_GEMINI = re.compile(r"/models/(?P<model>[^/]+):(?P<method>generateContent|streamGenerateContent|embedContent|batchEmbedContents|predict)$")
# The credential is last: a key that is rate limited is one of those that a provider has.
_CONTROL_HEADERS = frozenset({b"x-simulate", b"authorization", b"x-api-key", b"x-goog-api-key"})
_RAW = re.compile(r"/publishers/(?P<publisher>anthropic|mistralai)/models/(?P<model>[^/]+):(?P<method>rawPredict|streamRawPredict)$")
_BEDROCK = re.compile(r"/model/(?P<model>[^/]+)/converse(?P<stream>-stream)?$")
_MARK = (b"x-tollway-simulated", b"1")
_JSON_HEADERS = [(b"content-type", b"application/json"), _MARK]
_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), _MARK]
_OPENAI, _ANTHROPIC, _GOOGLE = OpenAiWire(), AnthropicWire(), GeminiWire()
_RESPONSES, _AWS = ResponsesWire(_OPENAI), BedrockWire()
_OPENAI_EMBEDDINGS, _GOOGLE_EMBEDDINGS = OpenAiEmbeddingsWire(_OPENAI), GeminiEmbeddingsWire(_GOOGLE)
_IMAGES, _IMAGEN = ImagesWire(_OPENAI), ImagenWire(_GOOGLE)
_GOOGLE_METHODS: dict[str, Wire] = {"batchEmbedContents": _GOOGLE_EMBEDDINGS, "predict": _IMAGEN}
_VERTEX_EMBEDDINGS = VertexEmbeddingsWire(_GOOGLE)
_VERTEX_METHODS: dict[str, Wire] = {"embedContent": _VERTEX_EMBEDDINGS, "batchEmbedContents": _VERTEX_EMBEDDINGS, "predict": _IMAGEN}
_VERTEX_PREDICTIONS = VertexPredictionsWire(_GOOGLE)
# What a path ends with → the wire format; the first that fits.
_ENDINGS: tuple[tuple[str, Wire], ...] = (
    ("/chat/completions", _OPENAI),
    ("/v2/chat", CohereWire(_OPENAI)),
    ("/responses", _RESPONSES),
    ("/messages", _ANTHROPIC),
    ("/v2/rerank", CohereRerankWire(_OPENAI)),
    ("/voyage/v1/rerank", VoyageRerankWire(_OPENAI)),
    ("/rerank", JinaRerankWire(_OPENAI)),
    ("/v2/embed", CohereEmbeddingsWire(_OPENAI)),
    ("/voyage/v1/embeddings", VoyageEmbeddingsWire(_OPENAI)),
    ("/multimodalembeddings", VoyageEmbeddingsWire(_OPENAI)),
    ("/contextualizedembeddings", VoyageEmbeddingsWire(_OPENAI)),
    ("/embeddings", _OPENAI_EMBEDDINGS),
    ("/moderations", ModerationsWire(_OPENAI)),
    ("/images/generations", _IMAGES),
    ("/images/edits", _IMAGES),
    ("/images", _IMAGES),
    ("/audio/transcriptions", TranscriptionsWire(_OPENAI)),
    ("/audio/speech", SpeechWire(_OPENAI)),
    ("/speak", DeepgramSpeechWire(_OPENAI)),
    ("/stream", ElevenLabsSpeechWire(_OPENAI)),
    ("/speech-to-text", ElevenLabsTranscriptionsWire(_OPENAI)),
    ("/listen", DeepgramTranscriptionsWire(_OPENAI)),
)
_decode_json = msgspec.json.Decoder().decode
_IMPATIENT_STATUSES = (429, 503, 529)


class Simulator:
    """State of one process: counters, seen prefixes, statistics."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._cache = PrefixCache()
        self._stats = Stats()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
            return
        match = _PATH.match(scope["path"])
        slug, path = (match["slug"] or "", match["rest"]) if match else ("", scope["path"])
        if scope["method"] == "GET":
            await self._get(path, send)
            return
        wire, model, stream = _route(path)
        if wire is None or scope["method"] != "POST":
            await _answer(send, 404, _OPENAI.error(404, f"The simulator has no {scope['method']} {path}."))
            return
        body = await _read_body(receive)
        if body is None:
            await _answer(send, 413, wire.error(413, "The body is too large for the simulator."))
            return
        header = _find_in_headers(scope["headers"])
        self._stats.requests += 1
        try:
            kind = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), "")
            is_file = kind.startswith(("multipart/", "audio/", "video/"))
            parsed = object_of(body, kind, scope["query_string"]) if is_file else _object(body)
            if query := scope["query_string"]:
                parsed["query"] = dict(parse_qsl(query.decode("latin-1")))
            request = wire.read(parsed, model=model, stream=stream)
            directives = active_directives(
                parse_directives(header or request.control), slug=slug, prompt_key=request.prompt_key, counters=self._counters
            )
        except (BadBody, BadDirective) as error:
            await _answer(send, 400, wire.error(400, str(error)))
            return
        delivery = Delivery(receive, send, directives=directives, profile=profile_of(slug), stats=self._stats)
        self._stats.streaming += 1
        try:
            await self._serve(wire, request, directives, slug, delivery)
        except ClientGone:
            self._stats.abandoned += 1
        finally:
            self._stats.streaming -= 1
            delivery.close()

    async def _serve(self, wire: Wire, request: SimRequest, directives: Directives, slug: str, delivery: Delivery) -> None:
        if "other_form" in directives:
            request = msgspec.structs.replace(request, stream=not request.stream, include_usage=True)
        await delivery.wait(int(directives.get("delay_ms", 0)) / 1000)
        if directives.get("hang") == 0:
            await delivery.hang()
        status = int(directives.get("status", 200))
        if status != 200:  # noqa: PLR2004 -- OK
            wait_s = directives.get("retry_after", 1 if status in _IMPATIENT_STATUSES else None)
            retry = [(b"retry-after", str(wait_s).encode())] if wait_s is not None else []
            retry += wire.error_headers(status) if isinstance(wire, BedrockWire) else []
            await delivery.whole(status, [*_JSON_HEADERS, *retry], encode_json(wire.error(status, f"Simulated failure {status}.")))
            return
        if request.make is not None:
            reply = request.make(request)
        else:
            reply = make_reply(request, slug=slug, directives=directives, cache=self._cache)
        if request.stream:
            frames, error_frame = wire.frames(reply, request, directives=directives), wire.error_frame("Simulated error in the stream.")
            if isinstance(wire, BedrockWire):
                await delivery.stream([(b"content-type", wire.content_type), _MARK], frames, error_frame, pack=wire.pack)
            else:
                await delivery.stream(_STREAM_HEADERS, frames, error_frame)
            return
        profile = profile_of(slug)
        tokens = reply.usage.output_tokens + reply.usage.reasoning_tokens
        first_ms = int(directives.get("first_token_ms", profile.first_token_ms))
        await delivery.wait(first_ms / 1000 + tokens / int(directives.get("rate", profile.tokens_per_s)))
        if reply.sound and "error_in_stream" not in directives:
            sound = b"" if "empty" in directives else reply.sound
            await delivery.whole(200, [(b"content-type", reply.sound_type), _MARK], sound)
            return
        body = encode_json(
            wire.error(500, "Simulated error in a success.")
            if "error_in_stream" in directives
            else wire.answer(reply, directives=directives)
        )
        await delivery.whole(200, _JSON_HEADERS, body[: len(body) // 2] if "malformed" in directives else body)

    async def _get(self, path: str, send: Send) -> None:
        if path == "/healthz":
            await _answer(send, 200, {"status": "ok", "simulated": True})
        elif path == "/stats":
            await _answer(send, 200, self._stats.as_dict())
        elif path.endswith("/models"):
            await _answer(
                send, 200, {"object": "list", "data": [{"id": "simulated", "object": "model", "created": 0, "owned_by": "tollway"}]}
            )
        else:
            await _answer(send, 404, _OPENAI.error(404, f"The simulator has no GET {path}."))


def _find_in_headers(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the words of ``x-simulate``, else those inside a credential."""
    found = {name: value.decode("latin-1") for name, value in headers if name in _CONTROL_HEADERS}
    return found.pop(b"x-simulate", "") or next((words for value in found.values() if (words := find_in_text(value))), "")


def _route(path: str) -> tuple[Wire | None, str, bool]:
    """Return the wire format of ``path``, and for Gemini the model and whether it streams."""
    for ending, wire in _ENDINGS:
        if path.endswith(ending):
            return wire, "", False
    if match := _BEDROCK.search(path):
        return _AWS, match["model"], match["stream"] is not None
    if match := _RAW.search(path):
        return _ANTHROPIC if match["publisher"] == "anthropic" else _OPENAI, match["model"], match["method"] == "streamRawPredict"
    if match := _GEMINI.search(path):
        methods = _VERTEX_METHODS if "/publishers/google/" in path else _GOOGLE_METHODS
        wire = (
            _VERTEX_PREDICTIONS if match["method"] == "predict" and "embedding" in match["model"] else methods.get(match["method"], _GOOGLE)
        )
        return wire, match["model"], match["method"] == "streamGenerateContent"
    return None, "", False


def _object(body: bytes) -> dict[str, Any]:
    try:
        parsed = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody("the body is not valid JSON") from error
    if not isinstance(parsed, dict):
        raise BadBody("the body is not an object")
    return parsed


async def _read_body(receive: Receive) -> bytes | None:
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > BODY_MAX_BYTES:
            return None
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _answer(send: Send, status: int, body: dict[str, Any]) -> None:
    data = encode_json(body)
    await send({"type": "http.response.start", "status": status, "headers": [*_JSON_HEADERS, (b"content-length", b"%d" % len(data))]})
    await send({"type": "http.response.body", "body": data})


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


app = Simulator()
