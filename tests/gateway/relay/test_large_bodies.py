"""Bodies of megabytes, which are read, written and signed beside the loop: they arrive whole, in every format."""

import pytest

PIECE = "iVBORw0KGgo" + "A" * 600_000 + "="
PATHS = {"test/single": "/p/alpha/", "test/claude": "/p/clio/", "test/gemini": "/p/gem/", "test/bedrock": "/p/amazon-bedrock/"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", PATHS)
def test_a_large_picture_arrives_whole(customer, model, stream):
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIECE}"}}
    asked = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
    answer = customer.post(model=model, provider={}, stream=stream, messages=asked)
    assert answer.status_code == 200, answer.text
    assert "This is a simulated answer" in answer.text or "data: [DONE]" in answer.text
    assert PIECE.encode() in customer.stack.recorder.last(PATHS[model]).body
