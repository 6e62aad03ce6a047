# SPDX-License-Identifier: Apache-2.0
"""What the commands of bench/ have in common: arguments, the world they run in, the facts above a table."""
import datetime
import os
import pathlib
import platform
import sys
import tempfile

from . import servers

HERE = pathlib.Path(__file__).resolve().parent.parent


def add_arguments(parser, rounds, seconds):
    parser.add_argument("--build", default=HERE.parent / "build", help="where mcpload and mcpgate are (default: build)")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"(default: {rounds})")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"of one measurement (default: {seconds})")
    parser.add_argument("--out", default=HERE / "out", help="where the results go")


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"{os.path.relpath(sys.argv[0])}: {text}")


def choose(wanted, names, what):
    chosen = wanted.split(",") if wanted else list(names)
    for name in chosen:
        if name not in names:
            fail(f"there is no {what} {name}; there are {', '.join(names)}")
    return chosen


def machine():
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    return f"{os.cpu_count()} x {cpu}"


def open_bench(args):
    bench = servers.Bench(args.build, tempfile.mkdtemp(prefix="mcpgate-bench-"))
    if bench.program("mcpload") is None:
        fail(f"{bench.build}/mcpload is missing: meson setup build --buildtype=release && ninja -C build")
    if os.cpu_count() < 2:
        fail("needs two cores, one for the server and one for the load")
    if os.getloadavg()[0] > 0.5:
        say(f"the machine is busy (load {os.getloadavg()[0]:.1f}): figures will be worse than they are")
    return bench


def facts(args, versions):
    return {
        "command": " ".join([os.path.relpath(sys.argv[0]), *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "kernel": platform.release(),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "load": os.getloadavg()[0],
        "versions": versions,
    }
