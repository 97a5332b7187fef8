"""What is hashed is what is executed and what is stored: keys that were too few, keys that were too many, and their explanations."""

import json
import os
import re
import subprocess
import tarfile

import pytest

from ixlib import Machine, make_base, write
from test_project import base_tar, team, to_build  # noqa: F401: fixtures


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    where = tmp_path_factory.mktemp("machine")
    machine = Machine(where)
    make_base(machine, where)
    return machine


def key(machine, where, *words, stage="a"):
    plan = json.loads(machine.ix("plan", "--json", *words, cwd=where, check=False).out)
    return next(s["key"] for s in plan["stages"] if s["stage"] == stage)


def project(where, dockerfile, yaml="", **files):
    write(where, **{"ix.yaml": f"project: p\nregistry: none\n{yaml}stages:\n  a: {{ dockerfile: Dockerfile }}\n", "Dockerfile": dockerfile, **files})
    return where


def files(machine, where, *words):
    out = where / "out.tar"
    machine.ix("build", "-q", "-o", f"type=tar,dest={out}", *words, ".", cwd=where)
    with tarfile.open(out) as tar:
        return {m.name: tar.extractfile(m).read().decode() for m in tar if m.isfile()}


# --- keys that were too few ---

def test_a_heredoc_among_the_sources_is_in_the_image_that_its_key_says(machine, tmp_path):
    """Wherever it stands, docker writes it after the other sources."""
    write(tmp_path, **{"src/x": "of src\n"})
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY <<x src/ /d/\nof doc\nx\n")
    first = files(machine, tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY src/ <<x /d/\nof doc\nx\n")
    second = files(machine, tmp_path)
    assert (first["d/x"], second["d/x"]) == ("of doc\n", "of doc\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY <<x <<y src/ /d/\nof doc\nx\nof y\ny\n")
    assert files(machine, tmp_path) == {"d/x": "of doc\n", "d/y": "of y\n"}


def test_an_argument_behind_an_apostrophe_in_a_heredoc_counts(machine, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG V\nCOPY <<EOF /a\nit's ${V}\nEOF\n")
    assert files(machine, tmp_path, "--build-arg", "V=1")["a"] == "it's 1\n"
    assert files(machine, tmp_path, "--build-arg", "V=2")["a"] == "it's 2\n"


def test_hard_links_that_a_copy_keeps_count_for_second_keys(team):
    machine = team.machine()
    write(team.project, **{
        "base.df": "FROM base:1\nCOPY f /d/f\nRUN cp /d/f /d/g; echo base > /base\n", "f": "f\n",
        "top.df": "ARG RIGHT\nARG LEFT\nFROM $RIGHT AS right\nFROM $LEFT\nCOPY --from=right /d/ /d/\n",
        "right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN cp /d/f /d/h\n"})
    team.built(machine)
    write(team.project, **{"right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN ln /d/g /d/h\n"})
    built, r = team.built(machine)
    assert built == ["right", "top"], r
    write(team.project, **{"right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN ln /d/g /d/h; true\n"})
    built, r = team.built(machine)
    assert built == ["right"], r


def test_hard_links_of_a_context_count(machine, tmp_path):
    where = project(tmp_path, "FROM scratch\nCOPY src/ /\n", **{"src/a": "x", "src/b": "x"})
    apart = key(machine, where)
    (where / "src/b").unlink()
    os.link(where / "src/a", where / "src/b")
    assert key(machine, where) != apart


def test_the_environment_of_the_image_below_a_stage_counts_for_second_keys(team):
    """Two bases with the same layers and another variable: a step that sees it is run again."""
    machine = team.machine()
    dockerfile = "FROM base:1\nENV X={}\n"
    write(team.project, **{"base.df": dockerfile.format(1), "left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN echo $X > /left\n"})
    team.built(machine)
    write(team.project, **{"base.df": dockerfile.format(2)})
    built, r = team.built(machine)
    assert "left" in built, r
    assert machine.ix("run", "left", "--", "cat", "/left", cwd=team.project).out == "2\n"


# --- keys that were too many ---

CONFIG = ["LABEL a={}", "CMD echo {}", "ENTRYPOINT [\"/{}\"]", "EXPOSE 80{}", "HEALTHCHECK CMD echo {}", "VOLUME /v{}", "STOPSIGNAL {}",
          "MAINTAINER m{}", "ONBUILD RUN echo {}"]


def test_words_of_the_config_above_a_step_do_not_run_it_again(machine, tmp_path):
    for line in CONFIG:
        for number in (1, 2):
            (tmp_path / "Dockerfile").write_text(f"FROM busybox:test\n{line.format(number)}\nRUN echo {CONFIG.index(line)} run\nCOPY f /f\nWORKDIR /w\n")
            write(tmp_path, f="f")
            r = machine.build(tmp_path)
        assert "1 built" in r.err, (line, r)  # the image is another,
        assert r.err.count("CACHED") >= 3, (line, r)  # and no step was run for it


def test_the_labels_of_a_parent_run_no_step_of_its_children(team):
    machine = team.machine()
    team.built(machine)
    yaml = (team.project / "ix.yaml").read_text()
    write(team.project, **{"ix.yaml": yaml.replace("dockerfile: base.df", "dockerfile: base.df, labels: { who: me }")})
    built, r = team.built(machine)
    assert built == ["base", "left", "right", "top"] and not re.search(r"RUN (cat|echo)(?!.*cached).*done", r.err), r
    # Elsewhere nothing is fetched for it either.
    write(team.project, **{"ix.yaml": yaml.replace("dockerfile: base.df", "dockerfile: base.df, labels: { who: you }")})
    built, r = team.built(team.machine())
    assert built == ["base", "left", "right", "top"] and not re.search(r"RUN (cat|echo)(?!.*cached).*done", r.err), r


SPELLINGS = [
    ("FROM scratch\nENV D=/d\nCOPY f $D/f\n", "from scratch\nenv D=/d\ncopy f ${D}/f\n"),
    ("FROM scratch\nENV D=/d\nCOPY f $D/f\n", 'FROM scratch\nENV D="/d"\nCOPY f "/d/f"\n'),
    ("FROM scratch\nARG D=/d\nCOPY f $D/f\n", "FROM scratch\nARG D=/d\nCOPY f ${D}/f\n"),
    ("FROM busybox:test\nARG D=/d\nCOPY f $D/f\n", 'FROM busybox:test\nARG D=/d\nCOPY f "${D}/f"\n'),
    ("FROM busybox:test\nARG D=/d\nCOPY f $D/f\n", "FROM busybox:test\nARG D=/d\nCOPY f /d/f\n"),
    ("FROM scratch\nCOPY f g /d/\n", 'FROM scratch\nCOPY ["f", "g", "/d/"]\n'),
    ("FROM scratch\nCOPY f g /d/\n", "FROM scratch\nCOPY   f   g \\\n  /d/\n"),
    ("FROM scratch\nCOPY f /d\n", "FROM scratch\nCOPY --chown=0:0 f /d\n"),
    ("FROM scratch\nCOPY f /d\n", "FROM scratch\nCOPY --chown=0 f /d\n"),
    ("FROM scratch\nCOPY --chmod=644 f /d\n", "FROM scratch\nCOPY --chmod=0644 f /d\n"),
    ("FROM scratch\nWORKDIR /w\nCOPY f d\n", "FROM scratch\nWORKDIR /w\nCOPY f ./d\n"),
    ("FROM scratch\nEXPOSE 80 90/udp\n", "FROM scratch\nEXPOSE 90/UDP 80/tcp\n"),
    ("FROM scratch\nVOLUME /a /b\n", 'FROM scratch\nVOLUME ["/b", "/a"]\n'),
    ("FROM scratch\nLABEL a=b\n", 'FROM scratch\nLABEL "a"="b"\n'),
    ("FROM scratch\nLABEL a=b\n", "FROM scratch\nlabel a b\n"),
    ("FROM scratch\nENV a=b\\ c\n", "FROM scratch\nENV a b c\n"),
    ("FROM busybox:test\nRUN <<A\necho x\nA\n", "FROM busybox:test\nRUN <<B\necho x\nB\n"),
    ("FROM busybox:test\nRUN --mount=type=secret,id=s true\n", "FROM busybox:test\nRUN --mount=type=secret,id=s,mode=0400,target=/run/secrets/s true\n"),
    ("FROM busybox:test\nRUN --mount=type=cache,target=/c true\n", "FROM busybox:test\nRUN --mount=type=cache,id=x,target=/c,mode=0755,uid=0 true\n"),
    ("FROM busybox:test\nRUN true\n", "FROM busybox:test\nRUN --network=default true\n"),
    ("# syntax=docker/dockerfile:1\nFROM scratch\nCOPY f /\n", "FROM scratch\n\n# why\nCOPY f /\n"),
    ("FROM scratch\nCOPY src/ /d/\n", "FROM scratch\nCOPY ./src /d/\n"),
    ("FROM scratch\nCOPY <<A /d/\nx\nA\n", "FROM scratch\nCOPY <<'A' /d/\nx\nA\n"),
]


@pytest.mark.parametrize("one, other", SPELLINGS)
def test_spelling_does_not_count(machine, tmp_path, one, other):
    contents = {"f": "f", "g": "g", "src/x": "x"}
    assert key(machine, project(tmp_path / "1", one, **contents)) == key(machine, project(tmp_path / "2", other, **contents))


DIFFERENT = [
    ("FROM scratch\nCOPY f /d\n", "FROM scratch\nCOPY f /d/\n"),
    ("FROM busybox:test\nARG D=/d\nCOPY f $D\n", "FROM busybox:test\nARG D=/e\nCOPY f $D\n"),
    ("FROM busybox:test\nCOPY f $D\n", "FROM busybox:test\nCOPY f $E\n"),
    ("FROM busybox:test\nENV X=1\nARG X=2\nRUN true\n", "FROM busybox:test\nENV X=1\nARG X=3\nRUN true\n"),
    ("FROM busybox:test\nENV X=1\nARG X=2\nCOPY f /$X\n", "FROM busybox:test\nARG X=2\nENV X=1\nCOPY f /$X\n"),
    ("FROM busybox:test\nARG D=a.b.c\nCOPY f /${D%.*}\n", "FROM busybox:test\nARG D=a.b.c\nCOPY f /${D%%.*}\n"),
    ("FROM busybox:test\nENV X=1\nRUN true\n", "FROM busybox:test\nENV X=2\nRUN true\n"),
    ("FROM busybox:test\nUSER app\nRUN true\n", "FROM busybox:test\nUSER root\nRUN true\n"),
    ("FROM busybox:test\nWORKDIR /a\nRUN true\n", "FROM busybox:test\nWORKDIR /a/b\nRUN true\n"),
    ("FROM busybox:test\nRUN echo  x\n", "FROM busybox:test\nRUN echo x\n"),
    ("FROM busybox:test\nRUN cat <<A\nx\nA\n", "FROM busybox:test\nRUN cat <<B\nx\nB\n"),
    ("FROM busybox:test\nUSER app\nWORKDIR /w\n", "FROM busybox:test\nWORKDIR /w\nUSER app\n"),
    ("FROM busybox:test\nENV \"$X\"=1\nCOPY f $Y\n", "FROM busybox:test\nENV \"$X\"=2\nCOPY f $Y\n"),
    ("FROM busybox:test\nSHELL [\"/bin/ash\", \"-c\"]\nRUN true\n", "FROM busybox:test\nSHELL [\"/bin/sh\", \"-c\"]\nRUN true\n"),
]


@pytest.mark.parametrize("one, other", DIFFERENT)
def test_meaning_counts(machine, tmp_path, one, other):
    assert key(machine, project(tmp_path / "1", one, f="f")) != key(machine, project(tmp_path / "2", other, f="f"))


def test_a_new_name_of_a_stage_changes_no_key(machine, tmp_path):
    write(tmp_path, **{"ix.yaml": "project: p\nregistry: none\nstages:\n  base: { dockerfile: b }\n  a: { dockerfile: d, args: { B: stage:base } }\n",
                       "b": "FROM scratch\nLABEL x=y\n", "d": "ARG B\nFROM $B\nCOPY b /\n"})
    before = key(machine, tmp_path)
    yaml = (tmp_path / "ix.yaml").read_text()
    (tmp_path / "ix.yaml").write_text(yaml.replace("base:", "Basis:").replace("stage:base", "stage:Basis"))
    assert key(machine, tmp_path) == before


def test_the_order_of_labels_does_not_count(machine, tmp_path):
    yaml = "project: p\nregistry: none\nstages:\n  a: { dockerfile: Dockerfile, labels: { %s } }\n"
    write(tmp_path, **{"Dockerfile": "FROM scratch\nLABEL z=1\n", "ix.yaml": yaml % "x: '1', y: '2'"})
    one = key(machine, tmp_path)
    (tmp_path / "ix.yaml").write_text(yaml % "y: '2', x: '1'")
    assert key(machine, tmp_path) == one
    (tmp_path / "ix.yaml").write_text(yaml % "y: '1', x: '2'")
    assert key(machine, tmp_path) != one


def test_the_permissions_of_a_copied_directory_itself_do_not_count(machine, tmp_path):
    where = project(tmp_path, "FROM scratch\nCOPY src/ /d/\n", **{"src/x": "x", "src/sub/y": "y"})
    before = key(machine, where)
    (where / "src").chmod(0o700)
    assert key(machine, where) == before
    (where / "src/sub").chmod(0o700)
    assert key(machine, where) != before


def test_permissions_that_chmod_replaces_do_not_count(machine, tmp_path):
    where = project(tmp_path, "FROM scratch\nCOPY --chmod=0640 src/ /d/\n", **{"src/x": "x"})
    before = key(machine, where)
    (where / "src/x").chmod(0o755)
    assert key(machine, where) == before
    (where / "Dockerfile").write_text("FROM scratch\nCOPY --chmod=u=rw src/ /d/\n")
    before = key(machine, where)
    (where / "src/x").chmod(0o644)
    assert key(machine, where) != before


# --- modes: git ---

@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_modes_git_makes_checkouts_equal(machine, tmp_path, umask):
    where = project(tmp_path / "a", "FROM scratch\nCOPY src/ /\n", yaml="modes: git\n", **{"src/x": "x", "src/sub/run": "y"})
    (where / "src/sub/run").chmod(0o755)
    (where / "src/x").chmod(0o644)
    for path in (where / "src", where / "src/sub"):
        path.chmod(0o755)
    before = key(machine, where)
    machine.ix("build", cwd=where)
    for path in [where / "src", *(where / "src").rglob("*")]:
        path.chmod((0o777 if path.is_dir() or path.name == "run" else 0o666) & ~umask)
    assert key(machine, where) == before
    machine.ix("build", "--no-cache", cwd=where)
    layers = machine.ix("build", "-q", "-o", f"type=tar,dest={tmp_path}/o.tar", "a", cwd=where)
    with tarfile.open(tmp_path / "o.tar") as tar:
        assert {m.name.strip("/"): m.mode for m in tar if m.name.strip("./")} == {"x": 0o644, "sub": 0o755, "sub/run": 0o755}, layers


def test_plan_warns_of_permissions_that_git_does_not_record(machine, tmp_path):
    where = project(tmp_path, "FROM scratch\nCOPY src/ /\n", **{"src/x": "x"})
    (where / "src/x").chmod(0o664)
    assert "permissions" not in machine.ix("plan", cwd=where, check=False).err  # it is no checkout
    subprocess.run(["git", "init", "-q"], cwd=where, check=True)
    warning = "git does not record permissions such as 0664 of src/x"
    r = machine.ix("plan", cwd=where, check=False)
    assert r.err.count(warning) == 1 and "modes: git" in r.err, r
    (where / "src/x").chmod(0o644)
    assert warning not in machine.ix("plan", cwd=where, check=False).err
    (where / "src/x").chmod(0o664)
    (where / "ix.yaml").write_text("modes: git\n" + (where / "ix.yaml").read_text())
    assert warning not in machine.ix("plan", cwd=where, check=False).err
    (where / "ix.yaml").write_text("modes: svn\n" + (where / "ix.yaml").read_text().replace("modes: git\n", ""))
    assert "modes: 'svn' has to be files or git" in machine.failure("plan", cwd=where).err


# --- warnings ---

def test_a_repository_in_a_copy_is_told(machine, tmp_path):
    where = project(tmp_path, "FROM scratch\nCOPY . /\n", **{".git/HEAD": "ref: x\n", "f": "f"})
    r = machine.ix("plan", cwd=where, check=False)
    assert "Dockerfile:2:1: stage 'a': COPY takes in .git, which differs between two clones of a commit" in r.err, r
    (where / ".dockerignore").write_text(".git\n")
    assert "takes in .git" not in machine.ix("plan", cwd=where, check=False).err


def test_a_link_that_no_dockerfile_uses_is_told(machine, tmp_path):
    write(tmp_path, **{"ix.yaml": "project: p\nregistry: none\nstages:\n  b: { dockerfile: b }\n  c: { dockerfile: b }\n"
                                  "  a: { dockerfile: d, args: { B: stage:b, C: stage:c }, contexts: { ctx: stage:c } }\n",
                       "b": "FROM scratch\nLABEL x=y\n", "d": "ARG B\nFROM $B\nLABEL z=1\n"})
    r = machine.ix("plan", cwd=tmp_path, check=False)
    assert "ix.yaml:6:" in r.err and "stage 'a': its Dockerfile does not use the link C to stage 'c'" in r.err, r
    assert "the link ctx to stage 'c'" in r.err and "link B" not in r.err, r


def test_names_of_stages_as_the_seed_writes_them(team):
    yaml = (team.project / "ix.yaml").read_text()
    write(team.project, **{"ix.yaml": yaml.replace("base:", "Base:").replace("stage:base", "stage:Base").replace("top:", "RunTime:", 1)})
    one = team.machine()
    built, r = team.built(one)
    assert built == ["Base", "RunTime", "left", "right"], r
    assert team.built(team.machine())[0] == []
    assert one.ix("run", "RunTime", "--", "cat", "/merged", cwd=team.project).out == "a\nb\n"
    write(team.project, **{"ix.yaml": re.sub("registry: .*", "registry: none", (team.project / "ix.yaml").read_text().replace("publish: [ 'p/top:latest' ]", "labels: {}"))})
    two = team.machine()
    team.built(two)
    assert two.ix("run", "Base", "--", "cat", "/base", cwd=team.project).out == "base\n"
    write(team.project, **{"ix.yaml": "project: p\nstages:\n  A: { dockerfile: x }\n  a: { dockerfile: x }\n"})
    assert "ix.yaml:4:3: stages 'A' and 'a' differ only in case" in two.failure("plan", cwd=team.project).err


# --- explanations ---

def explain(machine, where, stage="a", *words):
    return [line.split(": ", 1)[1] for line in machine.ix("explain", stage, *words, cwd=where).lines()]


EDITS = [
    ("mode", lambda w: (w / "src/run.sh").chmod(0o755), ["COPY src/: 1 changed (src/run.sh mode 0644 → 0755)"]),
    ("contents and mode", lambda w: ((w / "src/run.sh").write_text("other"), (w / "src/run.sh").chmod(0o755)), ["COPY src/: 1 changed (src/run.sh)"]),
    ("empty directory", lambda w: (w / "src/empty").mkdir(), ["COPY src/: 1 added (src/empty (directory))"]),
    ("directory with a file", lambda w: write(w, **{"src/new/f": "x"}), ["COPY src/: 1 added (src/new/f)"]),
    ("empty directory removed", lambda w: (w / "src/none").rmdir(), ["COPY src/: 1 removed (src/none (directory))"]),
    ("name that is not UTF-8", lambda w: open(os.fsencode(w / "src") + b"/\xff.txt", "w").close(), [r"COPY src/: 1 added (src/\xff.txt)"]),
    ("label of the project", lambda w: edit(w, "ix.yaml", "team: web", "team: ops"), ["label team: web → ops"]),
    ("new label of the project", lambda w: edit(w, "ix.yaml", "team: web", "team: web, x: y"), ["label x is new: y"]),
    ("label gone", lambda w: edit(w, "ix.yaml", "team: web", ""), ["label team is gone"]),
    ("removed ENV", lambda w: edit(w, "Dockerfile", "ENV A=1\n", ""), ["instruction removed: ENV A=1"]),
    ("changed ENV", lambda w: edit(w, "Dockerfile", "ENV A=1\n", "ENV A=2\n"), ["instruction changed: ENV A=2"]),
    ("inserted instruction", lambda w: edit(w, "Dockerfile", "ENV A=1\n", "ENV A=1\nRUN true\n"), ["instruction added: RUN true"]),
    ("inserted instruction and a file behind it", lambda w: (edit(w, "Dockerfile", "ENV A=1\n", "ENV A=1\nRUN true\n"), (w / "src/run.sh").write_text("z")),
     ["instruction added: RUN true", "COPY src/: 1 changed (src/run.sh)"]),
    ("lower-case instruction with other words", lambda w: edit(w, "Dockerfile", "RUN echo one", "run echo two"), ["instruction changed: RUN echo two"]),
    ("blanks and a file", lambda w: (edit(w, "Dockerfile", "COPY src/ /src/", "COPY    src/   /src/"), (w / "src/run.sh").write_text("z")),
     ["COPY src/: 1 changed (src/run.sh)"]),
    ("argument", lambda w: edit(w, "ix.yaml", "V: '1'", "V: '2'"), ["ARG V 1 → 2"]),
    ("two at once", lambda w: (edit(w, "ix.yaml", "V: '1'", "V: '2'"), edit(w, "Dockerfile", "LABEL l=1", "LABEL l=2")), ["ARG V 1 → 2", "instruction changed: LABEL l=2"]),
    ("removed instruction", lambda w: edit(w, "Dockerfile", "RUN echo one\n", ""), ["instruction removed: RUN echo one"]),
    ("instructions exchanged", lambda w: edit(w, "Dockerfile", "ENV A=1\nRUN echo one\n", "RUN echo one\nENV A=1\n"), None),
]


def edit(where, name, old, new):
    text = (where / name).read_text()
    assert old in text
    (where / name).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("change, causes", [pytest.param(c, e, id=name) for name, c, e in EDITS])
def test_explain_names_exactly_the_edit(machine, tmp_path, change, causes):
    write(tmp_path, **{
        "ix.yaml": "project: e\nregistry: none\nstages:\n  a: { dockerfile: Dockerfile, labels: { team: web }, args: { V: '1' } }\n",
        "Dockerfile": "FROM busybox:test\nENV A=1\nRUN echo one\nCOPY src/ /src/\nARG V\nRUN echo $V\nLABEL l=1\n",
        "src/run.sh": "x", "src/other": "x"})
    (tmp_path / "src/none").mkdir()
    (tmp_path / "src/run.sh").chmod(0o644)
    machine.ix("build", cwd=tmp_path)
    assert explain(machine, tmp_path) == ["nothing changed since the last build here"]
    change(tmp_path)
    lines = explain(machine, tmp_path)
    assert lines == causes if causes else len(lines) in (1, 2), lines
    plan = json.loads(machine.ix("plan", "--json", cwd=tmp_path, check=False).out)["stages"][0]
    assert plan["causes"] == lines


def test_explain_names_the_setting(machine, tmp_path):
    where = project(tmp_path, "FROM busybox:test\nRUN echo settings\n")
    machine.ix("build", "--shm-size", "65m", cwd=where)
    assert explain(machine, where, "a", "--shm-size", "66m", "--add-host", "h:1.2.3.4", "--network", "none", "--ulimit", "core=0") == [
        "add-host of RUN default → h:1.2.3.4", "network of RUN default → none", "shm-size of RUN 68157440 → 69206016", "ulimit of RUN default → core=0:0"]
    assert explain(machine, where, "a", "--build-arg", "SOURCE_DATE_EPOCH=7", "--shm-size", "65m") == ["SOURCE_DATE_EPOCH unset → 7"]


def test_causes_reach_through_inner_stages_to_the_file(team):
    write(team.project, **{"right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE AS work\nCOPY src/ /src/\nRUN cat /src/* > /made\nFROM work\nCOPY --from=work /made /right\nRUN rm -r /src\n"})
    team.built(team.machine(), "--channel", "main")
    write(team.project, **{"right/src/a": "other\n"})
    cause = "COPY src/: 1 changed (src/a), in work (right.df:2)"
    fresh = team.machine()
    assert explain(fresh, team.project, "right", "--against", "main") == [cause]
    _, plan = team.plan(fresh, "--channel", "main")
    assert plan["right"]["reason"] == cause and plan["right"]["causes"] == [cause]
    assert "right.work" not in fresh.ix("plan", cwd=team.project, check=False).out
    # A stage that is built FROM its inner stage is in the tree as well.
    assert "● right" in fresh.ix("plan", cwd=team.project, check=False).out


def test_stages_that_share_a_dockerfile_have_their_own_reasons(team):
    shared = "ARG BASE_IMAGE\nFROM $BASE_IMAGE AS b\nCOPY f /f\nFROM b\nRUN cat /f\n"
    yaml = (team.project / "ix.yaml").read_text()
    yaml = yaml.replace("dockerfile: left.df,", "dockerfile: shared.df, context: l,").replace("dockerfile: right.df, context: right,", "dockerfile: shared.df, context: r,")
    write(team.project, **{"ix.yaml": yaml, "shared.df": shared, "l/f": "1\n", "r/f": "1\n",
                           "top.df": "ARG LEFT\nARG RIGHT\nFROM $RIGHT AS right\nFROM $LEFT\nCOPY --from=right /f /merged\n"})
    one = team.machine()
    team.built(one)
    write(team.project, **{"l/f": "2\n"})
    out = one.ix("plan", cwd=team.project, check=False).out
    assert re.search(r"● left +build +COPY f: 1 changed \(f\), in b \(shared.df:2\)", out) and "✔ right" in out, out
    write(team.project, **{"r/f": "3\n", "l/f": "1\n"})
    out = one.ix("plan", cwd=team.project, check=False).out
    assert re.search(r"● right +build +COPY f: 1 changed \(f\), in b \(shared.df:2\)", out) and "✔ left" in out, out


def test_a_lone_build_is_compared_with_its_own_last_build(machine, tmp_path):
    one = write(tmp_path / "one", Dockerfile="FROM busybox:test\nRUN echo lone one\n")
    two = write(tmp_path / "two", Dockerfile="FROM scratch\nCOPY Dockerfile /\n")
    machine.build(one)
    r = machine.build(two)
    assert "instruction" not in r.err and "base changed" not in r.err, r
    write(one, Dockerfile="FROM busybox:test\nRUN echo lone two\n")
    assert "instruction changed: RUN echo lone two" in machine.build(one).err


def test_two_stages_of_one_key_have_a_record_each(team):
    from ixlib import manifest
    yaml = (team.project / "ix.yaml").read_text().replace("dockerfile: right.df, context: right,", "dockerfile: left.df,")
    write(team.project, **{"ix.yaml": yaml, "top.df": "ARG LEFT\nARG RIGHT\nFROM $RIGHT AS right\nFROM $LEFT\nCOPY --from=right /left /merged\n"})
    one = team.machine()
    team.built(one, "--no-push")
    team.built(one)
    _, plan = team.plan(one)
    assert plan["left"]["key"] == plan["right"]["key"]
    for stage in ("left", "right"):
        record = manifest(team.host, "p", plan[stage]["reference"].split(":")[-1] + ".ix")
        assert record["annotations"]["dev.ix.stage"] == stage


def test_user_attributes_that_a_copy_keeps_count_for_second_keys(team, base_tar):
    """Two images that differ in one attribute of one file: who copies the file is built again, who copies another is not."""
    for number in "12":
        tar = team.root / f"a{number}.tar"
        with tarfile.open(base_tar) as base, tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as out:
            for member in base:
                out.addfile(member, base.extractfile(member) if member.isfile() else None)
            for name in ("with", "without"):
                info = tarfile.TarInfo(name)
                info.pax_headers = {"SCHILY.xattr.user.number": number} if name == "with" else {}
                out.addfile(info)
        maker = Machine(team.root / f"maker{number}")
        maker.ix("import", tar, f"a:{number}")
        maker.ix("push", f"a:{number}", f"{team.host}/library/a:{number}")
    write(team.project, **{
        "ix.yaml": f"project: p\nregistry: {team.host}/p\nstages:\n  right: {{ dockerfile: right.df }}\n  one: {{ dockerfile: one.df, args: {{ R: stage:right }} }}\n"
                   "  other: { dockerfile: other.df, args: { R: stage:right } }\n",
        "right.df": "FROM a:1\nRUN echo right > /right\n", "one.df": "FROM scratch\nARG R\nCOPY --from=$R /with /f\n",
        "other.df": "FROM scratch\nARG R\nCOPY --from=$R /without /f\n"})
    machine = team.machine()
    assert team.built(machine)[0] == ["one", "other", "right"]
    write(team.project, **{"right.df": "FROM a:2\nRUN echo right > /right\n"})
    assert team.built(machine)[0] == ["one", "right"]
