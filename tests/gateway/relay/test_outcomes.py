import pytest

from gateway.dialects.base import InvalidRequest, UpstreamFault
from gateway.relay.attempts import fault_from_down, fault_from_refusal
from gateway.relay.outcomes import StreamedCalls, calls_of, name_outcome
from gateway.relay.tallies import FAULTS
from gateway.relay.upstream import UpstreamDown


def fault(status, error_type="unmapped"):
    return UpstreamFault(status=502, message="m", error_type=error_type, upstream_status=status)


@pytest.mark.parametrize("status", [401, 402, 404, 408, 500, 502, 503, 504, 524, 529, 200])
def test_what_is_the_providers_doing_counts_against_its_endpoint(status):
    assert name_outcome(fault(status)) in FAULTS


@pytest.mark.parametrize("status", [400, 403, 413, 415, 422, 429])
def test_what_the_caller_did_and_rate_limits_do_not(status):
    assert name_outcome(fault(status)) not in FAULTS


@pytest.mark.parametrize("word", ["context_length_exceeded", "content_policy_violation", "rate_limit_exceeded"])
def test_a_refusal_of_the_request_does_not_count_whatever_its_status(word):
    assert name_outcome(fault(500, word)) not in FAULTS


@pytest.mark.parametrize("kind", ["connect", "timeout", "network"])
def test_a_broken_connection_counts(kind):
    assert name_outcome(fault_from_down(UpstreamDown(kind, "broke", sent=True), "One")) == kind


def test_what_a_wire_format_cannot_express_does_not_count():
    assert name_outcome(fault_from_refusal(InvalidRequest("no"))) not in FAULTS


def test_calls_of_a_whole_answer_and_of_its_stream_are_the_same():
    message = {
        "tool_calls": [
            {"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "2", "function": {"name": "ping", "arguments": ""}},
        ]
    }
    stream = StreamedCalls()
    stream.feed([{"choices": [{"index": 0, "delta": {"content": "hm"}}]}, {"choices": []}])
    stream.feed([{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "add", "arguments": '{"a"'}}]}}]}])
    stream.feed([{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}}]}])
    stream.feed([{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"name": "ping", "arguments": ""}}]}}]}])

    assert calls_of({"choices": [{"message": message}]}) == stream.calls == [("add", '{"a": 1}'), ("ping", "")]
    assert calls_of({"choices": [{"message": {"content": "hi"}}]}) == []


@pytest.mark.parametrize("call", [None, "call", {}, {"function": "add"}, {"function": {"name": ["add"], "arguments": {"a": 1}}}])
def test_a_call_that_makes_no_sense_is_a_call_of_nothing(call):
    assert calls_of({"choices": [{"message": {"tool_calls": [call]}}]}) == [("", "")]
