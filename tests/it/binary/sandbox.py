"""Runs a program as the unit of the manual does: sandbox.py UNIT PROGRAM ARGS...

Of the unit it applies SystemCallFilter, RestrictAddressFamilies, MemoryDenyWriteExecute,
NoNewPrivileges and CapabilityBoundingSet, in the way of systemd.exec(5): a filter of system calls
in seccomp(2), whose refusals are EPERM. What systemd-analyze(1) prints is the meaning of a group
such as @system-service. What concerns files is not done here.
"""

import ctypes
import os
import re
import socket
import struct
import subprocess
import sys

HEADER = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050001
NUMBER, FIRST_ARGUMENT = 0, 16
SET_NO_NEW_PRIVS, SET_SECCOMP, DROP_BOUNDING, SET_MDWE = 38, 22, 24, 65


def settings(path):
    found = {}
    for line in open(path):
        name, equals, value = line.strip().partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    return found


def calls(group):
    """The names of the calls of a group, those of its groups included."""
    if not group.startswith("@"):
        return {group}
    said = subprocess.run(["systemd-analyze", "syscall-filter", group], text=True,
                          capture_output=True, check=True).stdout
    names = [line.strip() for line in said.splitlines()[1:]]
    return set().union(*(calls(name) for name in names if name and not name.startswith("#")))


def allowed(lists):
    names = calls("@default")
    for value in lists:
        for group in value.lstrip("~").split():
            names = names - calls(group) if value.startswith("~") else names | calls(group)
    return names


def instructions(numbers, families):
    """One comparison for each call; of socket(2) the family decides."""
    program = [(LOAD, 0, 0, NUMBER)]
    for name, number in numbers:
        if name == "socket":
            program += [(EQUAL, 0, 2 + 2 * len(families), number), (LOAD, 0, 0, FIRST_ARGUMENT)]
            for family in families:
                program += [(EQUAL, 0, 1, family), (RETURN, 0, 0, ALLOW)]
            program += [(RETURN, 0, 0, REFUSE)]
        else:
            program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    return program + [(RETURN, 0, 0, REFUSE)]


def main():
    unit = settings(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", open(HEADER).read()))
    names = sorted(allowed(unit["SystemCallFilter"]) & numbers.keys())
    families = [getattr(socket, name) for name in unit["RestrictAddressFamilies"][0].split()]
    program = instructions([(name, int(numbers[name])) for name in names], families)
    bytes_ = b"".join(struct.pack("HBBI", *one) for one in program)
    kept = ctypes.create_string_buffer(bytes_)
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(kept)))
    assert unit["CapabilityBoundingSet"] == [""], "the unit keeps no capability"
    for capability in range(64):
        libc.prctl(DROP_BOUNDING, capability, 0, 0, 0)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    assert libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        # Linux 6.3; an older kernel says EINVAL, and systemd then filters mmap(2).
        libc.prctl(SET_MDWE, 1, 0, 0, 0)
    assert libc.prctl(SET_SECCOMP, 2, head, 0, 0) == 0, "no filter"
    os.execv(sys.argv[2], sys.argv[2:])


main()
