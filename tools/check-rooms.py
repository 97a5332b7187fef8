#!/usr/bin/python3
"""Hold src/ against rooms.txt: who includes whom, and where foreign headers are at home."""

import fnmatch
import pathlib
import re
import sys

TOOLBOXES = ("base", "io", "oci")  # rooms with one small door for each tool


def read_rooms(root):
    may, homes, bad = {}, [], []
    for line in (root / "rooms.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        room, sees, owns = (part.split() for part in line.split(":"))
        bad += [f"rooms.txt: {room[0]} sees {other}, which is not listed before it" for other in sees if other not in may]
        may[room[0]] = set(sees)
        homes += [(pattern, room[0]) for pattern in owns]
    return may, homes, bad


def check_include(where, room, quoted, name, may, homes):
    if not quoted:
        at_home = {home for pattern, home in homes if fnmatch.fnmatch(name, pattern)}
        return [f"{where}: <{name}> belongs to {', '.join(sorted(at_home))}"] if at_home and room not in at_home else []
    other, _, header = name.rpartition("/")
    if not other or other == room:
        return []
    if other not in may.get(room, ()):
        return [f"{where}: {room} may not see {other}"]
    if header.endswith("_int.h") or (other not in TOOLBOXES and header != f"{other}.h"):
        return [f"{where}: {name} is not a door of {other}"]
    return []


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    may, homes, bad = read_rooms(root)
    for path in sorted((root / "src").rglob("*.[ch]")):
        room = path.relative_to(root / "src").parts[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*(["<])([^">]+)', line)
            if found:
                bad += check_include(f"{path.relative_to(root)}:{number}", room, found[1] == '"', found[2], may, homes)
    print("\n".join(bad) or f"rooms: {len(may)} rooms, no crossings")
    sys.exit(bool(bad))


main()
