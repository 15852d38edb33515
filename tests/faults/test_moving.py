"""An organization is moved from shard to shard while it is used by several gateway processes."""

import re
import statistics
import time

import pytest

from tests.faults.scale import times
from tests.faults.test_bad_days import assert_everything_is_billed_once

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]


@pytest.mark.long
def test_an_organization_moved_under_load_pauses_for_seconds_and_loses_nothing(stack, record_property):
    before = stack.earlier()
    rounds, paused_s = times(3, 20), []
    organization = stack.organization()
    with stack.traffic() as record:
        for number in range(rounds):
            time.sleep(1)
            done = stack.manage("move_organization", organization, "--shard", str(100 + number % 5))
            assert done.returncode == 0, done.stdout + done.stderr
            paused_s.append(float(re.search(r"paused for ([\d.]+) s", done.stdout)[1]))
            answered, deadline = len(record.costs_nanos), time.monotonic() + 30
            while len(record.costs_nanos) == answered:
                assert time.monotonic() < deadline, "nobody is answered after the move"
                time.sleep(0.05)
        time.sleep(1)

    assert len(record.costs_nanos) > 50
    assert max(paused_s) <= 5
    assert_everything_is_billed_once(stack, record, before)
    record_property("repeats", rounds)
    record_property(
        "figure",
        f"{rounds} moves, {len(record.costs_nanos):,} answers billed once; paused for {statistics.median(paused_s):.2f} s in the median,"
        f" {max(paused_s):.2f} s at most",
    )
