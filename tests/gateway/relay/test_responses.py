"""POST /api/v1/responses through the real path, with OpenAI's own client where it can say what is meant."""

import msgspec
import openai
import pytest

from tests.gateway.relay.conftest import cost_nanos
from tests.gateway.relay.test_answers import priced

MODELS = ["test/chat", "test/claude", "test/gemini"]
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}, "strict": False}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


@pytest.fixture
def client(customer):
    with openai.OpenAI(base_url=f"{customer.stack.url}/api/v1", api_key=customer.secret, max_retries=0) as one:
        yield one


def ask(customer, **fields):
    body = {"model": "test/chat", "input": "Say hello to the road.", "provider": {"order": ["alpha"]}, **fields}
    return customer.stack.client.post("/api/v1/responses", json=body, headers=customer.headers)


def events_of(answer):
    """Return the events of a stream; numbered without a gap, named as they say, ended by the mark."""
    blocks = [block for block in answer.text.split("\n\n") if block and not block.startswith(":")]
    assert blocks.pop() == "data: [DONE]"
    events = []
    for place, block in enumerate(blocks):
        name, _, data = block.partition("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == place
        events.append(event)
    return events


def chat_usage(usage):
    return {"prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"]}


def without_ids(response):
    response = {name: value for name, value in response.items() if name not in {"id", "created_at", "completed_at"}}
    return {
        **response,
        "output": [{k: v for k, v in item.items() if k not in {"id", "call_id", "encrypted_content"}} for item in response["output"]],
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_response_has_openais_shape_its_cost_and_one_receipt(customer, model):
    before = customer.balance_nanos()

    answer = ask(customer, model=model)

    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert (body["object"], body["status"], body["model"], body["store"]) == ("response", "completed", model, False)
    assert body["id"].removeprefix("resp_") == answer.headers["x-generation-id"].removeprefix("gen-")
    ((item,),) = (body["output"],)
    assert item["content"][0]["type"] == "output_text"
    assert cost_nanos(body["usage"]) == priced(chat_usage(body["usage"])) > 0
    assert before - customer.balance_nanos() == cost_nanos(body["usage"])
    (receipt,) = customer.receipts()
    assert (receipt.api_type, receipt.amount_nanos) == ("completions", cost_nanos(body["usage"]))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": [TOOL], "input": "[[simulate: calls=3]] look around"},
        {"reasoning": {"effort": "low"}, "max_output_tokens": 8000},
        {"max_output_tokens": 5},
        {"text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}},
    ],
    ids=["text", "tools", "reasoning", "length", "schema"],
)
def test_a_stream_ends_with_the_whole_answer_and_its_items_are_those_told_before(customer, model, fields):
    whole = ask(customer, model=model, **fields).json()

    events = events_of(ask(customer, model=model, stream=True, **fields))

    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    final = events[-1]["response"]
    assert events[-1]["type"] == f"response.{final['status']}"
    assert without_ids(final) == without_ids(whole)
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == final["output"]
    assert_items_follow_one_another(events)


def assert_items_follow_one_another(events):
    open_item, text = None, ""
    for event in events:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert open_item is None
            open_item, text = event["item"]["id"], ""
        elif kind == "response.output_item.done":
            assert event["item"]["id"] == open_item
            open_item = None
        elif "item_id" in event:
            assert event["item_id"] == open_item
            if kind.endswith(".delta"):
                text += event["delta"]
            elif kind.endswith("text.done"):
                assert event["text"] == text
            elif kind.endswith("arguments.done"):
                assert event["arguments"] == (text or "{}")
    assert open_item is None


@pytest.mark.parametrize("model", MODELS)
def test_the_official_client_reads_answers_streams_and_tools(client, model):
    first_choice = {"provider": {"order": ["alpha"]}}
    whole = client.responses.create(model=model, input="hello", instructions="Be kind.", extra_body=first_choice)
    assert whole.output_text
    with client.responses.stream(model=model, input="hello", instructions="Be kind.", extra_body=first_choice) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text == whole.output_text

    asked = [{"role": "user", "content": "[[simulate: calls=2]] look"}]
    first = client.responses.create(model=model, input=asked, tools=[TOOL], reasoning={"effort": "low"})
    calls = [item for item in first.output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in calls] == [("look", '{"at":"simulated"}')] * 2
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "a hill"} for call in calls]
    second = client.responses.create(model=model, input=[*asked, *first.output, *results], tools=[TOOL])
    assert second.status == "completed"
    assert second.output_text


def test_the_official_client_parses_structured_output(client):
    text = {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}

    answer = client.responses.create(model="test/chat", input="where", text=text)

    assert msgspec.json.decode(answer.output_text) == {"city": "simulated"}


def test_the_official_client_raises_its_own_errors(client):
    with pytest.raises(openai.BadRequestError, match="not a valid model"):
        client.responses.create(model="no/such", input="x")
    with pytest.raises(openai.BadRequestError, match="store") as caught:
        client.responses.create(model="test/chat", input="x", store=True)
    assert caught.value.param == "store"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tool_choice": "maybe", "tools": [TOOL]}, "tool_choice"),
    ],
)
def test_mistakes_are_told_with_the_field_and_cost_nothing(customer, fields, param):
    before = customer.balance_nanos()

    answer = ask(customer, **fields)

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert answer.json()["error_type"] == "invalid_request"
    assert customer.balance_nanos() == before


@pytest.mark.parametrize("directive", ["error_in_stream=5 rate=50", "cut_after=5 rate=50"])
def test_a_failure_in_the_middle_is_a_failed_response_and_free(customer, directive):
    before = customer.balance_nanos()

    events = events_of(ask(customer, stream=True, input=f"[[simulate: {directive}]] hello", provider={"only": ["alpha"]}))

    failed = events[-1]["response"]
    assert (events[-1]["type"], failed["status"], failed["error"]["code"]) == ("response.failed", "failed", "server_error")
    assert failed["error_type"] == "provider_unavailable"
    assert cost_nanos(failed["usage"]) == 0
    assert_items_follow_one_another(events)
    assert customer.balance_nanos() == before


def test_thoughts_of_every_provider_survive_a_round_trip(customer):
    for model in MODELS:
        first = ask(customer, model=model, input="think", reasoning={"effort": "low"}, max_output_tokens=8000).json()
        assert first["output"][0]["type"] == "reasoning"

        second = ask(
            customer, model=model, input=[{"role": "user", "content": "think"}, *first["output"], {"role": "user", "content": "more"}]
        )

        assert second.status_code == 200, second.text


@pytest.mark.parametrize("wish", [{"reasoning": {"max_tokens": 1024, "exclude": True}}, {"include_reasoning": False}])
def test_hidden_thoughts_cost_what_shown_ones_do(customer, wish):
    thinks = {"reasoning": {"max_tokens": 1024}, "max_output_tokens": 2000}

    shown, hidden = ask(customer, **thinks).json(), ask(customer, **{**thinks, **wish}).json()
    events = events_of(ask(customer, stream=True, **{**thinks, **wish}))

    streamed = events[-1]["response"]
    assert [item["type"] for item in shown["output"]] == ["reasoning", "message"]
    assert [item["type"] for item in hidden["output"]] == [item["type"] for item in streamed["output"]] == ["message"]
    assert not [event for event in events if "reasoning" in event["type"]]
    assert hidden["usage"] == shown["usage"] == streamed["usage"]
    assert shown["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert [receipt.amount_nanos for receipt in customer.receipts()] == [cost_nanos(shown["usage"])] * 3
