# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared, each on the server core, in front of one `mcpload serve`."""
import json
import pathlib
import shutil
import subprocess
import urllib.request

from . import proc

SERVER_CORE, LOAD_CORE = 0, 1
DESCRIPTORS, CONNECTIONS = 19000, 9000
PEERS = pathlib.Path(__file__).resolve().parent.parent / "peers"


class Server:
    """A running program that answers on `port`; `pid` is the root of its process tree, `admin_port` mcpgate's alone."""

    def __init__(self, name, process, port, admin_port=None):
        self.name, self.process, self.port, self.pid, self.admin_port = name, process, port, process.pid, admin_port

    def stats(self):
        """What mcpgate has counted since it started."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/stats.json", timeout=10) as reply:
            return json.load(reply)["totals"]

    def stop(self):
        proc.stop(self.process)


class Bench:
    """Where the programs are, where runs keep their files, and the upstream once it runs."""

    def __init__(self, build, run):
        self.build, self.run = pathlib.Path(build), pathlib.Path(run)
        self.upstream_port = self.tls_port = self.direct = None
        self.reference, self.highest = None, {}  # the server that highest rates are looked for with, and those found

    def program(self, name):
        path = self.build / name
        return path if path.is_file() else None


def start_upstream(bench, flags=()):
    port = proc.free_port()
    words = [bench.program("mcpload"), "serve", "--listen", f"127.0.0.1:{port}", *flags]
    process = proc.start(words, LOAD_CORE, bench.run / "upstream.log")
    proc.wait_port(port, process, "mcpload serve")
    bench.upstream_port, bench.direct = port, Server("direct", process, port)
    return bench.direct


def has_tls():
    return shutil.which("nginx") is not None and shutil.which("openssl") is not None


def tls_certificate(bench):
    return bench.run / "tls.pem"


def start_tls(bench):
    """The upstream once more, behind TLS; whoever connects shakes hands in full."""
    words = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-keyout", str(bench.run / "tls.key"), "-out", str(tls_certificate(bench)),
    ]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True)
    bench.tls_port = proc.free_port()
    process = proc.start(["nginx", "-p", bench.run, "-c", _template(bench, "tls.conf", bench.tls_port)], LOAD_CORE, bench.run / "tls.log")
    proc.wait_port(bench.tls_port, process, "nginx with TLS")


def _template(bench, name, port):
    text = (PEERS / f"{name}.in").read_text()
    values = {
        "RUN": bench.run,
        "PORT": port,
        "UPSTREAM_PORT": bench.upstream_port,
        "DESCRIPTORS": DESCRIPTORS,
        "CONNECTIONS": CONNECTIONS,
    }
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = bench.run / name
    path.write_text(text)
    return path


def _nginx(bench, port, _admin_port):
    return ["nginx", "-p", bench.run, "-c", _template(bench, "nginx.conf", port)]


def _haproxy(bench, port, _admin_port):
    return ["haproxy", "-db", "-f", _template(bench, "haproxy.cfg", port)]


def _floor(bench, port, _admin_port):
    return [bench.program("mcpload"), "floor", "--listen", f"127.0.0.1:{port}", "--upstream", f"127.0.0.1:{bench.upstream_port}"]


def _mcpgate(bench, port, admin_port):
    """As it ships: metrics, limits and scans on; the pool as large as the peers' are."""
    upstream = f"http://127.0.0.1:{bench.upstream_port}"
    return [
        bench.program("mcpgate"), "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin_port}",
        "--workers", "1", "--route", f"/plain={upstream}/plain", "--route", f"/sse={upstream}/sse", "--route", f"/body={upstream}/body",
        "--route", f"/echo=ws://127.0.0.1:{bench.upstream_port}/echo",
        "--upstream", f"bench={upstream}/mcp", "--run-dir", bench.run / f"mcpgate-run-{port}", "--state-dir",
        bench.run / f"mcpgate-state-{port}", "--max-connections", str(CONNECTIONS), "--upstream-max", "8192",
        "--upstream-idle-max", "8192", "--upstream-idle", "1h", "--log-level", "warning",
    ]  # fmt: skip


COMMANDS = {"nginx": _nginx, "haproxy": _haproxy, "floor": _floor, "mcpgate": _mcpgate}


def available(bench, name):
    if name in ("floor", "mcpgate"):
        return bench.program("mcpload" if name == "floor" else name) is not None
    return shutil.which(name) is not None


def version(bench, name):
    words = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"]}.get(name)
    if words is None:
        words = [str(bench.program("mcpload" if name == "floor" else name)), "--version"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    return (result.stdout + result.stderr).strip().splitlines()[0]


def command(bench, program, mcpgate_flags=()):
    """(words of the command line, port, admin port)"""
    port, admin_port = proc.free_port(), proc.free_port()
    words = COMMANDS[program](bench, port, admin_port) + (list(mcpgate_flags) if program == "mcpgate" else [])
    return words, port, admin_port


def start_peer(bench, program, mcpgate_flags=(), name=None):
    """`name`: what it is called, where one program runs in several forms."""
    words, port, admin_port = command(bench, program, mcpgate_flags)
    process = proc.start(words, SERVER_CORE, bench.run / f"{name or program}.log")
    proc.wait_port(port, process, name or program)
    return Server(name or program, process, port, admin_port if program == "mcpgate" else None)
