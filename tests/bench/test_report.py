from bench.figures import Books, Figures, Load, Streaming
from bench.report import render, write
from bench.run import GATEWAY, NGINX, UPSTREAM
from bench.translation import Translation


def load(per_s: int, p50_ms: float) -> Load:
    return Load(connections=16, requests=per_s, failures=0, duration_s=1, p50_ms=p50_ms, p99_ms=p50_ms * 2)


def figures(when: str = "2026-11-25 12:00") -> Figures:
    made = Figures(when=when, commit="abc1234", machine="2 cores", versions={"Python": "3.11"}, cores="", driver="wrk")
    made.loads = {UPSTREAM: [load(50_000, 0.1)], NGINX: [load(20_000, 0.2)], GATEWAY: [load(5_000, 0.5)]}
    made.fifth = {UPSTREAM: load(1_000, 0.1), GATEWAY: load(1_000, 0.45)}
    made.streams = {GATEWAY: [Streaming(100, 5_000.0, 4_990.0, 0, 1.0, 2.0, 0.3, 0.9, 100, 41.0)]}
    made.books = Books(10, 0, 10, 70, 1, 12_000.0, 5, 0, "")
    return made


def test_the_page_compares_with_the_upstream_and_nginx_of_the_same_run():
    page = render(figures())
    assert "| 16 | Tollway | 5,000 | 0.100 | 0.250 | 0.50 | 1.00 | 0.40 |" in page
    assert "| requests/s per process, whole answers | ≥ 4,000 | 5,000 | yes |" in page
    assert "| added at a fifth of that, p50 | ≤ 0.6 ms | 0.35 ms | yes |" in page
    assert "| chunks relayed/s per process | ≥ 15,000 | 4,990 | no |" in page


def test_what_is_added_to_one_request_at_a_time_stands_beside_its_goal():
    made = figures()
    for who, p50_ms in ((UPSTREAM, 0.02), (GATEWAY, 0.57)):
        made.loads[who].append(Load(connections=1, requests=900, failures=0, duration_s=1, p50_ms=p50_ms, p99_ms=9.0))
    assert "| added to one request at a time, p50 | ≤ 0.6 ms | 0.55 ms | yes |" in render(made)


def test_the_page_says_whether_the_hot_path_was_compiled():
    made = figures()
    assert "The hot path was compiled (`make compiled`)." in render(made)
    made.python_because = "nothing is compiled"
    assert "The hot path ran as Python: nothing is compiled." in render(made)


def test_earlier_runs_stay_in_the_history_newest_first(tmp_path):
    page, plot = tmp_path / "page.md", tmp_path / "plot.svg"
    for when in ("2026-11-25 12:00", "2026-11-26 12:00", "2026-11-27 12:00"):
        write(figures(when), page=page, plot=plot)
    history = page.read_text().partition("## History\n")[2]
    assert [line[2:12] for line in history.splitlines() if line.startswith("| 2026")] == ["2026-11-27", "2026-11-26", "2026-11-25"]
    assert page.read_text().count("## History") == 1
    assert plot.read_text().startswith("<?xml")


def test_translation_stands_beside_its_goals():
    made = figures()
    made.translations = [
        Translation("chat", "messages", 40.0, 12.0, 53.0, 11.4),
        Translation("chat", "chat_completions", 20.0, 9.0, 30.0, 3.8),
    ]
    page = render(made)
    assert "| a 2 KiB request, Chat to Messages and back, p50 | ≤ 0.15 ms | 0.05 ms | yes |" in page
    assert "| a streamed chunk, Messages to Chat, p50 | ≤ 10 µs | 11.40 µs | no |" in page
    assert "| a streamed chunk that passes through, p50 | ≤ 5 µs | 3.80 µs | yes |" in page
    assert page.index("## Streams") < page.index("## Translation") < page.index("## Memory and books")


def test_the_middle_of_the_rounds_counts_and_every_round_is_told():
    made = figures()
    made.loads = {}
    for per_s, p50_ms in ((3_000, 0.9), (5_000, 0.5), (4_100, 0.7)):
        made.add_load(GATEWAY, load(per_s, p50_ms))
        made.add_load(UPSTREAM, load(per_s * 10, 0.1))
        made.add_fifth(GATEWAY, load(1_000, p50_ms - 0.2))
    page = render(made)
    assert "| requests/s per process, whole answers | ≥ 4,000 | 4,100 | yes |" in page
    assert "| added at a fifth of that, p50 | ≤ 0.6 ms | 0.40 ms | yes |" in page
    assert "- 16 connections: 3,000/s (0.90 ms, 0 µs), 5,000/s (0.50 ms, 0 µs), 4,100/s (0.70 ms, 0 µs)" in page
