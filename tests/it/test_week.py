"""A week of a team: which stages ran, what explain said, and what went over the wire."""

import json
import re
import threading
import time

import pytest

from conftest import Registry
from ixlib import manifest, write
from test_identity import ended, explain
from test_lock import move_base
from test_project import Team, base_tar, team, to_build  # noqa: F401: fixtures


def wire(r):
    """Requests, bytes down, bytes up of a build."""
    found = re.search(r"(\d+) requests, (\S+ \S+) down, (\S+ \S+) up", r.err)
    return int(found[1]), found[2], found[3]


def size(text):
    number, unit = text.split()
    return float(number) * {"B": 1, "kB": 1e3, "MB": 1e6}[unit]


def test_a_week(team, base_tar):
    write(team.project, **{"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nCOPY packages.lock /\nRUN cat /base /packages.lock > /left\n",
                           "packages.lock": "one 1.0\n"})
    # Monday: main is built on an empty machine.
    built, r = team.built(team.machine(CI_COMMIT_BRANCH="main", CI_DEFAULT_BRANCH="main"))
    assert built == ["base", "left", "right", "top"]

    # The next machine asks once for each stage and name: nothing moves.
    built, r = team.built(team.machine(CI_COMMIT_BRANCH="main"))
    assert built == [] and wire(r) == (14, "0 B", "0 B")  # three of a stage (image, record, channel), a name, a base image

    # Tuesday: a feature branch changes a file. The branch has no images yet: the default branch explains.
    feature = dict(CI_COMMIT_BRANCH="feature", CI_DEFAULT_BRANCH="main")
    write(team.project, **{"right/src/a": "feature\n"})
    two = team.machine(**feature)
    assert explain(team, two, "top") == ["right: COPY src/: 1 changed (src/a)", "top: parent right changed"]
    built, r = team.built(two)
    assert built == ["right", "top"]
    requests, down, up = wire(r)
    assert requests < 95 and size(down) < 1.3e6 and size(up) < 30e3, r  # the base's layer once down, nothing of it up

    # Wednesday: the commit is reverted. Everything is there; the name top:latest moves back, which is one manifest.
    write(team.project, **{"right/src/a": "a\n"})
    built, r = team.built(team.machine(**feature))
    assert built == [] and size(wire(r)[1]) < 10e3 and size(wire(r)[2]) < 10e3, r  # and the channels move with it

    # A package moves: its lock file is a file like any other, and the stages beside are left alone.
    write(team.project, **{"packages.lock": "one 1.1\n"})
    three = team.machine(CI_COMMIT_BRANCH="main")
    assert explain(team, three, "top") == ["left: COPY packages.lock: 1 changed (packages.lock)", "top: parent left changed"]
    built, r = team.built(three)
    assert built == ["left", "top"]
    requests, down, up = wire(r)
    assert requests < 95 and size(down) < 1.3e6 and size(up) < 30e3, r

    # Thursday: the base image's tag moved.
    move_base(team, base_tar)
    four = team.machine(CI_COMMIT_BRANCH="main")
    lines = explain(team, four, "left")
    assert re.match(r"base: base:1 moved from sha256:\w+… to sha256:\w+…$", lines[0]) and lines[1:] == ["left: parent base changed"]
    built, r = team.built(four)
    assert built == ["base", "left", "right", "top"]

    # Friday: two machines build the same commit at the same time. Both are right, and afterwards everybody agrees.
    write(team.project, **{"base.df": "FROM base:1\nRUN echo friday > /base\n"})
    results = {}

    def build(name):
        results[name] = team.machine(CI_COMMIT_BRANCH="main").ix("build", "--progress", "plain", cwd=team.project, check=False)

    threads = [threading.Thread(target=build, args=(name,)) for name in "ab"]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results["a"].status == results["b"].status == 0, results
    assert results["a"].out == results["b"].out
    last = team.machine(CI_COMMIT_BRANCH="main")
    built, r = team.built(last)
    assert built == [] and wire(r)[0] == 14
    assert last.ix("run", "top", "--", "cat", "/left", cwd=team.project).out == "friday\none 1.1\n"


@pytest.fixture
def odd(tmp_path, base_tar):
    """The same team with a registry that has immutable tags, and neither a list of tags nor referrers."""
    server = Registry()
    seed = None
    try:
        team = Team(tmp_path, server.host)
        seed = team.machine()
        seed.ix("import", base_tar, "base:1")
        seed.ix("push", "base:1", f"{server.host}/library/base:1")
        server.config(immutable=True, rules=[{"method": "GET", "path": "/v2/.*/(tags/list|referrers/.*)", "status": 404}])
        yield team
        asked = [entry["path"] for entry in server.log()]
        assert not [path for path in asked if path.endswith("/tags/list") or "/referrers/" in path], "nobody needs these"
    finally:
        server.stop()


def test_immutable_tags_and_no_list_of_tags(odd):
    yaml = (odd.project / "ix.yaml").read_text().replace(", publish: [ 'p/top:latest' ]", "")
    write(odd.project, **{"ix.yaml": yaml})
    one = odd.machine()
    built, r = odd.built(one)
    assert built == ["base", "left", "right", "top"]
    assert odd.plan(odd.machine())[0] == 0
    write(odd.project, **{"right/src/a": "other\n"})
    two = odd.machine()
    built, r = odd.built(two)
    assert built == ["right", "top"]
    # The channel stays where it was, which is said once; the images are there.
    assert r.err.count("channel main cannot be moved") == 1, r
    assert odd.plan(odd.machine())[0] == 0
    # What is forced, and is another image because it is younger, cannot replace what is there.
    time.sleep(1.1)
    built, r = odd.built(odd.machine(), "--force", "right")
    assert "right" in built and "the registry keeps the image it has" in r.err, r


def test_the_record_of_many_files_is_small_and_not_fetched_unasked(team):
    names = [f"package-{i % 397:03}/lib/module-{i:05}.js" for i in range(50000)]
    for name in names:
        path = team.project / "right/src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"exports.n = {name!r};\n")
    write(team.project, **{"right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nCOPY src/ /src/\nRUN cat /src/a > /right\n"})
    team.built(team.machine())
    record = manifest(team.host, "p", "right.main.ix")
    sizes = {layer["mediaType"]: layer["size"] for layer in record["layers"]}
    assert sizes["application/vnd.ix.files.v1+json+zstd"] < 1 << 20, sizes
    assert sum(sizes.values()) < 1 << 20, sizes
    # The plan of another machine reads the record, and the list only because it has to name the files.
    two = team.machine()
    status, _ = team.plan(two)
    assert status == 0 and not any((two.store / "oci/blobs/sha256" / layer["digest"][7:]).exists() for layer in record["layers"])
    (team.project / "right/src/a").write_text("other\n")
    _, plan = team.plan(two)
    assert plan["right"]["reason"] == "COPY src/: 1 changed (src/a)"
