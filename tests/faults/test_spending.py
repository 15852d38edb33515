"""Many tasks of several gateway processes spend one organization's last dollar at once."""

import json
import os
import subprocess
import sys
import time

import pytest

from accounts import api_keys
from billing import live
from billing.books import invariants, settlement
from tests.billing.conftest import USD
from tests.faults import spender
from tests.faults.scale import is_full
from tests.faults.stack import ROOT

pytestmark = pytest.mark.xdist_group("faults")

SHARD = 7
PROCESSES, TASKS = 4, 200
WITHIN_S = 120


def _start(folder, organization, key, seed, *, tasks=TASKS, margin=0):
    arguments = [folder, organization.pk, key.pk, SHARD, tasks, seed, margin]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.spender", *map(str, arguments)],
        cwd=ROOT,
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _await_the_end(organization):
    """Book what is settled until nobody holds anything and the smallest hold does not fit any more."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        settlement.settle_shard(shard=SHARD)
        known = live.read_balance(org_id=organization.pk, shard=SHARD)
        if known.held_nanos == 0 and known.avail_nanos < spender.HOLD_MIN_NANOS:
            return
        assert time.monotonic() < deadline, known
        time.sleep(0.1)


@pytest.mark.parametrize("seed", range(10 if is_full() else 1))
def test_eight_hundred_tasks_of_four_processes_spend_a_dollar_to_the_last_request_and_not_a_nano_more(
    make_organization, tmp_path, record_property, seed
):
    organization = make_organization(USD)
    key, _ = api_keys.create(organization=organization, name="k", by=organization.memberships.get().user)
    began_s = time.monotonic()
    processes = [_start(tmp_path / str(number), organization, key, seed * PROCESSES + number) for number in range(PROCESSES)]
    _await_the_end(organization)
    took_s = time.monotonic() - began_s
    reports = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    settlement.settle_shard(shard=SHARD)

    total = {name: sum(report[name] for report in reports) for name in reports[0]}
    left_nanos = live.read_balance(org_id=organization.pk, shard=SHARD).avail_nanos
    assert total["false_refusals"] == 0
    assert total["refused"] > 0  # they did fight for the rest
    assert total["charged"] == USD - left_nanos
    assert total["charged"] <= USD + total["overrun"]
    assert left_nanos < spender.HOLD_MIN_NANOS
    assert invariants.verify(shards=[SHARD]) == []
    over_millionths = max(0, -left_nanos) * 1_000_000 // USD
    used_millionths = min(total["charged"], USD) * 1_000_000 // USD
    # A machine that is busier than the time-outs allow for answers 503, which charges nothing and refuses nobody for money.
    again = f"; {total['unavailable']:,} told to ask again" if total["unavailable"] else ""
    record_property("repeats", total["settled"])
    record_property(
        "figure",
        f"{total['settled']:,} requests in {took_s:.1f} s, {total['refused']:,} refused, none wrongly; "
        f"{used_millionths / 10_000:.2f} % of the dollar used, {over_millionths / 10_000:.3f} % over{again}",
    )


@pytest.mark.parametrize("seed", range(10 if is_full() else 1))
def test_four_processes_that_lease_until_the_balance_is_gone_spend_all_of_it_and_not_a_nano_more(
    make_organization, tmp_path, record_property, seed
):
    granted_nanos = 8 * USD
    organization = make_organization(granted_nanos)
    key, _ = api_keys.create(organization=organization, name="k", by=organization.memberships.get().user)
    # Leases are given until four times as much is free, not fifty times: so they are there when the balance ends.
    processes = [_start(tmp_path / str(n), organization, key, seed * PROCESSES + n, tasks=40, margin=4) for n in range(PROCESSES)]
    _await_the_end(organization)
    reports = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    settlement.settle_shard(shard=SHARD)

    total = {name: sum(report[name] for report in reports) for name in reports[0]}
    left_nanos = live.read_balance(org_id=organization.pk, shard=SHARD).avail_nanos
    assert total["drawn"] > 100
    assert total["charged"] == granted_nanos - left_nanos
    assert total["charged"] <= granted_nanos + total["overrun"]
    assert left_nanos < spender.HOLD_MIN_NANOS  # nothing is stranded
    assert invariants.verify(shards=[SHARD]) == []
    share = total["drawn"] * 100 / (total["settled"] or 1)
    record_property("repeats", total["settled"])
    record_property("figure", f"{total['settled']:,} requests, {share:.0f} % of them out of a lease; {left_nanos:,} nanos left")
