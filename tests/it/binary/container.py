"""Prints the configuration of a container for crun(1): container.py SECCOMP_PROFILE ARGS...

The process is what `docker run --read-only --cap-drop ALL --security-opt no-new-privileges` makes
of the image of the manual, but it shares the network of the machine. The profile is the default one
of container runtimes, whose conditions are resolved here for a container without capabilities.
"""

import json
import sys

profile = json.load(open(sys.argv[1]))


def applies(rule):
    included, excluded = rule.get("includes") or {}, rule.get("excludes") or {}
    return (not included.get("caps")
            and "amd64" in included.get("arches", ["amd64"])
            and "amd64" not in excluded.get("arches", []))


kept = ("names", "action", "args", "errnoRet")
seccomp = {key: profile[key] for key in ("defaultAction", "defaultErrnoRet") if key in profile}
seccomp["architectures"] = ["SCMP_ARCH_X86_64"]
seccomp["syscalls"] = [{key: rule[key] for key in kept if rule.get(key) is not None}
                       for rule in profile["syscalls"] if applies(rule)]
sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
json.dump({
    "ociVersion": "1.0.0",
    "process": {
        "user": {"uid": 65532, "gid": 65532},
        "args": sys.argv[2:],
        "env": ["PATH=/"],
        "cwd": "/",
        "noNewPrivileges": True,
        "capabilities": {name: [] for name in sets},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 1024}],
    },
    "root": {"path": "rootfs", "readonly": True},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
    ],
    "linux": {
        "namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts")],
        "seccomp": seccomp,
        "readonlyPaths": ["/proc/sys"],
    },
}, sys.stdout)
