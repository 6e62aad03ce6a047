# SPDX-License-Identifier: Apache-2.0
"""How what a request costs changes with connections that are idle, with more that are active, and with workers."""
from . import load, servers

IDLE = 5000
WORKERS = (1, 2, 4)


def _cpu_us(bench, server, seconds, *flags):
    result = load.result(bench, server, "/plain", ["--body-bytes", 200, *flags], seconds)
    return result["cpu_us"], result["failed"]


def _by_itself(first, then):
    """CPU per request of one load by that of another, one after the other on one server."""

    def measure(bench, server, seconds):
        before, failed = _cpu_us(bench, server, seconds, *first)
        after, failed_too = _cpu_us(bench, server, seconds, *then)
        return {"ratio": after / before, "cpu_us": after, "failed": failed + failed_too}

    return measure


beside_idle = _by_itself(["--connections", 64], ["--connections", 64, "--idle", IDLE])
more_active = _by_itself(["--connections", 64], ["--connections", 512])


def workers(bench, _server, seconds):
    """CPU per request at 256 connections with several workers by that with one, the worst; all on the one server core."""
    costs, failed = {}, 0
    for count in WORKERS:
        server = servers.start_peer(bench, "mcpgate", ("--workers", str(count)))
        costs[count], failures = _cpu_us(bench, server, seconds, "--connections", 256)
        failed += failures
        server.stop()
    return {"ratio": max(costs[n] / costs[1] for n in WORKERS), **{f"cpu_{n}_us": costs[n] for n in WORKERS}, "failed": failed}
