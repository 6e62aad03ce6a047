# SPDX-License-Identifier: Apache-2.0
"""mcpload against one server, on the load's core."""
import json
import subprocess

from . import servers


def _mcpload(bench, server, command, flags, seconds, warmup, at_most):
    words = [
        "taskset", "-c", servers.LOAD_CORE, bench.program("mcpload"), *command, "--duration", f"{seconds}s", "--warmup", f"{warmup}s",
        "--cpu-of", server.pid, "--quiet", "--json", "-", *flags,
    ]  # fmt: skip
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=seconds + at_most, check=False)
    if done.returncode == 2 or not done.stdout:
        raise SystemExit(f"bench: mcpload: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run(bench, server, path, flags, seconds, warmup=0.5, command=(), at_most=120):
    """All that it reports; `command` is the subcommand, `at_most` the seconds that it may take longer than `seconds`."""
    url = ["--url", f"http://127.0.0.1:{server.port}{path}"]
    return _mcpload(bench, server, command, [*url, *flags], seconds, warmup, at_most)


def mix(bench, server, parts, seconds, warmup=0.5):
    """[what each of several loads at once measured]; a part is (path, flags, command)."""
    words = []
    for path, flags, command in parts:
        words += ["+", *command, "--url", f"http://127.0.0.1:{server.port}{path}", *flags]
    report = _mcpload(bench, server, ["mix"], words, seconds, warmup, 120)
    return [part["result"] for part in report["parts"]]


def result(*words, **options):
    """What one load of mcpload measured."""
    return run(*words, **options)["result"]
