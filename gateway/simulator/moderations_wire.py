"""The simulator's verdicts, in OpenAI's form. Pure.

Nobody judges: a text is flagged for a category when the category's own word is in it, so that a test can ask for either answer.
"""

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.forms import FormWire
from gateway.simulator.replies import SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import IMAGE_TOKENS, count_tokens
from gateway.simulator.wire import BadBody, Json, Prompt

_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm", "self-harm/intent"),
    *("self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic"),
)


def judge(request: SimRequest) -> SimReply:
    """Return the words of each category that were found, text by text."""
    verdicts = [[name for name in _CATEGORIES if name in text.lower()] for text in request.inputs]
    usage = SimUsage(input_tokens=request.prompt_tokens)
    return SimReply(id=request.prompt_key[:24], model=request.model, choices=[], usage=usage, verdicts=verdicts)


class ModerationsWire(FormWire):
    """POST /v1/moderations."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body. Parts are judged together, texts one by one."""
        del stream
        given = body.get("input")
        given = [given] if isinstance(given, str) else given
        if not isinstance(given, list) or not given:
            raise BadBody("'input' must be a string or an array and not empty")
        texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in given]
        prompt = Prompt()
        for text in texts:
            prompt.add_text(text)
        pictures = sum(1 for one in given if isinstance(one, dict) and one.get("type") == "image_url")
        return SimRequest(
            model=str(body.get("model") or model),
            prompt_tokens=sum(count_tokens(text) for text in texts) + pictures * IMAGE_TOKENS,
            prompt_key=prompt.key,
            control=find_in_text(" ".join(texts)),
            make=judge,
            inputs=tuple(texts) if all(isinstance(one, str) for one in given) else (" ".join(texts),),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write the verdicts."""
        results = [
            {
                "flagged": bool(found),
                "categories": {name: name in found for name in _CATEGORIES},
                "category_scores": {name: 0.98 if name in found else 0.01 for name in _CATEGORIES},
                "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
            }
            for found in reply.verdicts
        ]
        body: Json = {"id": f"modr-sim-{reply.id}", "model": reply.model, "results": results}
        if "missing_usage" not in directives and not reply.model.startswith("omni"):
            body["usage"] = {"prompt_tokens": reply.usage.prompt_tokens, "total_tokens": reply.usage.prompt_tokens, "completion_tokens": 0}
        return body
