#!/usr/bin/env python3
"""Random Dockerfiles and contexts, built by ix and by docker and compared as the record's cases are: entry by entry, in config and history;
refusals by their line.

usage: generate.py --ix PROGRAM --docker COMMAND [--count N] [--seed N] [--call check|outline|targets] [--keep FILE]

Each one is made from its seed alone. What differs is made smaller, line by line and file by file, as long as it still differs, and printed
as a case that can be put into the record. The last line says how many there were.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile

import run

NAMES = ["a", "b", "c.txt", "d", "e f", "x.y", "\u00e9", ".hid", "-dash", "A", "a1"]
WORDS = ["x", "a b", "", "it's", "1", "/p", "\u00e9", "a=b", "x,y", "$", "#", "~", "[z]", "*"]
VARIABLES = ["A", "B", "C", "E", "NONE", "TARGETARCH", "PATH"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.sections, self.paths, self.dirs, self.stages = [], [], [], []

    def chance(self, share):
        return self.r.random() < share

    def pick(self, items):
        return self.r.choice(items)

    # --- the context ---

    def context(self):
        for _ in range(self.r.randint(1, 5)):
            parts = [self.pick(NAMES) for _ in range(self.pick([1, 1, 1, 2, 2, 3]))]
            path = "/".join(parts)
            if any(path == p or path.startswith(p + "/") or p.startswith(path + "/") for p in self.paths):
                continue
            quoted = "'" + path + "'"
            kind = self.r.random()
            if kind < 0.7:
                mode = self.pick(["", "", "", " 755", " 600", " 4755", " 444"])
                self.sections.append([f"file {quoted}{mode}", self.pick(["", "one\n", "two\nlines\n"])])
            elif kind < 0.85:
                self.sections.append([f"dir {quoted}{self.pick(['', ' 700', ' 1777'])}", ""])
            else:
                self.sections.append([f"link {quoted} '{self.pick(NAMES + ['nowhere', '../a', '/etc/passwd', 'd/a'])}'", ""])
            self.paths.append(path)
            self.dirs += ["/".join(parts[:i]) for i in range(1, len(parts))]
        if self.chance(0.3):
            rules = [self.pick(["", "!", "", "# ", " "]) + self.pattern() for _ in range(self.r.randint(1, 4))]
            self.sections.append(["file .dockerignore", "\n".join(rules) + "\n"])

    def pattern(self):
        base = self.pick(self.paths + self.dirs + ["*", "**", "d", "nosuch", "*/a", "**/a", "[ab]", "?", "a*", "*.txt", "/a", "./d", "d/", "d/**"])
        return base if self.chance(0.7) else base.replace(base[:1], self.pick(["?", "*", "[a-z]", "[!x]", "[^x]", "\\*"]), 1)  # an escaped letter ends docker 28.5 itself

    # --- words ---

    def variable(self):
        name = self.pick(VARIABLES)
        form = self.pick(["${%s}", "$%s", "${%s:-w}", "${%s-w}", "${%s:+w}", "${%s+w}", "${%s#*/}", "${%s%%.*}", "${%s/a/b}", "${%s//a/b}", "\\$%s", "'$%s'", '"$%s"', "${%s:-$A}"])
        return form % name

    def word(self):
        text = "".join(self.pick([self.pick(WORDS), self.variable(), "k"]) for _ in range(self.r.randint(1, 3)))
        text = text.replace("\n", "")
        if self.chance(0.3):
            return '"' + text.replace('"', "") + '"'
        if self.chance(0.1):
            return "'" + text.replace("'", "") + "'"
        return text.replace(" ", "\\ ").replace("'", "\\'") if self.chance(0.9) else text

    def source(self):
        path = self.pick(self.paths + self.dirs + ["."]) if self.chance(0.8) else self.pattern()
        return path

    def dest(self):
        return self.pick(["/", "/d/", "/x", "x", "./", "/a/b/", "/l", "/d/e/f", ".", "../up/", "$A/", "/${B:-z}/", "/d"])

    def flags(self, names):
        out = []
        for name in names:
            if not self.chance(0.2):
                continue
            out.append({"chown": "--chown=" + self.pick(["5:6", "app", "app:staff", "root", "nosuch", ":7", "$A", "1000"]),
                        "chmod": "--chmod=" + self.pick(["700", "u=rwX,go=rX", "0644", "+x", "$B", "a-w", "9"]),
                        "exclude": "--exclude=" + self.pick(["*.txt", "a", "**/a", "d/*", "!a"]),
                        "from": "--from=" + self.pick(self.stages + ["base", "0"])}[name])
        return out

    # --- instructions ---

    def copy(self):
        word = self.pick(["COPY", "COPY", "COPY", "ADD"])
        flags = self.flags(["chown", "chmod", "exclude"] + (["from"] if word == "COPY" and self.chance(0.4) else []))
        sources = [self.source() for _ in range(self.pick([1, 1, 1, 2, 3]))]
        if any(f.startswith("--from") for f in flags):
            sources = [self.pick(["/etc/passwd", "/etc/g*", "/d", "/x", "/", "/bin/sh", "/nosuch", "/etc/[gp]*"])]
        if self.chance(0.15):
            name = self.pick(["EOF", "'EOF'", "-EOF"])
            body = "".join(f"{self.pick(['', chr(9)])}{self.pick(['text', self.variable(), 'it' + chr(39) + 's', chr(92) + 'x'])}\n" for _ in range(self.r.randint(0, 3)))
            end = name.strip("'-")
            return f"{word} {' '.join(flags)} <<{name} {self.pick(['/h', '/d/', '/h/'])}\n{body}{end}"
        if self.chance(0.2) or any(" " in s for s in sources):
            return f"{word} {' '.join(flags)} [" + ", ".join(run.json.dumps(w, ensure_ascii=False) for w in [*sources, self.dest()]) + "]"
        return f"{word} {' '.join(flags)} {' '.join(sources)} {self.dest()}"

    def command(self):
        return self.pick(["echo $A >/tmp/a", "true", "env | grep -c . >/dev/null; echo \"$E\" >/tmp/e", "mkdir -p /made/by && echo x >/made/by/f", "ln -s /made /l", "rm -f /etc/group", "id -u >/tmp/u; pwd >/tmp/p",
                          "chmod 700 /etc; touch /etc/x", "false", "ls /etc | head -n 3 >/tmp/ls", "echo a \\\n  && echo b >/tmp/b"])

    def instruction(self, runs):
        kind = self.r.random()
        if kind < 0.3:
            return self.copy()
        if kind < 0.42:
            return f"ENV {self.pick(VARIABLES[:4])}={self.word()}" if self.chance(0.7) else f"ENV {self.pick(VARIABLES[:4])} {self.word()}"
        if kind < 0.54:
            name = self.pick(VARIABLES[:4] + ["TARGETARCH"])
            return f"ARG {name}" if self.chance(0.4) else f"ARG {name}={self.word()}" + (f" C={self.word()}" if self.chance(0.2) else "")
        if kind < 0.66:
            return "LABEL " + " ".join(f"{self.pick(['l', 'm', chr(34) + 'n o' + chr(34), '$A'])}={self.word()}" for _ in range(self.r.randint(1, 3)))
        if kind < 0.72:
            return f"WORKDIR {self.pick(['/w', 'w', '/w/x', '$A', '..', '/', '/l/y', self.word()])}"
        if kind < 0.76:
            return f"USER {self.pick(['app', '5', '5:6', 'root', 'nosuch', '$A', 'app:staff'])}"
        if kind < 0.79:
            return f"EXPOSE {self.pick(['80', '80/udp', '$A', '8000-8002', '443/TCP', '1:2', 'x'])}"
        if kind < 0.82:
            return f"VOLUME {self.pick(['/v', '/v /w', '[' + chr(34) + '/v w' + chr(34) + ']', '$A'])}"
        if kind < 0.86:
            word = self.pick(["CMD", "ENTRYPOINT"])
            return f"{word} {self.pick(['echo $A', '[' + chr(34) + 'a' + chr(34) + ', ' + chr(34) + '$A' + chr(34) + ']', '[]', 'x ' + chr(92) + chr(10) + ' y', ''])}"
        if kind < 0.88:
            return self.pick(["SHELL [\"/bin/sh\", \"-ec\"]", "STOPSIGNAL 9", "STOPSIGNAL SIGTERM", "MAINTAINER me & you", "HEALTHCHECK NONE", "HEALTHCHECK --interval=5s --retries=2 CMD true",
                              "ONBUILD RUN echo on >/tmp/on", "ONBUILD ENV A=on", "STOPSIGNAL $A"])
        if not runs:
            return f"# {self.word()}"
        mount = self.pick(["", "", "", "--mount=type=tmpfs,target=/t ", "--mount=type=bind,target=/c ", "--mount=type=bind,source=$A,target=/c ", "--mount=type=bind "])
        if self.chance(0.15):
            return f"RUN <<EOF{self.pick(['', ' cat >/tmp/h', ' sh'])}\n{self.pick(['echo $A >/tmp/x', '#!/bin/sh' + chr(10) + 'echo s >/tmp/s', 'it' + chr(39) + 's'])}\nEOF"
        if self.chance(0.15):
            return f"RUN {mount}" + run.json.dumps(["sh", "-c", self.command().replace("\\\n", "")])
        return f"RUN {mount}{self.command()}"

    def dockerfile(self):
        lines = []
        if self.chance(0.08):
            lines.append("# escape=`")
        if self.chance(0.3):
            lines.append(f"ARG A={self.word()}")
        for number in range(self.pick([1, 1, 1, 2, 2, 3])):
            base = self.pick(["base", "base", "scratch"] + self.stages)
            name = f"s{number}" if self.chance(0.7) else None
            lines.append(f"FROM {base}" + (f" AS {name}" if name else ""))
            runs = base != "scratch"
            if name:
                self.stages.append(name)
            lines += [self.instruction(runs) for _ in range(self.r.randint(1, 6))]
        if self.chance(0.12):
            lines = self.damage(lines)
        return "\n".join(line.replace("  ", " ") if "\n" not in line else line for line in lines) + "\n"

    def damage(self, lines):
        at = self.r.randrange(len(lines))
        line = lines[at]
        how = self.r.random()
        if how < 0.3 and line:
            cut = self.r.randrange(len(line))
            line = line[:cut] + line[cut + 1:]
        elif how < 0.5:
            line = line[:self.r.randrange(len(line) + 1)]
        elif how < 0.7:
            cut = self.r.randrange(len(line) + 1)
            line = line[:cut] + self.pick(["\"", "'", "\\", "$", "{", "}", "<<X", "[", "]", "  ", "\t", "--", "="]) + line[cut:]
        elif how < 0.85:
            line += " \\"
        else:
            line = line.lower()
        return [*lines[:at], line, *lines[at + 1:]]

    def case(self, name, call):
        self.context()
        case = run.Case(pathlib.Path("generated"), name)
        case.sections = [*self.sections, ["Dockerfile", self.dockerfile()]]
        if self.chance(0.2):
            case.sections.insert(0, [f"flags --build-arg {self.pick(['A', 'B', 'E'])}={self.pick(['given', '', 'd'])}", ""])
        if call:
            case.sections.insert(0, [f"call {call}", ""])
        return case


# --- comparing and making smaller ---

def is_documented(case, theirs, made):
    if made.startswith("error"):
        return False
    missing = re.search(r'"/([^"]*)": not found', theirs)
    links = [run.shlex.split(header)[1] for header, _ in case.sections if header.startswith("link ")]
    # docker 28.5 looks behind links at the root of what it copies with --exclude.
    if missing and missing[1] in links and "--exclude" in case.text("Dockerfile"):
        return True
    # A directory of which nothing is sent is not there for docker.
    return bool(re.search(r"lstat /\S+: no such file or directory", theirs))


class Comparer:
    def __init__(self, ix, docker, work):
        self.ix, self.docker, self.work, self.number, self.documented = ix, docker, work, 0, 0

    def results(self, case):
        self.number += 1
        with tempfile.TemporaryDirectory(dir=self.work) as directory:
            context = pathlib.Path(directory) / "context"
            run.make_context(case, context)
            number = f"{os.getpid()}-{id(case)}-{self.number}"
            return self.docker.build(case, context, number), self.ix.build(case, context, number)

    def differs(self, case):
        """(docker's, ix's) where they are not the same. What docs/dockerfile.md lists and the record has a case for is counted apart."""
        theirs, made = self.results(case)
        if run.same(theirs, made):
            return None
        if is_documented(case, theirs, made):
            self.documented += 1
            return None
        # What is not there docker finds when it gets to it, and any of several; ix before anything runs.
        if theirs.startswith("error") and made.startswith("error") and "CRASHED" not in made and ("failed to compute cache key" in theirs or "not found" in made):
            return None
        return theirs, made

    def smaller(self, case, found):
        """Sections and lines are left out as long as it differs in the same way: refused by one, or made otherwise by both."""
        def kind(pair):
            return tuple(text.startswith("error") for text in pair)

        def still(sections):
            one = run.Case(case.path, case.name)
            one.sections = sections
            try:
                pair = self.differs(one)
            except Exception:  # it cannot be set up any more
                return None
            return pair if pair and kind(pair) == kind(found) else None

        best, again = [list(s) for s in case.sections], True
        while again:
            again = False
            for i in reversed(range(len(best))):
                tries = [] if best[i][0].startswith(("Dockerfile", "call")) else [best[:i] + best[i + 1:]]
                lines = best[i][1].splitlines(True)
                tries += [best[:i] + [[best[i][0], "".join(lines[:j] + lines[j + 1:])]] + best[i + 1:] for j in reversed(range(len(lines))) if len(lines) > 1]
                for sections in tries:
                    pair = still(sections)
                    if pair:
                        best, found, again = sections, pair, True
                        break
                if again:
                    break
        case.sections = best
        return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ix", default=os.environ.get("IX"), required="IX" not in os.environ)
    parser.add_argument("--docker", default=os.environ.get("IX_DOCKER", "docker"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--call", choices=["check", "outline", "targets"])
    parser.add_argument("--keep", help="append the cases found to this file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--as-found", action="store_true", help="do not make them smaller")
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix="ix-generate-")
    differ = 0
    print(f"seeds {options.seed} to {options.seed + options.count - 1}", flush=True)
    try:
        rootfs = pathlib.Path(work) / "rootfs.tar"
        run.make_rootfs(rootfs)
        ix, docker = run.Ix(work, os.path.abspath(options.ix)), run.Docker(work, options.docker)
        for builder in (ix, docker):
            builder.setup(rootfs)
        comparer = Comparer(ix, docker, work)

        def one(seed):
            case = Maker(seed).case(f"generated from seed {seed}", options.call)
            found = comparer.differs(case)
            return case, found if options.as_found or not found else comparer.smaller(case, found)

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for case, found in pool.map(one, range(options.seed, options.seed + options.count)):
                if not found:
                    continue
                differ += 1
                text = f"=== {case.name}\n" + "".join(f"--- {header}\n{body}" for header, body in case.sections) + f"--- expect\n{found[0]}\n"
                print(text + "".join("    " + line for line in run.differences(found[0], found[1], "docker", "ix").splitlines(True)), flush=True)
                if options.keep:
                    with open(options.keep, "a") as f:
                        f.write(text)
        ix.close()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{options.count} built by both, {differ} differ, {comparer.documented} as documented (seeds from {options.seed})")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
