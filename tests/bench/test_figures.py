from bench.figures import Books, Load, percentile


def books(**changes: int) -> Books:
    return Books(
        **{
            "answers": 10,
            "cut_off": 2,
            "receipts": 11,
            "charged_nanos": 1,
            "distinct_amounts": 1,
            "settled_per_s": 1.0,
            "backlog": 1,
            "verify_exit": 0,
            "verify_says": "",
            **changes,
        }
    )


def test_a_percentile_is_a_value_that_was_measured():
    ordered = [float(n) for n in range(1, 101)]
    assert [percentile(ordered, p) for p in (0, 1, 50, 99, 100)] == [1.0, 1.0, 50.0, 99.0, 100.0]
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 50) == 0.0


def test_the_rate_is_of_answers_alone():
    assert Load(connections=1, requests=900, failures=100, duration_s=3, p50_ms=1, p99_ms=2).per_s == 300


def test_books_agree_only_when_each_answer_has_a_receipt_and_no_stranger_has_one():
    assert books().agree
    assert books(receipts=12).agree
    assert not books(receipts=9).agree
    assert not books(receipts=13).agree
    assert not books(verify_exit=1).agree
