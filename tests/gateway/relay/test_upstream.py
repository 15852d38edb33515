"""The client towards providers, against a real socket server that answers with given bytes: every framing, every way to break off."""

import asyncio
import datetime as dt
import gzip
import ipaddress
import itertools
import ssl
from contextlib import asynccontextmanager

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.relay.upstream import UpstreamClient, UpstreamDown, aim

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Request-Id: r1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def event_loop_policy():
    return uvloop.EventLoopPolicy()  # as in production


class Provider:
    """Answers the n-th request of each connection with the n-th script of its list: bytes, seconds to wait, or None to close."""

    def __init__(self) -> None:
        self.scripts = [[OK]]
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked, self.closed = asyncio.Event(), asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        mine = list(self.scripts) if self.connections == 1 else [[OK]] * 50
        try:
            for script in mine:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                self.asked.set()
                for step in script:
                    if step is None:
                        return
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    else:
                        await asyncio.sleep(step)
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def provider_with(*scripts, tls=None, idle_timeout_s=5.0):
    provider = Provider()
    provider.scripts = [list(script) for script in scripts]
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, ssl=tls)
    client = UpstreamClient(connect_timeout_s=2, idle_timeout_s=idle_timeout_s)
    port = server.sockets[0].getsockname()[1]
    provider.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1/chat?a=1"
    try:
        yield provider, client
    finally:
        await client.close()
        server.close()


async def ask(client, provider, body=b"{}", **options):
    return await client.send(aim(provider.url, {"content-type": "application/json"}, **options), body, timeout_s=2)


async def read_stream(client, provider, **options):
    pieces = []
    async with client.stream(aim(provider.url, {}, **options), b"{}", timeout_s=2) as answer:
        while (piece := await answer.read()) is not None:
            pieces.append(piece)
    return pieces


async def test_a_request_is_written_whole_and_its_answer_read_whole():
    async with provider_with([OK]) as (provider, client):
        answer = await ask(client, provider, b'{"a": 1}')

    port = provider.url.split(":")[2].split("/")[0]
    assert (answer.status, answer.body, answer.header("x-request-id"), answer.header("x-other")) == (200, b"hello", "r1", None)
    assert provider.requests == [
        f"POST /v1/chat?a=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: Tollway/0.1\r\naccept: */*\r\n"
        'accept-encoding: identity\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{"a": 1}'.encode()
    ]


async def test_a_connection_is_used_again_and_two_requests_at_once_take_two():
    async with provider_with([OK], [OK], [OK]) as (provider, client):
        await ask(client, provider)
        await ask(client, provider)
        assert provider.connections == 1
        await asyncio.gather(ask(client, provider), ask(client, provider))
        assert provider.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b"
        % (len(gzip.compress(b"hello")), gzip.compress(b"hello")),
    ],
    ids=["chunked", "interim answer first", "compressed though not asked for"],
)
async def test_every_framing_gives_the_same_body(answer):
    async with provider_with([answer], [answer]) as (provider, client):
        assert (await ask(client, provider)).body == b"hello"
        assert b"".join(await read_stream(client, provider)) == b"hello"
        assert provider.connections == 1


async def test_an_answer_without_a_length_ends_with_its_connection():
    async with provider_with([b"HTTP/1.1 200 OK\r\n\r\nhel", 0.01, b"lo", None]) as (provider, client):
        assert (await ask(client, provider)).body == b"hello"


@pytest.mark.parametrize(
    "close", [b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"]
)
async def test_a_connection_that_the_provider_will_close_is_not_used_again(close):
    async with provider_with([close, 0.2], [OK]) as (provider, client):
        assert (await ask(client, provider)).body == b"hi"
        assert (await ask(client, provider)).body == b"hello"
        assert provider.connections == 2


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([None], "network"),
        ([OK[:-2], None], "network"),
        ([CHUNKED + b"5\r\nhello\r\n", None], "network"),
        ([b"SSH-2.0-nothing\r\n"], "network"),
        ([b"HTTP/1.1 200 OK\r\n" + b"a: " + b"x" * 70_000], "network"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"], "network"),
    ],
    ids=["closed", "cut in the body", "cut between chunks", "no HTTP", "endless head", "another protocol"],
)
async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(script, kind):
    async with provider_with(script) as (provider, client):
        with pytest.raises(UpstreamDown) as down:
            await ask(client, provider)

    assert (down.value.kind, down.value.sent) == (kind, True)


async def test_silence_ends_at_the_time_out_and_the_provider_is_stopped():
    async with provider_with([10]) as (provider, client):
        with pytest.raises(UpstreamDown) as down:
            await client.send(aim(provider.url, {}), b"{}", timeout_s=0.1)
        assert down.value.kind == "timeout"


async def test_a_shorter_time_out_holds_on_a_connection_that_had_a_longer_one():
    async with provider_with([OK], [10]) as (provider, client):
        await client.send(aim(provider.url, {}), b"{}", timeout_s=600)
        with pytest.raises(UpstreamDown) as down:
            await client.send(aim(provider.url, {}), b"{}", timeout_s=0.1)

    assert (down.value.kind, provider.connections) == ("timeout", 1)


async def test_a_longer_time_out_holds_on_a_connection_whose_shorter_one_has_run_out_since():
    async with provider_with([OK], [0.4, OK]) as (provider, client):
        await client.send(aim(provider.url, {}), b"{}", timeout_s=0.2)
        answer = await client.send(aim(provider.url, {}), b"{}", timeout_s=600)

    assert (answer.body, provider.connections) == (b"hello", 1)


async def test_a_connection_that_is_idle_when_its_time_out_would_end_stays_open():
    async with provider_with([OK], [OK]) as (provider, client):
        await client.send(aim(provider.url, {}), b"{}", timeout_s=0.2)
        await asyncio.sleep(0.4)
        answer = await client.send(aim(provider.url, {}), b"{}", timeout_s=2)

    assert (answer.body, provider.connections) == (b"hello", 1)


async def test_a_stream_that_falls_silent_ends_and_what_came_before_is_given_out():
    async with (
        provider_with([CHUNKED + b"2\r\nhi\r\n", 10], idle_timeout_s=0.1) as (provider, client),
        client.stream(aim(provider.url, {}), b"{}", timeout_s=2) as answer,
    ):
        assert await answer.read() == b"hi"
        with pytest.raises(UpstreamDown) as down:
            await answer.read()
    assert down.value.kind == "timeout"


async def test_pieces_are_handed_over_as_they_come():
    gate = [CHUNKED + b"2\r\nhi\r\n", 0.05, b"2\r\nho\r\n0\r\n\r\n"]
    async with provider_with(gate) as (provider, client):
        assert await read_stream(client, provider) == [b"hi", b"ho"]


async def test_leaving_a_stream_closes_the_connection():
    async with provider_with([CHUNKED + b"2\r\nhi\r\n", 0.01, b"2\r\nhi\r\n"]) as (provider, client):
        async with client.stream(aim(provider.url, {}), b"{}", timeout_s=2) as answer:
            await answer.read()
        await asyncio.wait_for(provider.closed.wait(), 5)
        await ask(client, provider)
        assert provider.connections == 2


async def test_a_cancelled_request_closes_its_connection():
    async with provider_with([0.05, OK]) as (provider, client):
        task = asyncio.create_task(ask(client, provider))
        await provider.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await ask(client, provider)).body == b"hello"
        assert provider.connections == 2


async def test_a_request_that_met_a_closing_idle_connection_goes_out_again():
    async with provider_with([OK], [None]) as (provider, client):
        await ask(client, provider)

        assert (await ask(client, provider)).body == b"hello"
        assert (provider.connections, len(provider.requests)) == (2, 3)


async def test_a_request_that_was_worked_on_before_its_connection_broke_does_not_go_out_again():
    async with provider_with([OK], [1.1, None]) as (provider, client):
        await ask(client, provider)
        with pytest.raises(UpstreamDown):
            await ask(client, provider)
        assert len(provider.requests) == 2


async def test_bytes_that_nobody_asked_for_are_not_the_next_answer():
    async with provider_with([OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"], [OK]) as (provider, client):
        assert (await ask(client, provider)).body == b"hello"
        assert (await ask(client, provider)).body == b"hello"


async def test_a_slow_reader_holds_the_provider_back():
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    async with (
        provider_with([CHUNKED, *[chunk] * 400, b"0\r\n\r\n"]) as (provider, client),
        client.stream(aim(provider.url, {}), b"{}", timeout_s=2) as answer,
    ):
        await asyncio.sleep(0.3)
        waiting = sum(map(len, answer._connection.pieces))
        size = 0
        while (piece := await answer.read()) is not None:
            size += len(piece)
    assert waiting < 2 * 1024 * 1024
    assert size == 400 * 65_536


async def test_a_header_cannot_smuggle_another_one():
    async with provider_with([OK]) as (provider, client):
        with pytest.raises(UpstreamDown):
            await client.send(aim(provider.url, {"authorization": "Bearer x\r\nhost: evil"}), b"{}", timeout_s=2)
        assert provider.requests == []


async def test_a_provider_that_must_be_public_is_not_called_at_a_private_address():
    async with provider_with([OK]) as (provider, client):
        for host in ("127.0.0.1", "localhost"):
            provider.url = provider.url.replace("127.0.0.1", host)
            with pytest.raises(UpstreamDown) as down:
                await ask(client, provider, is_public_only=True)
            assert (down.value.kind, down.value.sent) == ("connect", False)
        assert provider.connections == 0


async def test_a_closed_port_is_a_failed_connection():
    async with provider_with([OK]) as (provider, client):
        pass
    client = UpstreamClient(connect_timeout_s=2, idle_timeout_s=5)
    with pytest.raises(UpstreamDown) as down:
        await ask(client, provider)
    assert (down.value.kind, down.value.sent) == ("connect", False)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    async with provider_with([OK], tls=_own_certificate(tmp_path)) as (provider, client):
        with pytest.raises(UpstreamDown) as down:
            await ask(client, provider)
        assert (down.value.kind, provider.requests) == ("connect", [])
        client._tls_context().load_verify_locations(tmp_path / "cert.pem")
        assert (await ask(client, provider)).body == b"hello"


def _own_certificate(folder) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider")])
    now = dt.datetime.now(tz=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=8), cuts=st.lists(st.integers(1, 400), max_size=6))
async def test_however_the_network_cuts_an_answer_its_bytes_are_the_same(chunks, cuts):
    answer = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    borders = sorted({0, *(cut for cut in cuts if cut < len(answer)), len(answer)})
    steps = []
    for start, end in itertools.pairwise(borders):
        steps += [answer[start:end], 0.0005]
    async with provider_with(steps) as (provider, client):
        assert b"".join(await read_stream(client, provider)) == b"".join(chunks)
