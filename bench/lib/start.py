# SPDX-License-Identifier: Apache-2.0
"""How long a server takes from exec to its first proxied reply."""
import os
import socket
import statistics
import time

from . import proc, servers

STARTS = 20
POLL_S = 0.001
AT_MOST_S = 20


def _is_served(port):
    """One request on a connection of its own; False: nobody listens yet, or it is not answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), AT_MOST_S) as s:
            s.sendall(b"GET /plain HTTP/1.1\r\nHost: bench\r\n\r\n")
            return s.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def _one_start(bench, program):
    words, port, _ = servers.command(bench, program)
    process = proc.start(words, servers.SERVER_CORE, bench.run / f"{program}.log")
    begin = time.monotonic()
    while not _is_served(port):
        if time.monotonic() - begin > AT_MOST_S or process.poll() is not None:
            raise SystemExit(f"bench/compare: {program} does not serve; see {bench.run}/{program}.log")
        time.sleep(POLL_S)
    took = time.monotonic() - begin
    proc.stop(process)
    return took * 1e3


def first_reply(bench, server, _seconds):
    """Milliseconds, the median of STARTS."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {servers.LOAD_CORE})
    try:
        took = [_one_start(bench, server.name) for _ in range(STARTS)]
    finally:
        os.sched_setaffinity(0, allowed)
    return {"ms": statistics.median(took), "failed": 0}
