"""A second implementation of docs/identity.md, small enough to read: it has to agree with ix and with docs/vectors/keys.json."""

import hashlib
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import tempfile

import pytest

from ixlib import IX, Machine

VECTORS = pathlib.Path(__file__).parents[2] / "docs/vectors"
TAGS = dict(FORMAT=1, PLATFORM=2, BASE_SCRATCH=3, BASE_IMAGE=4, BASE_STAGE=5, PARENT=6, STEP=7, WORD=8, EXEC=9, DOC_NAME=10, DOC_BODY=11,
            DOC_FLAGS=12, ARG_NAME=13, ARG_VALUE=14, FROM_STAGE=16, FROM_IMAGE=17, FROM_FILES=18, DEST=19, CHOWN=20, CHMOD=21, LINK=22, HEALTH=30,
            STAGE=31, LABEL=32, EXCLUDE=33, COPY_OPTION=34, CONFIG=41, OWN=42, ENV=43, USER=44, CWD=45, SHELL=46, SPEC=47, DEST_IS_DIR=50)
globals().update(TAGS)
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def u64(n):
    return struct.pack("<Q", n)


def field(tag, value):
    if isinstance(value, str):
        value = value.encode()
    return u64(tag) + (u64(0) if value is None else u64(len(value) + 1) + value)


def flag(tag, n):
    return u64(tag) + u64(n)


def sha(data):
    return hashlib.sha256(data).digest()


def mark(data):
    """What stands for something that is known only when an image is read, or that is no text."""
    return "\1" + sha(data).hex()


def tree(root, pattern, chmod=False):
    """The digest of what one path selects for a COPY; with an octal --chmod permissions do not count."""
    top = root / pattern.strip("/")
    found = [top] + sorted(top.rglob("*"), key=lambda p: str(p.relative_to(top)).replace("/", "\0")) if top.is_dir() else [top]
    out = field(1, "" if top.is_dir() else top.name) + u64(len(found))
    for path in found:
        mode = path.lstat().st_mode
        type_alone = chmod or stat.S_ISLNK(mode) or (path == top and top.is_dir())
        out += field(2, "" if path == top else str(path.relative_to(top))) + u64(3) + u64(stat.S_IFMT(mode) if type_alone else mode)
        if stat.S_ISLNK(mode):
            out += field(4, os.readlink(path))
        elif stat.S_ISREG(mode):
            out += field(5, sha(path.read_bytes()))
    return sha(out)


def root_of(base, config=False):
    return sha(flag(FORMAT, 3) + field(PLATFORM, "linux/amd64") + (u64(CONFIG) if config else b"") + base)


class Stage:
    """The two threads of a stage, and what its steps see."""

    def __init__(self, parent=None):
        if parent:
            self.files = root_of(field(BASE_STAGE, parent.files))
            self.config = root_of(field(BASE_STAGE, parent.config), True)
            self.env, self.user, self.cwd = list(parent.env), parent.user, parent.cwd
        else:
            self.files, self.config = root_of(field(BASE_SCRATCH, "")), root_of(field(BASE_SCRATCH, ""), True)
            self.env, self.user, self.cwd = [PATH], None, "/"

    def set(self, word, *words, form=None, more=b""):
        """An instruction of the config."""
        own = field(STEP, word) + (b"" if form is None else flag(EXEC, form)) + b"".join(field(WORD, w) for w in words) + more
        self.config = sha(field(PARENT, self.config) + field(OWN, sha(own)))

    def do(self, word, own, sight=b""):
        """An instruction of the file system."""
        self.files = sha(field(PARENT, self.files) + field(OWN, sha(field(STEP, word) + own)) + sight)

    def do_env(self, name, value):
        self.set("ENV", name, value)
        self.env.append(f"{name}={value}")

    def do_workdir(self, path):
        self.set("WORKDIR", path)
        self.do("WORKDIR", field(WORD, path), field(USER, self.user))
        self.cwd = path

    def run(self, words, args, form=0, network=0):
        sight = b"".join(field(ARG_NAME, n) + field(ARG_VALUE, v) for n, v in args.items())
        sight += b"".join(field(ENV, e) for e in self.env) + field(USER, self.user) + field(CWD, self.cwd)
        for what, value in (("network", network), ("security=insecure", 0), ("tls: image", 0), ("shm-size", 64 << 20)):
            sight += field(SPEC, what) + u64(value)
        sight += field(SPEC, "hostname") + field(SPEC, None) + field(SPEC, "add-host") + u64(0) + field(SPEC, "ulimit") + u64(0)
        self.do("RUN", flag(EXEC, form) + b"".join(field(WORD, w) for w in words), sight)

    def copy(self, sources, dest, is_dir, chown=None, chmod=None):
        self.do("COPY", sources + field(DEST, dest) + flag(DEST_IS_DIR, is_dir) + field(CHOWN, chown) + field(CHMOD, chmod) + flag(LINK, 0) +
                flag(COPY_OPTION, 0))

    def end(self, **labels):
        if labels:
            self.config = sha(field(PARENT, self.config) + b"".join(field(LABEL, k) + field(LABEL, v) for k, v in sorted(labels.items())))
        self.key = sha(field(STAGE, self.files) + field(CONFIG, self.config))
        return self


def expected(root):
    base = Stage()
    base.do_env("GREETING", "hello")
    base.do_workdir("/made")
    base.copy(field(FROM_FILES, tree(root, "src/")), "/src", 1)
    base.end()

    app = Stage(base)
    app.run(["make VERSION=$VERSION"], {"VERSION": "1.2"})
    app.run(["make", "check"], {"VERSION": "1.2"}, form=1, network=1)
    app.copy(field(FROM_FILES, tree(root, "src/one.txt", True)), "/one", 0, "1:2", "640")
    app.set("CMD", "run", form=1)
    app.end(team="web")

    final = Stage()
    final.copy(field(FROM_STAGE, app.files) + field(WORD, "/made/out"), "/out", 1)
    link = mark(field(8, app.key))
    final.copy(field(DOC_NAME, "END") + field(DOC_BODY, f"made of {link}\n"), "/note", 0)
    final.set("HEALTHCHECK", "CMD", "true", form=0, more=b"".join(flag(HEALTH, n) for n in (5_000_000_000, 0, 0, 0, 3)))
    final.end()
    return {name: "sha256:" + stage.key.hex() for name, stage in (("base", base), ("app", app), ("final", final))}


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "vectors"
    shutil.copytree(VECTORS, root, symlinks=True)
    for path in [root / "src", *(root / "src").rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
    return root


def test_another_implementation_computes_the_same_keys(project, tmp_path):
    plan = json.loads(Machine(tmp_path / "m").ix("plan", "--json", "base", "app", "final", cwd=project, check=False).out)
    got = {s["stage"]: s["key"] for s in plan["stages"]}
    listed = json.loads((VECTORS / "keys.json").read_text())
    want = expected(project)
    for name in want:
        assert got[name] == want[name], name
    assert listed == got


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_asks_does_not_count(project):
    with tempfile.TemporaryDirectory() as place:
        where = pathlib.Path(place)
        where.chmod(0o755)
        shutil.copytree(project, where / "vectors", symlinks=True)
        shutil.copy(IX, where / "ix")
        (where / "home").mkdir()
        os.chown(where / "home", 65534, 65534)
        plan = subprocess.run([where / "ix", "plan", "--json", "--store", where / "home/store", "base", "app", "final"], cwd=where / "vectors",
                              user=65534, group=65534, extra_groups=[], env={"PATH": os.environ["PATH"], "HOME": str(where / "home")},
                              stdout=subprocess.PIPE)
        assert {s["stage"]: s["key"] for s in json.loads(plan.stdout)["stages"]} == expected(project)
