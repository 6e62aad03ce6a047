#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command for which the io_uring system calls answer EPERM, as the default seccomp profile of container
runtimes does: no_io_uring.py COMMAND ARG..."""
import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
EPERM, RET_ERRNO, RET_ALLOW = 1, 0x00050000, 0x7FFF0000
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
CALLS = (425, 426, 427)  # io_uring_setup, _enter, _register: the same numbers on every architecture

program = [struct.pack("HBBI", LOAD, 0, 0, 0)]  # seccomp_data.nr
for i, call in enumerate(CALLS):
    program.append(struct.pack("HBBI", JUMP_EQUAL, len(CALLS) - i, 0, call))
program.append(struct.pack("HBBI", RETURN, 0, 0, RET_ALLOW))
program.append(struct.pack("HBBI", RETURN, 0, 0, RET_ERRNO | EPERM))
code = b"".join(program)


class Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Filter(len(program), code)), 0, 0):
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
