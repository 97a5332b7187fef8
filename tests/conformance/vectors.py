#!/usr/bin/env python3
"""Tables of what docker makes of words with variables, of ignore files and of patterns in COPY, for the unit tests to be held against.

usage: vectors.py --docker COMMAND [expand|ignore|match]...

Each table of tests/vectors is made by asking the engine about every line, in batches. A line is INPUT, a tab, and what came of it: for expand
the text, for ignore and match the files of the header that are copied, each behind a blank. "!" is a refusal. Bytes other than printable
ASCII, blanks and percent signs are written %XX.
"""

import argparse
import io
import itertools
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TABLES = HERE.parent / "vectors"

VARIABLES = {"v": "value", "e": "", "p": "foo/bar/baz.tar.gz", "s": "a b", "star": "a*b?c", "uni": "a\u00e9b\u20acc", "back": "a\\b\\c", "l1_X": "long"}


def encode(text):
    return "".join(chr(b) if 33 <= b < 127 and b != 37 else f"%{b:02X}" for b in text.encode("utf-8", "surrogateescape"))


def unique(items):
    return list(dict.fromkeys(items))


# --- what is asked ---

def expand_words():
    names = ["v", "e", "u", "p", "uni", "l1_X"]
    words = ["plain", "a b", "a'b'c", 'a"b"c', "'$v'", '"$v"', "\\$v", "\\\\$v", "'a\\b'", '"a\\b"', '"a\\"b"', '"a\\$v"', '"a\\\\b"', "a\\bc", "$", "a$",
             "$$", "$$v", "$ v", "$.v", "a$-", "$1", "$12", "$1v", "$v1", "${v1}", "$@", "$*", "$#", "$?", "$-", "$!", "$0", "${@}", "${*}", "${#}", "${?}",
             "${-}", "${$}", "${!}", "${0}", "${12}", "$v$v", "${v}${v}", "$v/$v", "$v.x", "$v-x", "$v_x", "$vx", "${v}x", "x${v}", "~", "#", "`$v`",
             "{v}", "$(v)", "${v", "${", "${}", "$}", "${ v}", "${v }", "${:v}", "${v:}", "${v:x}", "${v=x}", "${v:=x}", "${v!x}", "${v^}", "${v,,}",
             "${v@Q}", "${v:1}", "${v:1:2}", "${#v}", "${!v}", "${.}", "${/a/b}", "${-x}", "${+x}", "${?x}", "'open", '"open', "a'b", 'a"b', "it's",
             "''", '""', "'' ''", "a''b", 'a""b', "'a'\"b\"", "\"a'$v'b\"", "'a\"$v\"b'", "\\'$v\\'", '\\"$v\\"', "\\a\\b\\c", "a\\ b", "\\{v}", "$\\{v}",
             "${v\\}", "$'v'", '$"v"', "\u00e9$v\u20ac", "$v\u20ac", "a\\\u00e9b", "$v\\$v", "%s%d", "a=$v", "${v}=${v}", "[$v]", "<$v>", "!$v", "&$v|", ";"]
    inner = ["w", "", "a b", "$v", "${v}", "${u:-w}", "'q r'", '"q r"', '"$v"', "'$v'", "\\}", "a\\}b", "\\$v", "a'}'b", "/x", "-", ":", "{", "\\\\", "\u00e9"]
    for name, op, word in itertools.product(["v", "e", "u"], [":-", "-", ":+", "+", ":?", "?"], inner):
        words.append("${%s%s%s}" % (name, op, word))
    patterns = ["", "v", "va", "*", "a*", "*a", "*l*", "?", "??", "v?l", "e", "ue", "?ue", "*/", "*.", ".*", "/*", "a/b", "\\*", "\\?", "\\\\", "\\a", "[v]", "'v'", '"v"',
                "$v", "${u:-v}", "\\}", "**", "x", "a\u00e9", "\u00e9", "?\u00e9", "b?", "\\", "foo*r", "*o", "o*", "a*b", "*\\*", "a\\*b"]
    for name, op, word in itertools.product(["v", "p", "star", "uni"], ["#", "##", "%", "%%"], patterns):
        words.append("${%s%s%s}" % (name, op, word))
    words += ["${%s%s*}" % (n, o) for n in ("e", "u", "back") for o in ("#", "##", "%", "%%")] + ["${back#a\\\\}", "${back%\\\\c}", "${back##*\\\\}", "${back%%\\\\*}"]
    replacements = ["X", "", "$v", "a b", "'q r'", '"q"', "\\}", "\\/", "\\\\", "\\X", "/", "\\$v", "'$0'", "'$1'", "'$$'", "'${0}'", "\\$0"]
    for name, op, pattern, new in itertools.product(["v", "p"], ["/", "//"], ["a", "l", "?", "*", "", "a*", "\\/"], replacements):
        words.append("${%s%s%s/%s}" % (name, op, pattern, new))
    for name, op, pattern in itertools.product(["v", "p", "star", "uni", "back", "e", "u"], ["/", "//"], patterns):
        words.append("${%s%s%s/X}" % (name, op, pattern))
    words += ["${v/a}", "${v//a}", "${v/}", "${v//}", "${v///}", "${v///x}", "${v/a/b/c}", "${v/a/b", "${v/a/", "${v/a", "${v/", '"${v/a/b}"', '"${v#"v"}"', "\"${u:-'x'}\"",
              '"${u:-"x y"}"', "${u:-${u:-${u:-deep}}}", "${v:+${v:+${v:+deep}}}", "${u:-$v}$v", "a${u:-b}c", "${v#${u:-v}}", "${v%${v#val}}", "${v/${u:-a}/${u:-b}}"]
    for name in names:
        words += [f"a$" + name, "'$" + name + "'", '"$' + name + '"', '"${' + name + '}x"', "${" + name + "}${" + name + "}", "\\${" + name + "}"]
    return unique(w for w in words if not w.endswith("\\") and w.strip() == w and w)


FILES = """a b ab abc a.b a-b a]b a!b a^b axb aXb a5b a_b a\u00e9b \u00e9 -x x-y [x] .hid d/a d/b d/ab d/e/a d/e/ab d/e/f/a d.x/a dd/ee/gg x/y/z/ab Foo foo
 a*b a?b x\\y sp\u20acce""".split()


def atoms():
    yield from ["a", "b", "ab", "a.b", "d", "d/a", "d/e", "d/e/f/a", "nosuch", "/a", "/d", "/d/a", "./a", "d/", "d//a", "d/./a", "d/../a", "../a", "/../a", ".", "/", ".hid",
                "*", "?", "??", "???", "a*", "*b", "a*b", "*.b", "*.*", ".*", "d*", "d*/a", "*/a", "*/b", "*/*", "d/*", "d/*/*", "*/*/*", "*/*/*/*", "?/?", "d/?", "d?x/a", "d.*/a", "a?b", "a??b",
                "\u00e9", "?\u00e9?", "a\u00e9*", "*\u00e9*", "[\u00e9]", "a[\u00e9]b", "a[^\u00e9]b", "a[\u00e0-\u00ff]b", "F*", "[Ff]oo", "FOO", "sp?ce", "sp??ce", "sp*ce"]
    classes = ["[ab]", "[a-z]", "[^a-z]", "[!x]", "[^x]", "[x!]", "[-]", "[]", "[]a]", "[x-]", "[-x]", "[a-b-c]", "[a", "[", "]", "[\\]]", "[\\-]", "[\\^]", "[^]", "[^^]", "[^-]", "[^]a]",
               "[z-a]", "[a-]", "[0-9]", "[A-Za-z0-9]", "[a-a]", "[[]", "[[x]", "[x[]", "[a\\-z]", "[\\x]", "[.]", "[*]", "[?]", "[/]", "[^/]", "[a/]", "[_5]", "[^a]", "[é]", "[\\d]", "[\\w]",
               "[[:alpha:]]", "[[:digit:]]", "[^[:alpha:]]", "[a*]", "[$]", "[(]", "[|]", "[{]", "[+]", "[a&&b]", "[\\\\]"]
    yield from classes
    yield from ["a" + c + "b" for c in classes]
    yield from ["d" + c + "a" for c in ("[/]", "[^a]", "[!x]", "[.-0]", "[a-z]")]
    yield from ["\\a", "\\*", "a\\*b", "a\\?b", "\\[x\\]", "\\[x]", "x\\\\y", "x\\y", "x\\yz", "a\\b", "a\\.b", "\\d", "a\\d", "a\\db", "a\\wb", "a\\xb", "a\\x62", "\\x61", "a\\", "\\", "\\\\", "a\\!b", "a\\^b", "a^b", "a^*",
                "^a", "a$", "$a", "(a)", "(a|b)", "a|b", "a+", "a{1}", "a+b", "{a,b}", "a]b", "a-b", "a!b", "[x]*", "a\\nb", "a\\tb", "a\\pb", "a\\Qb", "\\-x", "x\\-y", "*\\*b", "a\\*", "a*\\b", "*\\y"]


def ignore_files():
    singles = list(atoms())
    deep = ["**", "**/a", "**/ab", "**/d", "**/*", "**/?", "**/e/a", "**/e/*", "d/**", "d/**/a", "d/**/ab", "d/**/*", "d/**/f", "**a", "**b", "a**", "d**", "d**a", "**/d/**", "**/e/**", "*/**", "**/**", "**/**/a",
            "***", "***/a", "d/***", "**/[ab]", "**/a*", "**/*b", "**/*.b", "/**", "/**/a", "**/", "a/**", "x/**/ab", "x/**/z", "d/e**", "**e/f", "**/nosuch", "d/**/", "**.b", "**/.hid", "**/[^a]", "**d", "d/**b", "**/f/a",
            "*/**/a", "**/*/a", "**/?/a", "d/**/**/a", "d*/**", "**\\/a", "**/\\a"]
    singles += deep
    files = [[p] for p in singles]
    files += [["*", "!" + p] for p in ["a", "d", "d/a", "d/e", "d/e/a", "*b", "a?b", "**/a", "**/ab", "d/**", "**/e", "/a", "./a", "x/y", "x/**/ab", "[ab]", "a[^x]b", "*/a", ".hid", "..", ".", "**", "*", "d*"]]
    files += [["**", "!" + p] for p in ["a", "d", "d/a", "d/e", "d/e/a", "*b", "**/a", "**/ab", "d/**", "**/e", "x/**/ab", "d/e/f", "d.x", "d/*"]]
    files += [["d", "!d/a"], ["d", "!d/e", "d/e/a"], ["d/*", "!d/e"], ["d/**", "!d/e/a"], ["d/e", "!d"], ["!a"], ["!a", "a"], ["a", "!a"], ["a", "!a", "a"], ["*", "!a*", "ab"], ["**/a", "!d/a"], ["**/a", "!**/e/a"],
              ["*", "!d", "d/b"], ["*", "!d/*", "d/e"], ["*/*", "!d/a"], ["d/", "!d/e/"], ["!"], ["! a"], ["*", "! a"], ["!!a"], ["#a"], ["# a", "a"], [" #a"], [" a"], ["a "], ["\ta\t"], [" !a"], ["*", " !a"], ["a", "", "b"],
              ["a\r"], ["a\r", "b\r"], ["\ufeffa"], ["a", "#"], ["*", "!d/e/**"], ["*", "!d/**/a"], ["*", "!*/a"], ["*", "!*/*/a"], ["x", "!x/y/z"], ["x/y", "!x/y/z/ab"], ["x/*", "!x/y/z"], ["**/*", "!**/*b"],
              ["*.b", "!a.b"], ["a*", "!a[!x]b"], ["a*", "!a[^x]b"], ["d?*", "!dd/ee"], ["*", "!d", "!x", "d/e"], ["*", "!**/e/f"], ["d/e/f", "!d/e/f/a"], ["d", "!d"], ["d", "!d/"], ["d", "!./d/a"], ["d", "!/d/a"]]
    for first, second in itertools.product(["*", "d", "**/a", "a*", "?", "*/*", "[a-d]*"], ["!d/a", "!a", "!**/b", "!d/e", "!*b", "!d/**/a", "!x"]):
        files.append([first, second])
    for first, second in itertools.product(["*.b", "d/e", "[!d]*", "**/e", "d.*", "a?b", "**/*b", "*/a"], ["!d/e/f", "!a.b", "!d", "!**/ab", "![ab]", "!*/e/a", "d"]):
        files.append([first, second])
    for a, b, c in itertools.product(["*", "d", "**"], ["!d", "!d/e", "!*/a"], ["d/e/a", "**/ab", "a", "d/*"]):
        files.append([a, b, c])
    for first, second in itertools.product(["[^d]*", "d/**", "**/f"], ["!d/e/a", "!?", "!**/e", "!x/y", "!a*b"]):
        files.append([first, second])
    return unique("\n".join(f) for f in files)


def match_patterns():
    patterns = list(atoms())
    patterns += [p + "/*" for p in ("d", "d*", "?", "[d]", "x/y", "*", "d?x", "[a-e]", "d/e", "*d")] + ["*/" + p for p in ("a", "?", "[a]", "a*", "e/a", "*b", "y/z", "e/?", "??", "[!x]", "[^x]", "\\a")]
    patterns += [f"{a}{b}" for a, b in itertools.product(["a", "?", "*", "[ab]", "[^a]", "d/", "d/e/", "*/", "\\a", "x"], ["a", "b", "?", "*", "[b]", "[^x]", "[a-c]", "*b", "?b", "\\b", "a*", "??", "*?", "?*", "**", "**b", "*/a", "b*", "[.-]b", "/"])]
    patterns += ["**", "**/a", "d/**", "d/**/a", "***", "d//*", "./*b", "/*b", "../*b", "d/../a*", "d/e/../*", "*/../a", "*/./a", "d/*/..", "d/*/../b", "*/", "d*/", "a*/"]
    patterns += [f"{a}/{b}" for a, b in itertools.product(["*", "d*", "[dx]", "?", "d?x", "d/e", "\\d", "[^a]"], ["f/a", "*/a", "?/?", "[e]", "[!e]", "a[b]", "*[b]", "y/z/ab", "*/z/*", "**"])]
    return unique(p for p in patterns if p)


# --- asking ---

class Engine:
    def __init__(self, command, work):
        self.words, self.work = shlex.split(command), pathlib.Path(work)

    def run(self, *words, **options):
        return subprocess.run([*self.words, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600, **options)

    def labels(self, dockerfile):
        """The labels it makes, or the error."""
        (self.work / "Dockerfile").write_bytes(dockerfile.encode("utf-8", "surrogateescape"))
        result = self.run("build", "--progress", "plain", "-t", "ixvectors", "-f", str(self.work / "Dockerfile"), str(self.work / "empty"))
        if result.returncode != 0:
            return None
        return json.loads(self.run("image", "inspect", "ixvectors").stdout)[0]["Config"]["Labels"] or {}

    def tree(self, dockerfile, *words):
        """The files it makes: path -> contents; None when it is refused."""
        (self.work / "Dockerfile").write_bytes(dockerfile.encode("utf-8", "surrogateescape"))
        result = self.run("build", "--no-cache", "--progress", "plain", "-o", "type=tar,dest=-", "-f", str(self.work / "Dockerfile"), *words)
        if result.returncode != 0:
            return None
        with tarfile.open(fileobj=io.BytesIO(result.stdout), errorlevel=2) as tar:
            return {m.name: tar.extractfile(m).read().decode() for m in tar if m.isreg()}


def ask_in_batches(items, size, ask, progress=True):
    """ask(batch) gives a list of answers, or None when the whole of it was refused: then it is halved."""
    answers = {}
    todo = [items[i:i + size] for i in range(0, len(items), size)]
    while todo:
        batch = todo.pop()
        got = ask(batch)
        if got is not None:
            answers.update(zip(batch, got))
        elif len(batch) == 1:
            answers[batch[0]] = None
        else:
            todo += [batch[:len(batch) // 2], batch[len(batch) // 2:]]
        if progress:
            print(f"\r{len(answers)} of {len(items)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return [(item, answers[item]) for item in items]


def ask_expand(engine, words):
    head = "FROM scratch\n" + "".join(f"ENV {k}='{v}'\n" if v else f"ENV {k}=\n" for k, v in VARIABLES.items())

    def ask(batch):
        labels = engine.labels(head + "".join(f"LABEL w{i} {word}\n" for i, word in enumerate(batch)))
        return None if labels is None else [labels.get(f"w{i}", "") for i in range(len(batch))]
    (engine.work / "empty").mkdir(exist_ok=True)
    return ask_in_batches(words, 64, ask)


def make_files(root):
    for path in FILES:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)


def shown(found):
    return None if found is None else " ".join(encode(p) for p in sorted(found))


def ask_ignore(engine, files):
    roots = []

    def ask(batch):
        words = []
        for i, text in enumerate(batch):
            while len(roots) <= i:
                root = engine.work / f"context{len(roots)}"
                make_files(root)
                roots.append(root)
            (roots[i] / ".dockerignore").write_text(text + "\n")
            words += ["--build-context", f"c{i}={roots[i]}"]
        tree = engine.tree("FROM scratch\n" + "".join(f"COPY --from=c{i} . /{i}/\n" for i in range(len(batch))), *words, str(engine.work / "empty"))
        if tree is None:
            return None
        return [shown(p.split("/", 1)[1] for p in tree if p.split("/", 1)[0] == str(i) and not p.endswith(".dockerignore")) for i in range(len(batch))]
    (engine.work / "empty").mkdir(exist_ok=True)
    return ask_in_batches(files, 16, ask)


def ask_match(engine, patterns):
    root = engine.work / "match"
    make_files(root)
    (root / "keep").mkdir()
    (root / "keep" / "kept").write_text("")

    def ask(batch):
        lines = "".join("COPY --from=c %s\n" % json.dumps(["keep", re.sub(r"([\\'\"$])", r"\\\1", p), f"/{i}/"]) for i, p in enumerate(batch))
        tree = engine.tree("FROM scratch AS c\nCOPY . /\nFROM scratch\n" + lines, str(root))
        if tree is None:
            return None
        return [shown(text for p, text in tree.items() if p.split("/", 1)[0] == str(i) and text) for i in range(len(batch))]
    return ask_in_batches(patterns, 32, ask)


KINDS = {"expand": (expand_words, ask_expand), "ignore": (ignore_files, ask_ignore), "match": (match_patterns, ask_match)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--docker", default=os.environ.get("IX_DOCKER", "docker"))
    parser.add_argument("--count", action="store_true", help="say how many lines there would be")
    parser.add_argument("kind", nargs="*", choices=[[], *KINDS])
    options = parser.parse_args()
    for kind in options.kind or KINDS:
        make, ask = KINDS[kind]
        if options.count:
            print(kind, len(make()))
            continue
        with tempfile.TemporaryDirectory() as work:
            engine = Engine(options.docker, work)
            version = engine.run("version", "-f", "{{.Server.Version}}").stdout.decode().strip()
            rows = ask(engine, make())
        head = f"# Made by tests/conformance/vectors.py with docker {version}.\n"
        if kind == "expand":
            head += "# variables:" + "".join(f" {k}={encode(v)}" for k, v in VARIABLES.items()) + "\n"
        else:
            head += "# files: " + " ".join(encode(p) for p in FILES) + "\n"
        if kind == "expand":
            rows = [(word, None if text is None else encode(text)) for word, text in rows]
        TABLES.mkdir(exist_ok=True)
        (TABLES / f"{kind}.txt").write_text(head + "".join(f"{encode(item)}\t{'!' if text is None else text}\n" for item, text in rows))
        print(f"{kind}: {len(rows)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
