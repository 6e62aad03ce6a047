# SPDX-License-Identifier: Apache-2.0
"""Processes of a benchmark: started on one core, never left behind, and measured from /proc."""
import atexit
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

_started = []
_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def start(words, core, log, stdout=None):
    """Starts a program on one core, and returns when it has been executed; its stderr goes to the file `log`."""

    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, {core})

    process = subprocess.Popen(
        list(map(str, words)),
        stdin=subprocess.DEVNULL,
        stdout=stdout if stdout is not None else subprocess.DEVNULL,
        stderr=open(log, "ab"),
        preexec_fn=prepare,
        text=True,
    )
    _started.append(process)
    return process


def stop(process):
    """SIGTERM, and SIGKILL for the whole tree after five seconds."""
    if process in _started:
        _started.remove(process)
    if process.poll() is not None:
        return
    tree = tree_of(process.pid)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        for pid in tree:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()


def stop_all():
    for process in reversed(list(_started)):
        stop(process)


def _on_signal(number, _frame):
    raise SystemExit(128 + number)


def guard():
    """Whatever ends this program ends what it started."""
    atexit.register(stop_all)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _on_signal)


def _name(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def tree_of(pid, without=None):
    """The process and all below it, but for those of the name `without` and what is below them."""
    if without is not None and _name(pid) == without:
        return []
    pids = [pid]
    for tasks in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in tasks.read_text().split():
                pids += tree_of(int(child), without)
        except OSError:
            pass
    return pids


def pss_bytes(pid, without=None):
    """Proportional set size, summed over the tree."""
    total = 0
    for each in tree_of(pid, without):
        try:
            text = pathlib.Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, process, what):
    for _ in range(500):
        if process.poll() is not None:
            raise SystemExit(f"bench: {what} ended with status {process.returncode} before it listened; see its log")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"bench: {what} does not listen on port {port}")
