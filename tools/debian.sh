# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What tools/quickstart and tools/test share: steps with their time, and installing what is missing on Debian 12 and
# 13. To be sourced with bash from a script that has set `root` to the repository.

tools_started=$SECONDS

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# step NAME COMMAND...: runs it with its output in $logs/NAME.log; on failure shows the end of that. Prints how long
# it took.
step() {
    local name=$1 start=$SECONDS status=0
    shift
    printf '%-44s' "$name ..."
    "$@" >"$logs/${name//[^a-zA-Z0-9]/-}.log" 2>&1 </dev/null || status=$?
    if [ $status -eq 0 ]; then
        printf 'ok      %4d s\n' $((SECONDS - start))
    else
        printf 'FAILED  %4d s (status %d)\n' $((SECONDS - start)) $status
        tail -n "${tail_lines:-60}" "$logs/${name//[^a-zA-Z0-9]/-}.log" | sed 's/^/    /'
    fi
    return $status
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else fail "needs root to run: $* (run it as root, or install sudo)"
    fi
}

# need PACKAGE CHECK...: remembers PACKAGE when CHECK fails.
missing=()
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has() { command -v "$1"; }
lib() { pkg-config --exists "$1"; }
installed() { dpkg-query -W -f '${Status}' "$1" | grep -q 'ok installed'; }

need_to_build() {
    need gcc has gcc
    need libc6-dev test -e /usr/include/stdio.h
    need meson has meson
    need ninja-build has ninja
    need pkg-config has pkg-config
    need liburing-dev lib liburing
    need libdeflate-dev lib libdeflate
    need zlib1g-dev lib zlib
    need libjansson-dev lib jansson
    need libssl-dev lib libcrypto
    need libncurses-dev lib ncursesw
}

# Debian starts the services of what it installs unless /usr/sbin/policy-rc.d says 101 (forbidden).
apt_install() {
    local policy=/usr/sbin/policy-rc.d ours=no status=0
    if [ ! -e $policy ]; then
        as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
        ours=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
            install --no-install-recommends "$@" || status=$?
    [ $ours = no ] || as_root rm -f $policy
    return $status
}

install_missing() {
    if [ ${#missing[@]} -eq 0 ]; then
        say "packages: everything needed is installed"
        return
    fi
    command -v apt-get >/dev/null || fail "this system has no apt-get; please install what these Debian packages hold: ${missing[*]}"
    say "packages: installing ${missing[*]}"
    step "apt-get install" apt_install "${missing[@]}" || fail "apt-get could not install ${missing[*]}"
}
