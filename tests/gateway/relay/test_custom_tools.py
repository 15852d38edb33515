"""Tools whose calls are free text, with OpenAI's client, in front of every provider: called, streamed, answered, called again."""

import openai
import pytest

from tests.gateway.relay.conftest import cost_nanos

NATIVE, MAPPED = "test/gpt-5", ["test/chat", "test/claude", "test/gemini", "test/responses", "test/bedrock", "test/cohere"]
#: What the simulated models write: those that have such tools, and those that get a function.
FREE, STAND_IN = 'print("simulated")\n# no JSON: \\n is \\n, a face is 🙂\n', "simulated"
TEXTS = [(NATIVE, FREE), *((model, STAND_IN) for model in MAPPED)]
GRAMMAR = {"syntax": "lark", "definition": "start: /.+/"}
RUN = {"name": "run", "description": "Runs code."}
QUESTION = "Run something short, please."


@pytest.fixture
def client(customer):
    return openai.OpenAI(base_url=f"{customer.stack.url}/api/v1", api_key=customer.secret, max_retries=0)


@pytest.mark.parametrize(("model", "text"), TEXTS)
def test_chat_calls_them_and_hears_what_came_of_it(client, customer, model, text):
    before = customer.balance_nanos()
    messages = [{"role": "user", "content": QUESTION}]
    tools = [{"type": "custom", "custom": RUN}]

    answer = client.chat.completions.create(model=model, messages=messages, tools=tools)

    (call,) = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert (call.type, call.custom.name, call.custom.input) == ("custom", "run", text)
    assert before - customer.balance_nanos() == cost_nanos(answer.usage.model_dump())
    result = {"role": "tool", "tool_call_id": call.id, "content": "done"}
    again = client.chat.completions.create(model=model, messages=[*messages, answer.choices[0].message, result], tools=tools)
    assert again.choices[0].message.content.startswith("This is a simulated answer")
    assert again.usage.prompt_tokens > answer.usage.prompt_tokens


@pytest.mark.parametrize(("model", "text"), TEXTS)
def test_chat_streams_them(client, model, text):
    tools = [{"type": "custom", "custom": RUN}]
    chunks = list(client.chat.completions.create(model=model, messages=[{"role": "user", "content": QUESTION}], tools=tools, stream=True))
    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert (deltas[0].type, deltas[0].custom["name"]) == ("custom", "run")
    assert deltas[0].id
    assert "".join(delta.custom["input"] for delta in deltas) == text
    assert all(delta.function is None for delta in deltas)
    assert len(deltas) > 2 or model != NATIVE


@pytest.mark.parametrize(("model", "text"), TEXTS)
def test_responses_calls_them_and_hears_what_came_of_it(client, model, text):
    tools = [{"type": "custom", **RUN}]
    choice = {"type": "custom", "name": "run"}

    answer = client.responses.create(model=model, input=QUESTION, tools=tools, tool_choice=choice)

    (item,) = [item for item in answer.output if item.type != "reasoning"]
    assert (item.type, item.name, item.input) == ("custom_tool_call", "run", text)
    history = [{"role": "user", "content": QUESTION}, item, {"type": "custom_tool_call_output", "call_id": item.call_id, "output": "done"}]
    again = client.responses.create(model=model, input=history, tools=tools)
    assert again.output_text.startswith("This is a simulated answer")


@pytest.mark.parametrize(("model", "text"), TEXTS)
def test_responses_streams_them(client, model, text):
    events = list(client.responses.create(model=model, input=QUESTION, tools=[{"type": "custom", **RUN}], stream=True))
    pieces = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
    (done,) = [event for event in events if event.type == "response.custom_tool_call_input.done"]
    assert "".join(pieces) == done.input == text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    (item,) = [item for item in events[-1].response.output if item.type != "reasoning"]
    assert (item.type, item.input, item.status) == ("custom_tool_call", text, "completed")


@pytest.mark.parametrize("model", [NATIVE, "test/claude"])
def test_several_at_once_beside_functions(client, model):
    tools = [{"type": "custom", **RUN}, {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}]
    asked = {"model": model, "input": f"[[simulate: calls=4]] {QUESTION}", "tools": tools}
    whole = [(item.type, item.name) for item in client.responses.create(**asked).output]
    assert whole == [("custom_tool_call", "run"), ("function_call", "look")] * 2
    streamed = list(client.responses.create(**asked, stream=True))[-1].response.output
    assert [(item.type, item.name) for item in streamed] == whole


def test_a_grammar_is_passed_on_or_told_or_refused(client, customer):
    tools = [{"type": "custom", **RUN, "format": {"type": "grammar", **GRAMMAR}}]
    raw = client.responses.with_raw_response.create(model=NATIVE, input=QUESTION, tools=tools)
    assert "x-tollway-dropped-parameters" not in raw.headers
    assert customer.stack.recorder.last("/p/openai/").json()["tools"] == tools
    told = client.responses.with_raw_response.create(model="test/claude", input=QUESTION, tools=tools)
    assert told.headers["x-tollway-dropped-parameters"] == "tools[0].format"
    strict = {"provider": {"require_parameters": True}}
    with pytest.raises(openai.BadRequestError, match=r"tools\[0\]\.format would be left out"):
        client.responses.create(model="test/claude", input=QUESTION, tools=tools, extra_body=strict)
    client.responses.create(model=NATIVE, input=QUESTION, tools=tools, extra_body=strict)


def test_only_the_allowed_tools_are_offered(client, customer):
    tools = [{"type": "custom", **RUN}, {"type": "custom", "name": "note"}]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "note"}]}
    for model in (NATIVE, "test/gemini"):
        assert client.responses.create(model=model, input=QUESTION, tools=tools, tool_choice=allowed).output[-1].name == "note"
        chosen = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "custom", "custom": {"name": "note"}}]}}
        listed = [{"type": "custom", "custom": RUN}, {"type": "custom", "custom": {"name": "note"}}]
        said = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": QUESTION}], tools=listed, tool_choice=chosen
        )
        assert said.choices[0].message.tool_calls[0].custom.name == "note"
    offered = customer.stack.recorder.last("/p/gem/").json()["tools"][0]["functionDeclarations"]
    assert [tool["name"] for tool in offered] == ["note"]


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_a_name_that_is_taken_costs_nothing(customer, path):
    before = customer.balance_nanos()
    if path == "responses":
        body = {"input": QUESTION, "tools": [{"type": "custom", "name": "a"}, {"type": "function", "name": "a", "parameters": {}}]}
        param = "tools[0].name"
    else:
        body = {"messages": [{"role": "user", "content": QUESTION}], "tools": [{"type": "custom", "custom": {"name": "a"}}] * 2}
        param = "tools[0].custom.name"
    answer = customer.stack.client.post(f"/api/v1/{path}", json={"model": NATIVE, **body}, headers=customer.headers)
    assert (answer.status_code, answer.json()["error"]["metadata"]["param"]) == (400, param)
    assert customer.balance_nanos() == before
