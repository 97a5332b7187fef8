#!/usr/bin/python3 -B
"""Draw the rooms of rooms.txt into ARCHITECTURE.md, floor by floor; with --check, only say whether the drawing is the one that would be made and each
room has its line in the table there.

A room stands one floor above the highest room it may see. Of its arrows those are drawn that no other way leads along.
"""

import pathlib
import re
import sys

import rooms as rooms_txt


def floors(rooms):
    floor = {}
    for name, room in rooms.items():
        floor[name] = 1 + max((floor[other] for other in room.sees), default=-1)
    return floor


def below(rooms):
    """All that is below each room, by any way."""
    found = {}
    for name, room in rooms.items():
        found[name] = set(room.sees).union(*(found[other] for other in room.sees))
    return found


def draw(rooms):
    floor, under = floors(rooms), below(rooms)
    lines = ["```mermaid", "flowchart TB"]
    for height in range(max(floor.values()), -1, -1):
        here = [name for name in rooms if floor[name] == height]
        lines.append(f"  %% floor {height}: {', '.join(here)}")
        for name in here:
            direct = [other for other in rooms[name].sees if not any(other in under[between] for between in rooms[name].sees)]
            if direct:
                lines.append(f"  {name} --> {' & '.join(sorted(direct, key=lambda other: (-floor[other], other)))}")
    return "\n".join([*lines, "```"])


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    page = root / "ARCHITECTURE.md"
    rooms = rooms_txt.read(root)
    text = page.read_text()
    drawn = re.sub(r"```mermaid\nflowchart TB\n.*?```", lambda _: draw(rooms), text, count=1, flags=re.S)
    if "--check" not in sys.argv:
        page.write_text(drawn)
    elif drawn != text:
        sys.exit("ARCHITECTURE.md: the drawing is not that of rooms.txt: run tools/draw-rooms.py")
    told = re.findall(r"^\| (\w+) \| ", text.split("\n\n| room | ")[1].split("\n\n")[0], re.M)
    if told != list(rooms):
        sys.exit(f"ARCHITECTURE.md: its table has to tell of these, in this order: {', '.join(rooms)}")


main()
