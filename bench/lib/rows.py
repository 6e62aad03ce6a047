# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: what is done to each server, and the figures that come out."""
import json
import time
import urllib.request

from . import flows, load, proc, scale, servers, start

STREAMS_IDLE = 4000
READERS = 1000
BUFFER = "256k"
WS_BUFFER = "64k"  # what stopped WebSockets have sent and not read lies in all eight buffers of their way, of which tcp_mem has to hold 1,000


class Row:
    """`measure(bench, server, seconds)` gives {figure: value}; `main` is the figure that ratios are made of, lower is
    better. Rows that are `fresh` get a server of their own in each round, because they compare its memory or leave it in
    another state; it may have flags for mcpgate and an upstream of its own (`upstream`: the flags of `mcpload serve`).
    `without`: the servers that cannot do it; `rivals`: whom mcpgate is held against."""

    rivals = ("nginx", "haproxy")

    def __init__(self, name, title, main, unit, measure, fresh=False, mcpgate=(), upstream=None, without=()):
        self.name, self.title, self.main, self.unit, self.measure, self.fresh = name, title, main, unit, measure, fresh
        self.mcpgate, self.upstream, self.without, self._site = mcpgate, upstream, without, None

    def takes(self, peer):
        return peer in ("mcpgate", "floor", *self.rivals) and peer not in self.without

    def start(self, bench, peer, running):
        return servers.start_peer(bench, peer, self.mcpgate) if self.fresh else running[peer]

    def site(self, bench):
        """Where this row's servers find their upstream."""
        if self.upstream is None:
            return bench
        if self._site is None:
            self._site = servers.Bench(bench.build, bench.run)
            servers.start_upstream(self._site, self.upstream)
        return self._site


def _requests(path, *flags, command=()):
    def measure(bench, server, seconds):
        result = load.result(bench, server, path, flags, seconds, command=command)
        latency = result.get("latency", {})
        return {
            "cpu_us": result.get("cpu_us", 0),
            "per_second": result["requests_per_second"],
            "p50_us": latency.get("p50_us", 0),
            "p99_us": latency.get("p99_us", 0),
            "failed": result["failed"],
        }

    return measure


def _events(rate):
    def measure(bench, server, seconds):
        flags = ["--connections", 0, "--streams", 100]
        result = load.result(bench, server, f"/sse?rate={rate}", flags, seconds)
        delay = result.get("event_delay", {})
        return {
            "cpu_us": result.get("cpu_us", 0),
            "per_second": result["events_per_second"],
            "p50_us": delay.get("p50_us", 0),
            "p99_us": delay.get("p99_us", 0),
            "failed": result["failed"],
        }

    return measure


def _upstream_stats(bench):
    with urllib.request.urlopen(f"http://127.0.0.1:{bench.upstream_port}/stats", timeout=10) as reply:
        return json.load(reply)


def _counted(counter):
    """True once the counter has grown by STREAMS_IDLE since the first call."""
    first = []

    def ready(stats):
        first.append(counter(stats))
        return first[-1] - first[0] >= STREAMS_IDLE

    return ready


def _held(bench, server, flags, path, ready):
    """Memory per connection that mcpload holds open; `ready` says when all are."""
    load.result(bench, server, "/plain", ["--body-bytes", 200], 0.5)  # warms pools up
    time.sleep(0.3)
    ready(_upstream_stats(bench))
    before = proc.pss_bytes(server.pid)
    words = [
        bench.program("mcpload"), "--url", f"http://127.0.0.1:{server.port}{path}", "--connections", 0, "--duration", "60s",
        "--warmup", "0s", "--quiet", *flags,
    ]  # fmt: skip
    holder = proc.start(words, servers.LOAD_CORE, bench.run / "holder.log")
    try:
        for _ in range(200):
            if ready(_upstream_stats(bench)):
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"bench/compare: {server.name} did not carry {STREAMS_IDLE} connections; see {bench.run}")
        time.sleep(1)
        after = proc.pss_bytes(server.pid)
    finally:
        proc.stop(holder)
    return {"bytes": (after - before) / STREAMS_IDLE, "total_mib": after / 2**20, "failed": 0}


def _idle_streams(bench, server, _seconds):
    ready = _counted(lambda stats: stats["streams"])
    return _held(bench, server, ["--streams", STREAMS_IDLE], "/sse?rate=0.001", ready)


def _idle_connections(bench, server, _seconds):
    ready = _counted(lambda stats: stats["replies"]["plain"]["requests"])
    return _held(bench, server, ["--idle", STREAMS_IDLE], "/plain", ready)


def _hold_stopped_readers(bench, server, kind):
    """Connections that have stopped to read what brings more than the server may hold for them; returns the process
    once their sources have stood still for two seconds. A few of WebSocket may be missing, whose segments the kernel
    dropped for want of buffer and sends again a minute later."""
    enough = READERS * (0.95 if kind == "ws" else 1)
    url = f"http://127.0.0.1:{server.port}"
    loads = {
        "sse": ["--url", f"{url}/plain", "--connections", 0, "--slow-path", "/sse?rate=0&event-bytes=16k"],
        "ws": ["ws", "--url", f"{url}/echo", "--connections", 1, "--rate", 1, "--message-bytes", "16k", "--pipeline", 1024],
    }  # fmt: skip
    words = [bench.program("mcpload"), *loads[kind], "--duration", "1h", "--slow-readers", READERS, "--rcvbuf", "64k", "--quiet"]
    holder = proc.start(words, servers.LOAD_CORE, bench.run / "holder.log")
    before, since = None, time.monotonic()
    for _ in range(600):
        stats = _upstream_stats(bench)
        now = stats["stopped_connections"], stats["stopped_bytes"]
        if now != before or now[0] < enough:
            before, since = now, time.monotonic()
        if time.monotonic() - since > 2:
            return holder
        time.sleep(0.1)
    raise SystemExit(f"bench/compare: {server.name} does not stop the sources of {READERS} stopped readers: {now}")


def _running_readers(bench, server, kind, seconds):
    """(result, its delays) of READERS that get four messages of 200 bytes a second each."""
    if kind == "sse":
        result = load.result(bench, server, "/sse?rate=4&event-bytes=200", ["--connections", 0, "--streams", READERS], seconds, warmup=1)
    else:
        flags = ["--connections", READERS, "--rate", 4 * READERS, "--pipeline", 1000]
        result = load.result(bench, server, "/echo", flags, seconds, warmup=1, command=("ws",))
    return result, result.get("event_delay" if kind == "sse" else "latency")


def _stalled(kind):
    """What stopped readers do to those that read: the running ones' p99 with the others beside them by that without."""

    def measure(bench, server, seconds):
        alone, alone_delay = _running_readers(bench, server, kind, seconds)
        before = proc.pss_bytes(server.pid)
        holder = _hold_stopped_readers(bench, server, kind)
        try:
            held = proc.pss_bytes(server.pid) - before
            beside, delay = _running_readers(bench, server, kind, seconds)
        finally:
            proc.stop(holder)
        if not delay:
            raise SystemExit(f"bench/compare: {server.name} serves nobody beside {READERS} stopped readers")
        return {
            "ratio": delay["p99_us"] / alone_delay["p99_us"],
            "gap_ratio": beside["event_gap"]["p99_us"] / alone["event_gap"]["p99_us"],
            "per_second": beside["events_per_second"] or beside["requests_per_second"],
            "p50_us": delay["p50_us"],
            "p99_us": delay["p99_us"],
            "p99_alone_us": alone_delay["p99_us"],
            "held_kib": held / READERS / 1024,
            "failed": alone["failed"] + beside["failed"],
        }

    return measure


BODY = ("--body-bytes", 200)
STREAMS = ("--connections", 0, "--streams", 100)
ROWS = [
    Row("post1", "POST 200 B -> 300 B, 1 connection", "cpu_us", "us CPU/request", _requests("/plain", "--connections", 1, *BODY)),
    Row("latency1", "POST 200 B -> 300 B, 1 connection: p50", "p50_us", "us", flows.latency("/plain", "--connections", 1, *BODY), without=("floor",)),
    Row(
        "latency1-spin", "POST 200 B -> 300 B, 1 connection: p50, --spin on", "p50_us", "us", flows.latency("/plain", "--connections", 1, *BODY),
        fresh=True, mcpgate=("--spin", "on"), without=("floor",),
    ),  # fmt: skip
    Row("post64", "POST 200 B -> 300 B, 64 connections", "cpu_us", "us CPU/request", _requests("/plain", "--connections", 64, *BODY)),
    Row("post512", "POST 200 B -> 300 B, 512 connections", "cpu_us", "us CPU/request", _requests("/plain", "--connections", 512, *BODY)),
    Row("mcp64", "MCP tools/call in a session, 64 connections", "cpu_us", "us CPU/request", _requests("/mcp", "--kind", "mcp")),
    Row("mcp2026", "MCP tools/call of 2026-07-28, its header fields checked, 64 connections", "cpu_us", "us CPU/request", _requests("/mcp", "--kind", "mcp-2026")),
    Row(
        "tools-list", "repeated tools/list of 2 KiB (2026-07-28), mcpgate's from memory", "cpu_us", "us CPU/request",
        _requests("/mcp", "--kind", "mcp-2026", "--list"), fresh=True, mcpgate=("--mode", "merged"), upstream=("--list-bytes", 2048),
    ),  # fmt: skip
    Row("sse-saturated", "SSE, 100 streams as fast as they go", "cpu_us", "us CPU/event", _events(0)),
    Row("sse-batched", "SSE, 100 streams as fast as they go, --batch-window 2ms", "cpu_us", "us CPU/event", _events(0), fresh=True, mcpgate=("--batch-window", "2ms")),
    Row("sse-10k", "SSE, 100 streams, 10,000 events/s", "cpu_us", "us CPU/event", _events(100)),
    Row("sse-added", "SSE, 100 streams, 10,000 events/s: p50 added", "added_us", "us", flows.added("/sse?rate=100", *STREAMS), without=("floor",)),
    Row(
        "sse-added-spin", "SSE, 100 streams, 10,000 events/s: p50 added, --spin on", "added_us", "us", flows.added("/sse?rate=100", *STREAMS),
        fresh=True, mcpgate=("--spin", "on"), without=("floor",),
    ),  # fmt: skip
    Row(
        "fanout", f"one stream of change notices to {flows.LISTENERS:,} listeners", "cpu_us", "us CPU/notice delivered",
        flows.notices, fresh=True, mcpgate=("--mode", "merged"), upstream=("--changes", 50),
    ),  # fmt: skip
    Row(
        "ws1", "WebSocket, 1 session, 1,024 messages of 200 B under way", "cpu_us", "us CPU/message",
        _requests("/echo", "--connections", 1, "--pipeline", 1024, command=("ws",)), without=("floor",),
    ),  # fmt: skip
    Row(
        "ws100", "WebSocket, 100 sessions, 16 messages of 200 B under way on each", "cpu_us", "us CPU/message",
        _requests("/echo", "--connections", 100, "--pipeline", 16, command=("ws",)), without=("floor",),
    ),  # fmt: skip
    Row(
        "ws-100k", "WebSocket, 1 session, 100,000 messages/s of 200 B", "cpu_us", "us CPU/message",
        _requests("/echo", "--connections", 1, "--pipeline", 100000, "--rate", 100000, command=("ws",)), without=("floor",),
    ),  # fmt: skip
    Row("body-up", f"POST {flows.BODY_MIB} MiB", "cpu_us", "us CPU/MiB", flows.body("/body", "--connections", 1, "--body-bytes", f"{flows.BODY_MIB}m")),
    Row("body-down", f"GET {flows.BODY_MIB} MiB", "cpu_us", "us CPU/MiB", flows.body(f"/body?bytes={flows.BODY_MIB}m", "--connections", 1)),
    Row("mem-sse", f"memory of an idle SSE stream ({STREAMS_IDLE})", "bytes", "B Pss", _idle_streams, fresh=True),
    Row("mem-idle", f"memory of an idle connection ({STREAMS_IDLE})", "bytes", "B Pss", _idle_connections, fresh=True),
    Row("start", f"from exec to the first proxied reply, of {start.STARTS} starts", "ms", "ms", start.first_reply),
    Row("idle-beside", f"64 connections: {scale.IDLE:,} idle ones beside / none", "ratio", "CPU ratio", scale.beside_idle, fresh=True),
    Row("active512", "512 connections / 64", "ratio", "CPU ratio", scale.more_active),
    Row(
        "workers", "256 connections: 2 and 4 workers on one core / 1", "ratio", "CPU ratio", scale.workers,
        without=("floor", "nginx", "haproxy"),
    ),  # fmt: skip
    Row(
        "stalled", f"p99 of {READERS} SSE readers: {READERS} stopped ones beside / none", "ratio", "p99 ratio", _stalled("sse"), fresh=True,
        mcpgate=("--upstream-buffer", BUFFER), upstream=("--sndbuf", BUFFER), without=("floor",),  # its receive pool is used up by the stopped ones
    ),  # fmt: skip
    Row(
        "stalled-ws", f"p99 of {READERS} WebSocket readers: {READERS} stopped ones beside / none", "ratio", "p99 ratio", _stalled("ws"), fresh=True,
        mcpgate=("--client-buffer", WS_BUFFER, "--upstream-buffer", WS_BUFFER), upstream=("--sndbuf", WS_BUFFER, "--rcvbuf", WS_BUFFER), without=("floor", "nginx", "haproxy"),  # their sources do not stand still
    ),  # fmt: skip
]
