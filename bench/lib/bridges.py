# SPDX-License-Identifier: Apache-2.0
"""Bridges: MCP over HTTP in front of a server on stdin and stdout. mcpgate and two npm packages, each in front of the same
server, mcpgate's demo; what that costs itself is left out everywhere.

mcpgate and mcp-proxy put all sessions on one server, which is the cheapest that each can do. supergateway's form of that
(SSE) sends every answer to every session, so it runs as it does sessions: a server for each (--stateful)."""
import http.client
import json
import platform
import shutil
import subprocess
import time

from . import load, proc, servers, setup
from .rows import Row

PEERS = ("mcp-proxy", "supergateway")
SERVER = "stdio-server"  # as in /proc/PID/comm
CALLERS, SESSIONS = 64, 200
WARM_SECONDS = 3  # until JavaScript is compiled
REVISION = "2025-11-25"
MODULES = servers.PEERS / "node_modules"


# --- the programs ---


def _install():
    """True once node_modules holds what package-lock.json says."""
    noted, lock = MODULES / ".package-lock.json", servers.PEERS / "package-lock.json"
    if noted.is_file() and noted.stat().st_mtime >= lock.stat().st_mtime:
        return True
    if shutil.which("npm") is None:
        setup.say("npm is missing, which brings the bridges: apt-get install nodejs npm")
        return False
    setup.say("installing the bridges with npm")
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(words, cwd=servers.PEERS, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        setup.say("npm cannot install the bridges: " + (done.stderr.strip() or done.stdout.strip()))
    return done.returncode == 0


def available(_bench, _name):
    return _install()


def version(_bench, name):
    node = subprocess.run([_node(), "--version"], capture_output=True, text=True, check=True)
    package = json.loads((MODULES / name / "package.json").read_text())
    return f"{name} {package['version']} on Node {node.stdout.strip()}"


def _node():
    arch = "arm64" if platform.machine() == "aarch64" else "x64"
    own = MODULES / f"node-linux-{arch}" / "bin" / "node"
    return str(own) if own.is_file() else "node"


def _server(bench):
    """A copy: one that ran from mcpgate's own file would share its pages, which lowers the Pss of both."""
    path = bench.run / SERVER
    if not path.is_file():
        shutil.copy(bench.program("mcpgate"), path)
    return f"{path} demo --stdio"


def _mcp_proxy(bench, port):
    words = [_node(), MODULES / "mcp-proxy/dist/bin/mcp-proxy.mjs", "--host", "127.0.0.1", "--port", port, "--server", "stream"]
    return [*words, "--", *_server(bench).split()]


def _supergateway(bench, port):
    words = [_node(), MODULES / "supergateway/dist/index.js", "--port", port, "--logLevel", "none"]
    return [*words, "--outputTransport", "streamableHttp", "--stateful", "--stdio", f"exec {_server(bench)}"]


COMMANDS = {"mcp-proxy": _mcp_proxy, "supergateway": _supergateway}


def _start(bench, name):
    if name == "mcpgate":
        return servers.start_peer(bench, name, ["--upstream", f"bridge=stdio:{_server(bench)}", "--stdio-share", "shared"])
    port = proc.free_port()
    process = proc.start(COMMANDS[name](bench, port), servers.SERVER_CORE, bench.run / f"{name}.log")
    proc.wait_port(port, process, name)
    return servers.Server(name, process, port)


def _path(server):
    return "/mcp/bridge" if server.name == "mcpgate" else "/mcp"


# --- a session, as the official SDK's clients hold one ---


class Session:
    """Initialized, one tool called, its GET stream open; no other connection."""

    def __init__(self, server):
        self.port, self.path, self.id = server.port, _path(server), None
        who = {"name": "bench", "version": "1"}
        self._post({"id": 0, "method": "initialize", "params": {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": who}})
        self._post({"method": "notifications/initialized"})
        said = self._post({"id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "so it is"}}})
        if b"so it is" not in said:
            raise SystemExit(f"bench: {server.name} answers tools/call with {said!r}")
        self.stream = self._request("GET", None)[1]

    def _request(self, method, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        fields = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        if self.id:
            fields |= {"Mcp-Session-Id": self.id, "MCP-Protocol-Version": REVISION}
        connection.request(method, self.path, body, fields)
        reply = connection.getresponse()
        if reply.status not in (200, 202, 204):
            raise SystemExit(f"bench: {method} {self.path} at port {self.port}: {reply.status} {reply.read()!r}")
        return connection, reply

    def _post(self, message):
        connection, reply = self._request("POST", json.dumps({"jsonrpc": "2.0"} | message))
        said = reply.read()
        self.id = self.id or reply.getheader("Mcp-Session-Id")
        connection.close()
        return said


# --- the rows ---


def _calls(bench, server, seconds):
    flags = ["--kind", "mcp", "--connections", CALLERS, "--cpu-without", SERVER]
    result = load.result(bench, server, _path(server), flags, seconds, warmup=WARM_SECONDS)
    return {
        "cpu_us": result["cpu_us"],
        "per_second": result["requests_per_second"],
        "p50_us": result["latency"]["p50_us"],
        "p99_us": result["latency"]["p99_us"],
        "failed": result["failed"],
    }


def _pss_bytes(server):
    time.sleep(2)  # what is freed late has been by then
    return proc.pss_bytes(server.pid, without=SERVER)


def _sessions(_bench, server, _seconds):
    held = [Session(server)]  # starts the server, where that waits for a session
    before = _pss_bytes(server)
    held += [Session(server) for _ in range(SESSIONS)]
    after = _pss_bytes(server)
    return {"bytes": (after - before) / len(held[1:]), "total_mib": after / 2**20, "failed": 0}


class BridgeRow(Row):
    rivals = PEERS

    def start(self, bench, peer, _running):
        return _start(bench, peer)


ROWS = [
    BridgeRow("bridge-call", f"tools/call to a stdio server, {CALLERS} sessions", "cpu_us", "us CPU/call", _calls, fresh=True, without=("floor",)),
    BridgeRow("bridge-session", f"memory of a session with a stdio server ({SESSIONS})", "bytes", "B Pss", _sessions, fresh=True, without=("floor",)),
]
