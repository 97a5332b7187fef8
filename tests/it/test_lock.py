"""ix.lock, --locked, --offline, --no-build, and tags that move."""

import re

from ixlib import Machine, write
from test_project import base_tar, team, to_build  # noqa: F401: fixtures
from test_remote import git, repository, web  # noqa: F401: fixtures


def move_base(team, base_tar, text="moved"):
    """base:1 is another image from now on."""
    where = write(team.root / "newbase", Dockerfile=f"FROM base:1\nRUN echo {text} > /{text}\n")
    m = team.machine()
    m.build(where, "-t", "base:new")
    m.ix("push", "base:new", f"{team.host}/library/base:1")


def lock(team, machine, *words):
    return machine.ix("lock", *words, cwd=team.project).lines()


def test_a_locked_base_does_not_move_until_it_is_told_to(team, base_tar):
    one = team.machine()
    said = lock(team, one)
    assert len(said) == 1 and re.match(r"base:1 linux/\w+ sha256:[0-9a-f]{64}$", said[0]), said
    text = (team.project / "ix.lock").read_text()
    assert 'images:\n  "base:1":\n    linux/' in text
    assert lock(team, one) == ["ix.lock is up to date"]
    team.built(one, "--locked")
    move_base(team, base_tar)
    status, _ = team.plan(team.machine(), "--locked")
    assert status == 0
    assert (team.project / "ix.lock").read_text() == text
    said = lock(team, one, "--update", "base")
    assert re.match(r"base:1 \S+ sha256:\w+ → sha256:\w+$", said[0]), said
    status, plan = team.plan(one)
    assert status == 2
    assert re.match(r"base:1 moved from sha256:\w+… to sha256:\w+…$", plan["base"]["reason"])


def test_locked_refuses_what_is_not_in_the_lock_file(team):
    one = team.machine()
    r = one.failure("build", "--locked", cwd=team.project)
    assert "--locked: there is no " in r.err and "write it with ix lock" in r.err
    lock(team, one)
    write(team.project, **{"base.df": "FROM other:2\n"})
    r = one.failure("build", "--locked", cwd=team.project)
    assert "--locked: image other:2 is not in ix.lock: run ix lock" in r.err
    r = one.failure("lock", "--update", "bse", cwd=team.project)
    assert "nothing is built from 'bse'" in r.err or "other:2" in r.err


def test_a_damaged_lock_file_names_its_line(team):
    write(team.project, **{"ix.lock": 'version: 1\nimages:\n  "base:1":\n    linux/amd64: sha256:12\n'})
    r = team.machine().failure("plan", cwd=team.project)
    assert re.search(r"ix\.lock:4:\d+: 'base:1' has to be sha256: and 64 hexadecimal digits", r.err)
    write(team.project, **{"ix.lock": "version: 9\n"})
    assert "version 9 of ix.lock is not known" in team.machine().failure("plan", cwd=team.project).err


def test_repositories_and_files_are_locked(team, web, repository):
    url, root = repository
    web.files["/f.txt"] = b"one\n"
    add = f"ADD {web.url}/f.txt /f.txt\nADD {url}#main /src/\n"
    write(team.project, **{"base.df": f"FROM base:1\n{add}"})
    one = team.machine()
    said = lock(team, one)
    assert f"{url}#main {git('rev-parse', 'main', cwd=root)}" in said and any("/f.txt sha256:" in line for line in said), said
    team.built(one, "base", "--locked")
    write(root, **{"a.txt": "moved"})
    git("commit", "-qam", "3", cwd=root)
    web.files["/f.txt"] = b"two\n"
    assert team.plan(team.machine(), "base", "--locked")[0] == 0
    # What has to be fetched again is not what was locked.
    write(team.project, **{"base.df": f"FROM base:1\nRUN true\n{add}"})
    r = team.machine().failure("build", "base", "--locked", cwd=team.project)
    assert "digest mismatch" in r.err
    assert any("→" in line for line in lock(team, one, "--update", f"{web.url}/f.txt"))
    team.built(team.machine(), "base", "--locked")
    # The branch moved, the build did not.
    assert team.machine().ix("run", "base", "--", "cat", "/src/a.txt", "/f.txt", cwd=team.project).out == "onetwo\n"
    said = lock(team, one, "--update", url)
    assert len(said) == 1 and said[0].endswith(git("rev-parse", "main", cwd=root))


def test_without_a_lock_file_a_moved_tag_is_named(team, base_tar):
    one = team.machine()
    team.built(one)
    move_base(team, base_tar)
    r = one.ix("plan", cwd=team.project, check=False)
    assert re.search(r"base:1 moved from sha256:\w+… \(\d{4}-\d\d-\d\d\) to sha256:\w+…", r.err), r


def test_offline_serves_the_store_or_says_what_is_missing(team):
    one = team.machine()
    r = one.failure("build", "--offline", cwd=team.project)
    assert "what image docker.io/library/base:1 stands for is not in the store, and --offline asks nobody for it" in r.err
    team.built(one)
    built, r = team.built(one, "--offline")
    assert built == [] and " 0 requests" in r.err
    write(team.project, **{"right/src/a": "other\n"})
    built, r = team.built(one, "--offline")
    assert built == ["right", "top"] and " 0 requests" in r.err
    two = team.machine()
    team.built(two)  # found: no layer was moved
    write(team.project, **{"right/src/a": "again\n"})
    r = two.failure("build", "--offline", cwd=team.project)
    assert "--offline asks nobody for it" in r.err


def test_no_build_names_what_would_be_built(team):
    one = team.machine()
    team.built(one)
    team.built(one, "--no-build")
    write(team.project, **{"right/src/a": "other\n"})
    r = team.machine().failure("build", "--no-build", cwd=team.project)
    assert "--no-build: would have to be built: right (COPY src/: 1 changed (src/a)), top (parent right changed)" in r.err
