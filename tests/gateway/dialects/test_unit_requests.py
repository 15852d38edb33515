"""What providers are sent for models that are no chats: each host's own words for the same wish."""

import base64

import msgspec
import pytest

from catalog.types import EndpointSpec, ProviderSpec, RateCard, Usage
from gateway.dialects.base import InvalidRequest, UpstreamCall
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.dialects.multipart import read_form
from gateway.dialects.registry import dialect_for

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def send(
    path: str, dialect: str, slug: str = "acme", model: str = "model-1", rates: dict[str, int] | None = None, **body: object
) -> UpstreamCall:
    request = CLIENT_DIALECTS[f"/api/v1/{path}"].decode_request(msgspec.json.encode({"model": "a/b", **body}))
    card = RateCard(rates=rates or {"images": 1, "characters": 1, "seconds": 1, "searches": 1})
    endpoint = EndpointSpec(
        id="a/b@acme", model="a/b", provider=slug, provider_model_id=model, tag=slug, price_version_id=1, price=card, cost=card
    )
    provider = ProviderSpec(slug=slug, name=slug, base_url="https://acme.example/v1", dialect=dialect, auth="bearer")
    return dialect_for(dialect, request.kind).encode_request(request, endpoint, provider, stream=False, max_tokens=None)


def sent(*args: str, **kwargs: object) -> dict[str, object]:
    return msgspec.json.decode(send(*args, **kwargs).body)


@pytest.mark.parametrize(
    ("slug", "asked", "expected"),
    [
        ("acme", {}, {"response_format": "b64_json"}),
        ("acme", {"size": "640x480"}, {"response_format": "b64_json", "size": "640x480"}),
        ("acme", {"resolution": "2K"}, {"response_format": "b64_json", "size": "2048x2048"}),
        ("acme", {"aspect_ratio": "16:9"}, {"response_format": "b64_json", "size": "1360x768"}),
        ("acme", {"quality": "high", "seed": 7}, {"response_format": "b64_json", "seed": 7}),
        ("openai", {"quality": "hd", "seed": 7, "n": 2}, {"quality": "high", "n": 2}),
        ("openai", {"user": "jane", "output_format": "webp"}, {"output_format": "webp", "user": "81f8f6dde88365f3928796ec7aa53f72"}),
        ("xai", {"aspect_ratio": "16:9", "resolution": "1K"}, {"response_format": "b64_json", "aspect_ratio": "16:9"}),
        ("together", {"size": "640x480"}, {"response_format": "base64", "width": 640, "height": 480}),
        ("openrouter", {"resolution": "4K", "aspect_ratio": "1:1"}, {"resolution": "4K", "aspect_ratio": "1:1"}),
    ],
)
def test_each_host_of_pictures_is_asked_in_its_own_words(slug, asked, expected):
    assert sent("images", "chat_completions", slug, prompt="a road", **asked) == {"model": "model-1", "prompt": "a road", **expected}


def test_what_a_host_of_pictures_does_not_take_is_reported():
    call = send("images", "chat_completions", prompt="a road", quality="high", background="opaque", size="640x480")

    assert call.dropped == ("quality", "background")


def test_pictures_to_begin_with_make_it_an_edit_at_openai():
    call = send("images", "chat_completions", "openai", prompt="a road", input_references=[{"image_url": {"url": PIXEL}}])

    form = read_form(call.body, call.headers["content-type"])
    assert call.path == "/images/edits"
    assert form.fields == {"model": ["model-1"], "prompt": ["a road"]}
    assert (form.files["image[]"].content_type, form.files["image[]"].data) == ("image/png", base64.b64decode("iVBORw0KGgo="))


def test_pictures_by_address_are_sent_only_where_they_are_taken():
    reference = [{"image_url": {"url": "https://example.com/a.png"}}]
    assert sent("images", "chat_completions", "openrouter", prompt="x", input_references=reference)["input_references"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    ]
    for slug in ("openai", "xai"):
        with pytest.raises(InvalidRequest) as refusal:
            send("images", "chat_completions", slug, prompt="x", input_references=reference)
        assert refusal.value.param.startswith("input_references")


@pytest.mark.parametrize(("dialect", "root"), [("gemini", ""), ("vertex", "/publishers/google")])
def test_gemini_draws_in_a_chat(dialect, root):
    call = send("images", dialect, model="gemini-image", prompt="a road", size="1600x900", seed=7)
    body = msgspec.json.decode(call.body)

    assert call.path == f"{root}/models/gemini-image:generateContent"
    assert body["contents"] == [{"role": "user", "parts": [{"text": "a road"}]}]
    assert body["generationConfig"] == {"seed": 7, "responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "16:9"}}


def test_imagen_predicts():
    call = send("images", "gemini", model="imagen-3.0", prompt="a road", n=3, aspect_ratio="3:4")

    assert call.path == "/models/imagen-3.0:predict"
    assert msgspec.json.decode(call.body) == {
        "instances": [{"prompt": "a road"}],
        "parameters": {"sampleCount": 3, "aspectRatio": "3:4"},
    }


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("chat_completions", {"top_n": 2, "return_documents": False}),
        ("jina", {"top_n": 2, "return_documents": False}),
        ("cohere", {"top_n": 2}),
        ("voyage", {"top_k": 2}),
    ],
)
def test_each_ranking_has_its_word_for_how_many(dialect, expected):
    body = sent("rerank", dialect, query="q", documents=["a", {"text": "b"}], top_n=9)

    assert body == {"model": "model-1", "query": "q", "documents": ["a", "b"], **expected}


def test_speech_sold_by_the_token_is_asked_for_in_events():
    plain = sent("audio/speech", "chat_completions", input="hello", voice="nova", speed=1.5)
    counted = sent("audio/speech", "chat_completions", rates={"input_tokens": 1, "audio_output_tokens": 1}, input="hello")

    assert plain == {"model": "model-1", "input": "hello", "voice": "nova", "speed": 1.5, "response_format": "pcm"}
    assert (counted["stream_format"], counted["voice"]) == ("sse", "alloy")


def test_speech_at_elevenlabs_and_deepgram_has_its_format_in_the_address():
    eleven = send("audio/speech", "elevenlabs", input="hello", voice="George/1", response_format="mp3", speed=3, instructions="softly")
    deep = send("audio/speech", "deepgram", model="aura-2", input="hello", response_format="wav")

    assert (eleven.path, eleven.query) == ("/text-to-speech/George%2F1/stream", {"output_format": "mp3_44100_128"})
    assert msgspec.json.decode(eleven.body) == {"text": "hello", "model_id": "model-1", "voice_settings": {"speed": 1.2}}
    assert eleven.dropped == ("instructions",)
    assert deep.query == {"model": "aura-2", "encoding": "linear16", "container": "wav", "sample_rate": "24000"}
    with pytest.raises(InvalidRequest, match="mp3, pcm"):
        send("audio/speech", "elevenlabs", input="hello", response_format="flac")


@pytest.mark.parametrize(("dialect", "root"), [("gemini", ""), ("vertex", "/publishers/google")])
def test_gemini_speaks_in_a_chat(dialect, root):
    call = send("audio/speech", dialect, model="gemini-tts", input="hello", voice="Puck", instructions="Say softly")

    assert (call.path, call.query) == (f"{root}/models/gemini-tts:streamGenerateContent", {"alt": "sse"})
    body = msgspec.json.decode(call.body)
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Say softly: hello"}]}]
    assert body["generationConfig"]["speechConfig"] == {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}}


SOUND = {"input_audio": {"data": base64.b64encode(b"sound").decode(), "format": "mp3"}}


def test_whisper_is_asked_for_its_long_form_and_others_for_what_was_asked():
    whisper = send("audio/transcriptions", "chat_completions", model="whisper-1", language="en", temperature=0, **SOUND)
    other = send("audio/transcriptions", "chat_completions", **SOUND)

    form = read_form(whisper.body, whisper.headers["content-type"])
    assert form.fields == {"model": ["whisper-1"], "response_format": ["verbose_json"], "language": ["en"], "temperature": ["0.0"]}
    assert form.files["file"] == ("audio.mp3", "audio/mpeg", b"sound")
    assert read_form(other.body, other.headers["content-type"]).fields["response_format"] == ["json"]


def test_elevenlabs_and_deepgram_get_the_sound_each_in_its_way():
    eleven = send("audio/transcriptions", "elevenlabs", model="scribe_v2", language="de", prompt="names", **SOUND)
    deep = send("audio/transcriptions", "deepgram", model="streaming/nova-3", **SOUND)

    form = read_form(eleven.body, eleven.headers["content-type"])
    assert form.fields["model_id"] == ["scribe_v2"]
    assert form.fields["language_code"] == ["de"]
    assert eleven.dropped == ("prompt",)
    assert (deep.path, deep.body, deep.headers["content-type"]) == ("/listen", b"sound", "audio/mpeg")
    assert deep.query == {"model": "nova-3", "smart_format": "true", "punctuate": "true", "detect_language": "true"}


@pytest.mark.parametrize(
    ("dialect", "model", "path", "expected"),
    [
        (
            "cohere",
            "embed-v4.0",
            "/embed",
            {"input_type": "search_query", "embedding_types": ["float"], "texts": ["a"], "output_dimension": 8},
        ),
        ("voyage", "voyage-4", "/embeddings", {"input_type": "query", "input": ["a"], "output_dimension": 8}),
        ("voyage", "voyage-context-4", "/contextualizedembeddings", {"input_type": "query", "inputs": [["a"]], "output_dimension": 8}),
        (
            "voyage",
            "voyage-multimodal-3.5",
            "/multimodalembeddings",
            {"input_type": "query", "inputs": [{"content": [{"type": "text", "text": "a"}]}], "output_dimension": 8},
        ),
        ("jina", "jina-embeddings-v4", "/embeddings", {"task": "retrieval.query", "input": ["a"], "dimensions": 8}),
    ],
)
def test_each_host_of_embeddings_has_its_word_for_a_query(dialect, model, path, expected):
    call = send("embeddings", dialect, model=model, input="a", input_type="search_query", dimensions=8)

    assert (call.path, msgspec.json.decode(call.body)) == (path, {"model": model, **expected})


def test_cohere_is_told_that_inputs_are_documents_and_takes_pictures():
    inputs = [{"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PIXEL}}]}]

    body = sent("embeddings", "cohere", input=inputs)

    assert (body["input_type"], body["inputs"]) == ("search_document", inputs)
    with pytest.raises(InvalidRequest, match="96"):
        send("embeddings", "cohere", input=["a"] * 97)


def test_vertex_embeds_in_three_ways():
    asked = {"input": ["a", "b"], "dimensions": 8, "input_type": "search_query"}
    options = {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}
    several = [{"content": {"role": "user", "parts": [{"text": text}]}, "embedContentConfig": options} for text in "ab"]
    root = "/publishers/google/models/"
    call = send("embeddings", "vertex", model="gemini-embedding-001", **asked)
    assert (call.path, msgspec.json.decode(call.body)) == (f"{root}gemini-embedding-001:batchEmbedContents", {"requests": several})
    call = send("embeddings", "vertex", model="gemini-embedding-2", input="a")
    assert (call.path, msgspec.json.decode(call.body)) == (
        f"{root}gemini-embedding-2:embedContent",
        {"content": {"role": "user", "parts": [{"text": "a"}]}},
    )
    call = send("embeddings", "vertex", model="text-embedding-005", **asked)
    instances = [{"content": text, "task_type": "RETRIEVAL_QUERY"} for text in "ab"]
    assert (call.path, msgspec.json.decode(call.body)) == (
        f"{root}text-embedding-005:predict",
        {"instances": instances, "parameters": {"outputDimensionality": 8}},
    )
    assert sent("embeddings", "vertex", model="multimodalembedding@001", input="a") == {"instances": [{"text": "a"}]}
    with pytest.raises(InvalidRequest, match="one input at a time"):
        send("embeddings", "vertex", model="multimodalembedding@001", input=["a", "b"])


def test_vertexs_three_answers_are_read_with_what_they_count():
    def read(body):
        answer = dialect_for("vertex", "embedding").decode_answer(msgspec.json.encode(body))
        return [msgspec.json.decode(one["embedding"]) for one in answer.body["data"]], answer.usage

    counted = {"promptTokenCount": 3}
    assert read({"embedding": {"values": [0.5]}, "usageMetadata": counted}) == ([[0.5]], Usage(input_tokens=3))
    assert read({"embeddings": [{"values": [0.5]}, {"values": [1.0]}]}) == ([[0.5], [1.0]], None)
    predictions = [{"embeddings": {"values": [0.5], "statistics": {"token_count": tokens, "truncated": False}}} for tokens in (2, 4)]
    assert read({"predictions": predictions}) == ([[0.5], [0.5]], Usage(input_tokens=6))
    assert read({"predictions": [{"textEmbedding": [0.25]}]}) == ([[0.25]], None)


def test_what_googles_pictures_do_not_take_is_reported():
    asked = {"prompt": "x", "quality": "high", "seed": 7, "resolution": "2K", "output_format": "png"}
    assert set(send("images", "gemini", model="gemini-image", **asked).dropped) == {"quality", "output_format"}
    assert set(send("images", "gemini", model="imagen-4", **asked).dropped) == {"quality", "output_format", "seed", "resolution"}
