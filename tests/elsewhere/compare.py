#!/usr/bin/env python3
"""Compares two documents of `mynah lab all --json`: compare.py HERE THERE.

Prints each check whose measured value differs, each that does not hold, and each that only one of
the two has. Exit 1 if a check of THERE does not hold or THERE cannot be read.
"""
import json
import sys


def checks(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    found = {}
    for experiment in document["experiments"]:
        for number, check in enumerate(experiment["checks"]):
            key = experiment["name"], check["what"]
            if key in found:
                key = experiment["name"], f"{check['what']} [{number}]"
            found[key] = check
    return document, found


try:
    (_, here), (document, there) = map(checks, sys.argv[1:3])
except (OSError, ValueError, KeyError) as error:
    print(f"FAILED: the lab has left no document: {error!r}")
    sys.exit(1)
failed = same = 0
for key in list(here) + [key for key in there if key not in here]:
    mine, other = here.get(key), there.get(key)
    name = ": ".join(key)
    if mine is None or other is None:
        print(f"only {'there' if mine is None else 'here'}: {name}")
    elif mine["measured"] == other["measured"]:
        same += 1
    else:
        print(f"differs: {name}: here {mine['measured']}, there {other['measured']}, expected {other['expected']}")
    if other is not None and not other["ok"]:
        print(f"FAILED: {name}: {other['measured']}, expected {other['expected']}")
        failed = 1
print(f"{document['kernel']}: {same} of {len(there)} measured values as here")
sys.exit(failed)
