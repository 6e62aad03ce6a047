# SPDX-License-Identifier: Apache-2.0
"""What is measured of requests, events and bodies on their way through a server."""
from . import load

LISTENERS = 1000
BODY_MIB = 64


def latency(path, *flags):
    """The median from a request to its reply."""

    def measure(bench, server, seconds):
        result = load.result(bench, server, path, flags, seconds)
        return {"p50_us": result["latency"]["p50_us"], "p99_us": result["latency"]["p99_us"], "failed": result["failed"]}

    return measure


def added(path, *flags):
    """What a server adds to the median delay of events; the way without a server is measured just before."""

    def measure(bench, server, seconds):
        direct = load.result(bench, bench.direct, path, flags, seconds)
        result = load.result(bench, server, path, flags, seconds)
        return {
            "added_us": result["event_delay"]["p50_us"] - direct["event_delay"]["p50_us"],
            "p50_us": result["event_delay"]["p50_us"],
            "p99_us": result["event_delay"]["p99_us"],
            "direct_us": direct["event_delay"]["p50_us"],
            "per_second": result["events_per_second"],
            "failed": result["failed"] + direct["failed"],
        }

    return measure


def body(path, *flags):
    """Processor time for each MiB of a body of BODY_MIB, one after the other on each connection."""

    def measure(bench, server, seconds):
        result = load.result(bench, server, path, flags, seconds)
        return {
            "cpu_us": result["cpu_us"] / BODY_MIB,
            "mib_per_second": result["requests_per_second"] * BODY_MIB,
            "failed": result["failed"],
        }

    return measure


def notices(bench, server, seconds):
    """Processor time for each change notice that reaches one of LISTENERS."""
    flags = ["--kind", "mcp-2026", "--connections", 0, "--streams", LISTENERS]
    result = load.result(bench, server, "/mcp", flags, seconds)
    return {
        "cpu_us": result["cpu_us"],
        "per_second": result["events_per_second"],
        "p50_us": result["event_delay"]["p50_us"],
        "p99_us": result["event_delay"]["p99_us"],
        "failed": result["failed"],
    }
