#!/usr/bin/python3 -B
"""Hold src/ against rooms.txt: who includes whom, and where foreign headers are at home; and, with a build directory, what was linked:
who calls whom, that each file includes the door it calls through, that no files of a room go round in a circle, and that what a file
shows to others is used by one of them.

usage: tools/check-rooms.py [ROOT [BUILD]]
"""

import collections
import fnmatch
import graphlib
import pathlib
import re
import subprocess
import sys

import rooms as rooms_txt

TOOLBOXES = ("base", "io", "oci")  # rooms with one small door for each tool


class Source:
    """A file of src/: its room, its words and what it includes, by line number."""

    def __init__(self, root, path):
        self.name = str(path.relative_to(root / "src"))
        self.room = self.name.split("/")[0]
        text = path.read_text()
        self.text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.S)
        found = (re.match(r'\s*#\s*include\s*(["<])([^">]+)', line) for line in text.splitlines())
        self.includes = [(number, match[1] == '"', match[2]) for number, match in enumerate(found, 1) if match]

    def doors(self):
        """The quoted headers, as seen from src/."""
        return {name if "/" in name else f"{self.room}/{name}" for _, quoted, name in self.includes if quoted}

    def words(self):
        return set(re.findall(r"\w+", re.sub(r'"(\\.|[^"\\])*"', "", self.text)))

    def declared(self):
        """What a header is included for: functions, macros, types, enumerators."""
        names = set(re.findall(r"^\s*#\s*define\s+(\w+)|^(?:struct|enum|union)\s+(\w+)\s*[{;]|^\S[^#;{}]*?\b(\w+)\)?\(|^extern .*?(\w+)[;\[]", self.text, re.M))
        names = {name for group in names for name in group if name}
        for body in re.findall(r"\benum\b[^;{}]*{(.*?)}", self.text, re.S):
            names |= set(re.findall(r"(?:^|,)\s*(\w+)", body))
        return names


def check_order(rooms):
    seen = set()
    for name, room in rooms.items():
        yield from (f"rooms.txt: {name} sees {other}, which is not listed before it" for other in room.sees if other not in seen)
        seen.add(name)


def check_include(source, quoted, name, rooms):
    if not quoted:
        homes = {home for home, room in rooms.items() if any(fnmatch.fnmatch(name, pattern) for pattern in room.owns)}
        return f"<{name}> belongs to {', '.join(sorted(homes))}" if homes and source.room not in homes else None
    other, _, header = name.rpartition("/")
    if not other or other == source.room:
        return None
    if other not in rooms[source.room].sees:
        return f"{source.room} may not see {other}"
    if header.endswith("_int.h") or (other not in TOOLBOXES and header != f"{other}.h"):
        return f"{name} is not a door of {other}"
    return None


def check_includes(sources, rooms):
    """Includes keep to the arrows, each include is of use to its file, and each arrow to its room."""
    used = set()
    declared = {name: source.declared() for name, source in sources.items() if name.endswith(".h")}
    for source in sources.values():
        words = source.words()
        for number, quoted, name in source.includes:
            bad = check_include(source, quoted, name, rooms)
            full = name if "/" in name else f"{source.room}/{name}"
            if not bad and quoted and full.split("/")[0] != source.room and not declared[full] & words:
                bad = f"nothing of {name} is used"
            if bad:
                yield f"src/{source.name}:{number}: {bad}"
            used.add((source.room, name.split("/")[0]))
    for name, room in rooms.items():
        yield from (f"rooms.txt: {name} does not use {other}" for other in room.sees if (name, other) not in used)


def read_symbols(build, pattern):
    """What each object file defines and what it needs: (file, symbol, whether it is defined) for each."""
    objects = [str(path) for path in sorted(build.glob(pattern))]
    out = subprocess.run(["nm", "-A", "-P", "-g", *objects], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        where, rest = line.split(": ", 1)
        symbol, kind = rest.split()[:2]
        if kind in "UTDBR" and not symbol.startswith("__"):  # those are the compiler's
            inside = re.search(r"([^/]+)\.o\]?$", where)[1]
            room = re.search(r"libix-(\w+)\.a\[", where)
            yield f"{room[1]}/{inside.removeprefix(room[1] + '_')}" if room else f"cli/{inside}", symbol, kind != "U"


def check_linked(sources, rooms, build):
    symbols = list(read_symbols(build, "src/libix-*.a")) + list(read_symbols(build, "src/cli/ix.p/*.o"))
    home = {symbol: file for file, symbol, defined in symbols if defined}
    needs = collections.defaultdict(lambda: collections.defaultdict(set))
    for file, symbol, defined in symbols:
        if not defined and symbol in home:
            needs[file][home[symbol]].add(symbol)
    headers = [source for source in sources.values() if source.name.endswith(".h")]
    declares = {header.name: set(re.findall(r"\b(\w+)\(", header.text)) for header in headers}
    for file in sorted(needs):
        yield from check_calls(sources[file], needs[file], rooms, declares)
    for room in rooms:
        yield from check_circle({file: needs[file] for file in list(needs) if file.startswith(f"{room}/")})
    tested = {symbol for _, symbol, defined in read_symbols(build, "tests/**/*.o") if not defined}
    wanted = {symbol for arrows in needs.values() for names in arrows.values() for symbol in names}
    for symbol, file in home.items():
        if symbol not in wanted | tested | {"main"}:
            yield f"src/{file}: nobody else uses {symbol}"


def check_calls(source, needs, rooms, declares):
    words = source.words()
    for file, symbols in sorted(needs.items()):
        other = file.split("/")[0]
        if other == source.room:
            continue
        if other not in rooms[source.room].sees:
            yield f"src/{source.name}: {source.room} may not call {other}: {', '.join(sorted(symbols))}"
        for symbol in sorted(symbols & words):
            doors = [door for door in declares if door.startswith(f"{other}/") and symbol in declares[door]]
            if not source.doors() & set(doors):
                yield f"src/{source.name}: calls {symbol} without {' or '.join(doors)}"


def check_circle(needs):
    inside = {file: {other for other in needs[file] if other in needs} for file in needs}
    try:
        graphlib.TopologicalSorter(inside).prepare()
    except graphlib.CycleError as circle:
        files = circle.args[1][::-1]
        steps = (f"  {a} needs {', '.join(sorted(needs[a][b]))} of {b}" for a, b in zip(files, files[1:]))
        yield "\n".join([f"src/{files[0]}: goes round in a circle", *steps])


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    rooms = rooms_txt.read(root)
    sources = {source.name: source for source in (Source(root, path) for path in sorted((root / "src").rglob("*.[ch]")))}
    bad = list(check_order(rooms)) + list(check_includes(sources, rooms))
    if len(sys.argv) > 2:
        bad += check_linked(sources, rooms, pathlib.Path(sys.argv[2]))
    print("\n".join(bad) or f"rooms: {len(rooms)} rooms, {sum(len(room.sees) for room in rooms.values())} arrows, no crossings")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
