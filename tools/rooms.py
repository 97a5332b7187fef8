"""rooms.txt, read."""

import collections

Room = collections.namedtuple("Room", "sees owns")


def read(root):
    """The rooms by name, lowest first."""
    rooms = {}
    for line in (root / "rooms.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            name, sees, owns = (part.split() for part in line.split(":"))
            rooms[name[0]] = Room(sees, owns)
    return rooms
