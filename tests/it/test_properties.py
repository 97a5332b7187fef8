"""Completeness and independence of keys: what has to change exactly which keys, and what may change none.

base <- mid <- top -> side. Each mutation is applied to a fresh copy of the project; the keys before and after are compared.
"""

import json
import os
import shutil
import subprocess

import pytest

from ixlib import Machine, make_base, write

YAML = """project: p
registry: none
stages:
  base: { dockerfile: base.df, args: { WORD: hello } }
  mid: { dockerfile: mid.df, context: mid, args: { BASE_IMAGE: stage:base }, labels: { team: a } }
  side: { dockerfile: side.df, context: side, args: { V: '1', UNUSED: x } }
  top: { dockerfile: top.df, args: { MID: stage:mid, SIDE: stage:side }, contexts: { extra: extra } }
"""

FILES = {
    "ix.yaml": YAML,
    "base.df": "FROM base:1\nARG WORD=none\nENV GREETING=$WORD\nSHELL [\"/bin/sh\", \"-c\"]\nUSER root\nWORKDIR /work\n"
               "RUN echo $GREETING > /greeting\nRUN --mount=type=bind,source=bound,target=/m cat /m/f > /f\n"
               "RUN --mount=type=cache,id=c1,target=/cache echo cached\nRUN --mount=type=secret,id=token cat /dev/null\n"
               "RUN --mount=type=tmpfs,target=/t,size=1m true\nRUN --network=none true\nRUN [\"echo\", \"a\", \"b\"]\n",
    "bound/f": "bound\n", "bound/g": "g\n", ".dockerignore": "*.tmp\nextra/skip\n",
    "mid.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nCOPY src/ /src/\nCOPY --chown=1:2 --chmod=640 a.txt b.txt /texts/\nADD pack.bin /pack\n"
              "RUN ls /src\nLABEL who=\"me\" what=image\nEXPOSE 80 90/udp\nVOLUME /data\nENTRYPOINT [\"/bin/sh\"]\nCMD [\"-c\", \"true\"]\n",
    "mid/src/one": "1\n", "mid/src/two": "2\n", "mid/src/sub/three": "3\n", "mid/a.txt": "a\n", "mid/b.txt": "b\n", "mid/pack.bin": "bin\n",
    "mid/unrelated": "x\n", "mid/.dockerignore": "src/ignored\n",
    "side.df": "FROM base:1\nARG V=0\nRUN echo $V\nCOPY --link one* /ones/\nCOPY --exclude=*.md docs /docs\nCOPY <<EOF /made\nvalue $V\nEOF\n"
               "HEALTHCHECK --interval=5s --retries=3 CMD true\nSTOPSIGNAL SIGTERM\nONBUILD RUN echo child\nARG UNUSED\n",
    "side/one": "1\n", "side/one.more": "m\n", "side/docs/a.md": "md\n", "side/docs/a.txt": "t\n",
    "top.df": "ARG MID\nARG SIDE\nFROM $SIDE AS side\nFROM $MID\nCOPY --from=side /ones /ones\nCOPY --from=extra . /extra/\n"
              "RUN --mount=type=bind,from=side,source=/docs,target=/d ls /d\nENV LAST=1\n",
    "extra/keep": "k\n", "extra/skip": "s\n",
}

BASE, MID, SIDE, TOP = {"base", "mid", "top"}, {"mid", "top"}, {"side", "top"}, {"top"}
NONE = set()


def edit(name, old, new):
    def change(root):
        text = (root / name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        (root / name).write_text(text.replace(old, new, 1))
    return change


def put(name, text):
    def change(root):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return change


def gone(name):
    return lambda root: (root / name).unlink()


def mode(name, bits):
    return lambda root: (root / name).chmod(bits)


def link(name, target):
    def change(root):
        path = root / name
        if path.is_symlink() or path.exists():
            path.unlink()
        path.symlink_to(target)
    return change


def rename(old, new):
    return lambda root: (root / old).rename(root / new)


def both(*changes):
    def change(root):
        for one in changes:
            one(root)
    return change


def capability(name):
    def change(root):
        subprocess.run(["setcap", "cap_net_raw+ep", str(root / name)], check=True)
    return change


def same_size_and_time(name, text):
    def change(root):
        path = root / name
        st = path.stat()
        assert len(text) == st.st_size
        path.write_text(text)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    return change


CHANGES = [
    # --- arguments and environment ---
    ("value of an argument", edit("ix.yaml", "WORD: hello", "WORD: bye"), BASE),
    ("argument removed: its default counts", edit("ix.yaml", ", args: { WORD: hello }", ""), BASE),
    ("empty is not absent", edit("ix.yaml", "WORD: hello", "WORD: ''"), BASE),
    ("argument in scope of a RUN", edit("ix.yaml", "V: '1'", "V: '2'"), SIDE),
    ("default of an argument that is given does not count but its text does not either", edit("side.df", "ARG V=0", "ARG V=5"), NONE),
    ("new argument in scope of a RUN", edit("side.df", "ARG V=0\n", "ARG V=0\nARG W=1\n"), SIDE),
    ("environment", edit("base.df", "ENV GREETING=$WORD", "ENV GREETING=$WORD!"), BASE),
    ("another variable", edit("base.df", "ENV GREETING=$WORD", "ENV GREETING=$WORD MORE=1"), BASE),
    ("last environment", edit("top.df", "LAST=1", "LAST=2"), TOP),
    # --- RUN ---
    ("command", edit("base.df", "echo $GREETING >", "echo $GREETING >>"), BASE),
    ("blanks in a command", edit("base.df", "echo $GREETING", "echo  $GREETING"), BASE),
    ("quotes in a command", edit("base.df", "echo $GREETING", "echo '$GREETING'"), BASE),
    ("form of a command", edit("base.df", 'RUN ["echo", "a", "b"]', "RUN echo a b"), BASE),
    ("where words are cut", edit("base.df", '["echo", "a", "b"]', '["echo", "a b"]'), BASE),
    ("order of words", edit("base.df", '["echo", "a", "b"]', '["echo", "b", "a"]'), BASE),
    ("network", edit("base.df", "--network=none true", "--network=default true"), BASE),
    ("shell", edit("base.df", '"/bin/sh", "-c"', '"/bin/sh", "-ec"'), BASE),
    ("user", edit("base.df", "USER root", "USER app"), BASE),
    ("working directory", edit("base.df", "WORKDIR /work", "WORKDIR /elsewhere"), BASE),
    ("bound file", put("bound/f", "other\n"), BASE),
    ("file beside the bound one", put("bound/new", "new\n"), BASE),
    ("bound source", edit("base.df", "source=bound,target=/m cat /m/f", "source=bound/f,target=/m cat /m/f"), BASE),
    ("bound target", edit("base.df", "target=/m cat /m/f", "target=/n cat /m/f"), BASE),
    ("bound read-write", edit("base.df", "source=bound,target=/m", "source=bound,target=/m,rw"), BASE),
    ("id of a secret", edit("base.df", "id=token", "id=other"), BASE),
    ("target of a secret", edit("base.df", "id=token", "id=token,target=/x"), BASE),
    ("mode of a secret", edit("base.df", "id=token", "id=token,mode=0444"), BASE),
    ("required secret", edit("base.df", "id=token", "id=token,required"), BASE),
    ("secret as a variable", edit("base.df", "id=token", "id=token,env=T"), BASE),
    ("target of a cache", edit("base.df", "target=/cache", "target=/cash"), BASE),
    ("size of a tmpfs", edit("base.df", "size=1m", "size=2m"), BASE),
    ("target of a tmpfs", edit("base.df", "target=/t,", "target=/u,"), BASE),
    ("ssh mount added", edit("base.df", "RUN --mount=type=tmpfs", "RUN --mount=type=ssh --mount=type=tmpfs"), BASE),
    ("kind of a mount", edit("base.df", "type=cache,id=c1", "type=tmpfs"), BASE),
    ("step removed", edit("base.df", "RUN --network=none true\n", ""), BASE),
    ("step added", edit("base.df", "USER root\n", "USER root\nRUN true\n"), BASE),
    ("steps in another order", edit("mid.df", "EXPOSE 80 90/udp\nVOLUME /data\n", "VOLUME /data\nEXPOSE 80 90/udp\n"), MID),
    ("path of a mount from a stage", edit("top.df", "source=/docs", "source=/ones"), TOP),
    ("mount from another stage", edit("top.df", "from=side,source=/docs", "source=extra"), TOP),
    # --- files ---
    ("contents", put("mid/src/one", "other\n"), MID),
    ("contents of the same size and time", same_size_and_time("mid/src/one", "9\n"), MID),
    ("contents below", put("mid/src/sub/three", "other\n"), MID),
    ("emptied file", put("mid/src/one", ""), MID),
    ("new file", put("mid/src/new", "n\n"), MID),
    ("new empty file", put("mid/src/empty", ""), MID),
    ("new empty directory", lambda root: (root / "mid/src/dir").mkdir(), MID),
    ("file removed", gone("mid/src/two"), MID),
    ("file renamed", rename("mid/src/one", "mid/src/uno"), MID),
    ("file moved", rename("mid/src/one", "mid/src/sub/one"), MID),
    ("two files swapped", both(put("mid/src/one", "2\n"), put("mid/src/two", "1\n")), MID),
    ("byte moved to the next file", both(put("mid/src/one", "1\n2"), put("mid/src/two", "\n")), MID),
    ("executable", mode("mid/src/one", 0o755), MID),
    ("unreadable to others", mode("mid/src/one", 0o600), MID),
    ("set-user-id", mode("mid/src/one", 0o4755), MID),
    ("mode of a directory", mode("mid/src/sub", 0o700), MID),
    ("sticky directory", mode("mid/src/sub", 0o1777), MID),
    ("file became a link", link("mid/src/one", "two"), MID),
    ("file became a directory", both(gone("mid/src/one"), lambda root: (root / "mid/src/one").mkdir()), MID),
    ("link", link("mid/src/link", "one"), MID),
    ("broken link", link("mid/src/link", "nowhere"), MID),
    ("fifo", lambda root: os.mkfifo(root / "mid/src/pipe"), MID),
    ("capability", capability("mid/src/one"), MID),
    ("single file", put("mid/a.txt", "other\n"), MID),
    ("single file's mode", mode("mid/pack.bin", 0o755), MID),
    ("added file", put("mid/pack.bin", "other\n"), MID),
    ("wildcard meets a new file", put("side/one.new", "n\n"), SIDE),
    ("wildcard loses a file", gone("side/one.more"), SIDE),
    ("contents under a wildcard", put("side/one", "other\n"), SIDE),
    ("file not excluded", put("side/docs/a.txt", "other\n"), SIDE),
    ("file of a named context", put("extra/keep", "other\n"), TOP),
    ("new file of a named context", put("extra/new", "n\n"), TOP),
    # --- ignore files ---
    ("ignored from now on", edit("mid/.dockerignore", "src/ignored", "src/one"), MID),
    ("directory ignored from now on", edit("mid/.dockerignore", "src/ignored", "src/sub"), MID),
    ("pattern added", edit("mid/.dockerignore", "src/ignored", "src/ignored\n**/three"), MID),
    ("ignore file of the Dockerfile wins", put("mid.df.dockerignore", "src/two\n"), MID),
    ("bound file ignored from now on", put(".dockerignore", "bound/g\n"), BASE),
    # --- COPY and ADD ---
    ("destination", edit("mid.df", "COPY src/ /src/", "COPY src/ /source/"), MID),
    ("destination without slash", edit("mid.df", "COPY src/ /src/", "COPY src/ /src"), MID),
    ("owner", edit("mid.df", "--chown=1:2", "--chown=1:3"), MID),
    ("owner removed", edit("mid.df", "--chown=1:2 ", ""), MID),
    ("chmod", edit("mid.df", "--chmod=640", "--chmod=644"), MID),
    ("chmod removed", edit("mid.df", " --chmod=640", ""), MID),
    ("order of sources", edit("mid.df", "a.txt b.txt", "b.txt a.txt"), MID),
    ("fewer sources", edit("mid.df", "a.txt b.txt", "a.txt"), MID),
    ("ADD to COPY", edit("mid.df", "ADD pack.bin", "COPY pack.bin"), MID),
    ("unpack", edit("mid.df", "ADD pack.bin", "ADD --unpack=false pack.bin"), MID),
    ("link flag", edit("side.df", "COPY --link one*", "COPY one*"), SIDE),
    ("exclusion", edit("side.df", "--exclude=*.md", "--exclude=*.txt"), SIDE),
    ("exclusion removed", edit("side.df", "--exclude=*.md ", ""), SIDE),
    ("path from a stage", edit("top.df", "COPY --from=side /ones /ones", "COPY --from=side /docs /ones"), TOP),
    ("destination from a stage", edit("top.df", "/ones /ones", "/ones /twos"), TOP),
    ("from another stage", edit("top.df", "FROM $SIDE AS side", "FROM $MID AS side"), TOP),
    # --- heredocs ---
    ("heredoc", edit("side.df", "value $V", "other $V"), SIDE),
    ("heredoc without expansion", edit("side.df", "COPY <<EOF", "COPY <<'EOF'"), SIDE),
    ("heredoc's name as file name", edit("side.df", "/made\nvalue $V\nEOF", "/made\nvalue $V\n\nEOF"), SIDE),
    # --- config: what is copied from a stage does not have it ---
    ("label", edit("mid.df", 'who="me"', 'who="you"'), MID),
    ("label of the project", edit("ix.yaml", "team: a", "team: b"), MID),
    ("one more label of the project", edit("ix.yaml", "team: a", "team: a, x: y"), MID),
    ("port", edit("mid.df", "90/udp", "90/tcp"), MID),
    ("volume", edit("mid.df", "VOLUME /data", "VOLUME /dat"), MID),
    ("entrypoint", edit("mid.df", 'ENTRYPOINT ["/bin/sh"]', 'ENTRYPOINT ["/bin/ash"]'), MID),
    ("command of the image", edit("mid.df", '"true"]', '"false"]'), MID),
    ("form of the image's command", edit("mid.df", 'CMD ["-c", "true"]', "CMD -c true"), MID),
    ("health check", edit("side.df", "CMD true\n", "CMD false\n"), {"side"}),
    ("interval of the health check", edit("side.df", "--interval=5s", "--interval=6s"), {"side"}),
    ("retries of the health check", edit("side.df", "--retries=3", "--retries=4"), {"side"}),
    ("no health check", edit("side.df", "HEALTHCHECK --interval=5s --retries=3 CMD true", "HEALTHCHECK NONE"), {"side"}),
    ("signal", edit("side.df", "SIGTERM", "SIGINT"), {"side"}),
    ("trigger", edit("side.df", "echo child", "echo kid"), SIDE),
    # --- bases and links ---
    ("base image", edit("side.df", "FROM base:1", "FROM base:2"), SIDE),
    ("base of all", edit("base.df", "FROM base:1", "FROM base:2"), BASE),
    ("scratch", edit("side.df", "FROM base:1", "FROM scratch"), SIDE),
    ("another parent", edit("ix.yaml", "MID: stage:mid", "MID: stage:base"), TOP),
    ("links exchanged", edit("ix.yaml", "MID: stage:mid, SIDE: stage:side", "MID: stage:side, SIDE: stage:mid"), TOP),
    ("platform", edit("ix.yaml", "context: side,", "context: side, platform: linux/arm64,"), SIDE),
    ("context", both(edit("ix.yaml", "context: mid,", "context: mid2,"),
                     lambda root: shutil.copytree(root / "mid", root / "mid2"), put("mid2/src/one", "x\n")), MID),
    ("target", edit("ix.yaml", "dockerfile: top.df,", "dockerfile: top.df, target: side,"), TOP),
]


def touch(name):
    return lambda root: os.utime(root / name, (1, 1))


INDEPENDENT = [
    ("nothing", lambda root: None, {}),
    ("mode of a file that --chmod gives another", mode("mid/b.txt", 0o755), {}),
    ("time of a file", touch("mid/src/one"), {}),
    ("time of a directory", touch("mid/src/sub"), {}),
    ("time of a Dockerfile", touch("base.df"), {}),
    ("owner", lambda root: [os.chown(p, 12, 34) for p in (root / "mid").rglob("*")] if os.geteuid() == 0 else None, {}),
    ("file rewritten", put("mid/src/one", "1\n"), {}),
    ("order of creation", lambda root: [p.rename(f"{p}.x").rename(p) for p in sorted((root / "mid/src").iterdir(), reverse=True)], {}),
    ("changed and changed back", both(put("mid/src/two", "1\n"), put("mid/src/two", "2\n")), {}),
    ("comment", edit("base.df", "ENV", "# a comment\nENV"), {}),
    ("comment at the end", edit("mid.df", "CMD", "# another\nCMD"), {}),
    ("blank lines", edit("base.df", "USER root\n", "\n\nUSER root\n\n"), {}),
    ("blanks at the end of a line", edit("base.df", "WORKDIR /work\n", "WORKDIR /work   \n"), {}),
    ("lower-case instruction", edit("base.df", "WORKDIR /work", "workdir /work"), {}),
    ("blanks between instruction and words", edit("mid.df", "COPY src/ /src/", "COPY    src/   /src/"), {}),
    ("file outside every COPY", put("mid/unrelated", "y\n"), {}),
    ("new file outside every COPY", put("side/zzz", "y\n"), {}),
    ("ignored file", put("mid/src/ignored", "y\n"), {}),
    ("excluded file", put("side/docs/b.md", "y\n"), {}),
    ("excluded file's contents", put("side/docs/a.md", "y\n"), {}),
    ("an argument that nobody uses", edit("ix.yaml", "UNUSED: x", "UNUSED: y"), {}),
    ("id of a cache", edit("base.df", "id=c1", "id=c2"), {}),
    ("sharing of a cache", edit("base.df", "type=cache,id=c1", "type=cache,sharing=locked,id=c1"), {}),
    ("name of the project", edit("ix.yaml", "project: p", "project: q"), {}),
    ("publish names", edit("ix.yaml", "dockerfile: top.df,", "dockerfile: top.df, publish: [ 'a/b:c' ],"), {}),
    ("order of keys in ix.yaml", edit("ix.yaml", "dockerfile: side.df, context: side,", "context: side, dockerfile: side.df,"), {}),
    ("order of arguments in ix.yaml", edit("ix.yaml", "V: '1', UNUSED: x", "UNUSED: x, V: '1'"), {}),
    ("a stage that nobody needs", edit("ix.yaml", "stages:\n", "stages:\n  zero: { dockerfile: side.df, context: side }\n"), {}),
    ("name of a Dockerfile", both(rename("side.df", "other.df"), edit("ix.yaml", "side.df", "other.df")), {}),
    ("name of a context's directory", both(rename("side", "other"), edit("ix.yaml", "context: side", "context: other")), {}),
    ("time zone", lambda root: None, {"TZ": "Pacific/Kiritimati"}),
    ("locale", lambda root: None, {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}),
    ("user and home", lambda root: None, {"USER": "somebody", "LOGNAME": "somebody", "HOSTNAME": "else"}),
    ("variables of the environment", lambda root: None, {"WORDS": "x", "V": "9", "PATH": os.environ["PATH"] + ":/x"}),
    ("date of the build", lambda root: None, {"SOURCE_DATE_EPOCH": "12345"}),
    ("temporary directory", lambda root: None, {"TMPDIR": "/var/tmp"}),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    where = tmp_path_factory.mktemp("machine")
    machine = Machine(where)
    tar = make_base(machine, where)
    machine.ix("import", tar, "base:1")
    machine.ix("import", "--platform", "linux/arm64", tar, "base:2")
    return machine


def keys(machine, root, env=None, umask=None, stages=("base", "mid", "side", "top")):
    previous = os.umask(umask) if umask is not None else None
    try:
        r = machine.ix("plan", "--json", "--offline", "base", "mid", "side", "top", cwd=root, env=env, check=False)
    finally:
        if previous is not None:
            os.umask(previous)
    assert r.status in (0, 2), r
    return {s["stage"]: s["key"] for s in json.loads(r.out)["stages"] if s["stage"] in stages}


@pytest.fixture(scope="module")
def origin(machine, tmp_path_factory):
    root = write(tmp_path_factory.mktemp("origin") / "project", **FILES)
    return root, keys(machine, root)


@pytest.fixture
def project(origin, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(origin[0], root, symlinks=True)
    return root


@pytest.mark.parametrize("change, expect", [pytest.param(c, e, id=name) for name, c, e in CHANGES])
def test_a_change_changes_exactly_the_keys_it_should(machine, origin, project, change, expect):
    keys(machine, project)  # the stat cache knows the files as they were
    try:
        change(project)
    except (subprocess.CalledProcessError, FileNotFoundError) as e:
        pytest.skip(f"cannot be done here: {e}")
    after = keys(machine, project)
    assert {stage for stage in after if after[stage] != origin[1][stage]} == expect


@pytest.mark.parametrize("change, env", [pytest.param(c, e, id=name) for name, c, e in INDEPENDENT])
def test_what_may_change_no_key(machine, origin, project, change, env):
    change(project)
    assert keys(machine, project, env) == origin[1]


def test_the_umask_changes_no_key(machine, origin, project):
    assert keys(machine, project, umask=0o077) == origin[1]


def test_the_number_of_processors_changes_no_key(machine, origin, project):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one processor")
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        assert keys(machine, project) == origin[1]
    finally:
        os.sched_setaffinity(0, all_of_them)


def test_the_lists_are_long_enough():
    assert sum(1 for _, _, expect in CHANGES if expect) >= 100 and len(INDEPENDENT) >= 30
    assert len({name for name, _, _ in CHANGES}) == len(CHANGES)


def test_the_contents_of_a_secret_count_when_the_project_says_so(machine, origin, project):
    def plan(*words, env=None, check=True):
        r = machine.ix("plan", "--json", "--offline", *words, "base", cwd=project, env=env, check=False)
        return {s["stage"]: s["key"] for s in json.loads(r.out)["stages"]}["base"] if check else r
    (project / "one").write_text("one")
    (project / "two").write_text("two")
    # By default only the id counts.
    assert plan("--secret", "id=token,src=one") == plan("--secret", "id=token,src=two") == origin[1]["base"]
    (project / "ix.yaml").write_text(YAML + "secrets: { digest: [ token ], salt: { env: SALT } }\n")
    salt = {"SALT": "pepper"}
    one = plan("--secret", "id=token,src=one", env=salt)
    assert one == plan("--secret", "id=token,src=one", env=salt)
    assert len({one, plan("--secret", "id=token,src=two", env=salt), plan("--secret", "id=token,src=one", env={"SALT": "other"}), origin[1]["base"]}) == 4
    assert "was not given: --secret id=token" in plan(env=salt, check=False).err
    assert "SALT is not set" in plan("--secret", "id=token,src=one", check=False).err
    (project / "ix.yaml").write_text(YAML + "secrets: { digest: [ token ] }\n")
    assert "needs salt:" in plan(check=False).err
