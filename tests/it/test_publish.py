"""Publishing beside the build, what a kill leaves half done, and registries that do not answer, refuse or have lost something."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from ixlib import IX, manifest, manifest_digest, put_manifest, tags, write
from test_identity import digest_of
from test_project import Team, base_tar, to_build  # noqa: F401: fixtures


@pytest.fixture
def shop(tmp_path, base_tar, registry):  # noqa: F811
    """As the team of test_project, with the registry that misbehaves; base image in it."""
    registry.config(strict=True)
    repository = f"r{time.monotonic_ns()}"  # contents stay from test to test
    team = Team(tmp_path, registry.host)
    text = (team.project / "ix.yaml").read_text().replace(f"{registry.host}/p", f"{registry.host}/{repository}").replace("p/top", f"{repository}/top")
    write(team.project, **{"ix.yaml": text})
    write(team.project, **{"top.df": (team.project / "top.df").read_text().replace("$LEFT\nARG $", "LEFT\nARG ")})
    team.repository = repository
    team.registry = registry
    make = team.machine
    team.machine = lambda **env: make(IX_RETRY_SECONDS="1", **env)
    first = team.machine()
    first.ix("import", base_tar, "base:1")
    first.ix("push", "base:1", f"{registry.host}/library/base:1")
    return team


def tag_of(shop, machine, stage):
    return digest_of(shop, machine, stage).split(":")[-1]


def everything(shop):
    """The tags of the repository without their keys, and that each image has its record and the channels point at them."""
    names = tags(shop.host, shop.repository)
    for name in names:
        if name.endswith(".ix") and not name.endswith(".main.ix"):
            assert name[:-3] in names
    return sorted({re.sub(r"[0-9a-f]{40}", "KEY", name) for name in names})


COMPLETE = sorted(f"{stage}{rest}" for stage, rests in {
    "base": ("-KEY", "-KEY.ix", ".main", ".main.ix"),
    "left": ("-KEY", "-KEY.ix", "-oKEY", ".main", ".main.ix"),
    "right": ("-KEY", "-KEY.ix", "-oKEY", ".main", ".main.ix"),
    "top": ("-KEY", "-KEY.ix", "-oKEY", ".main", ".main.ix")}.items() for rest in rests)


def is_complete(shop, machine, said=None):
    assert everything(shop) == COMPLETE
    for stage in ("base", "left", "right", "top"):
        tag = tag_of(shop, machine, stage)
        assert {tag, tag + ".ix"} <= set(tags(shop.host, shop.repository)), (stage, said)
        assert manifest_digest(shop.host, shop.repository, f"{stage}.main") == manifest_digest(shop.host, shop.repository, tag)
        assert manifest_digest(shop.host, shop.repository, f"{stage}.main.ix") == manifest_digest(shop.host, shop.repository, tag + ".ix")
    assert manifest_digest(shop.host, f"{shop.repository}/top", "latest") == manifest_digest(shop.host, shop.repository, tag_of(shop, machine, "top"))


# --- beside the build ---

def test_a_build_does_not_wait_for_uploads(shop):
    shop.registry.config(rules=[{"method": "PUT", "path": ".*/blobs/uploads/.*", "times": 100, "delay": 0.4}])
    one = shop.machine()
    process = subprocess.Popen([IX, "build", "--store", str(one.store), "--config", str(one.config), "--progress", "plain", "-j", "1"],
                               cwd=shop.project, env=one.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    events = [line for line in process.stdout if ": built in" in line or ": published" in line]
    assert process.wait() == 0
    built = [i for i, line in enumerate(events) if ": built in" in line]
    assert built == [0, 1, 2, 3], events
    is_complete(shop, one)


@pytest.mark.threads
def test_what_could_not_be_published_is_named_at_the_end_and_the_build_is_whole(shop, tmp_path):
    shop.registry.config(rules=[{"method": "PUT", "path": f"/v2/{shop.repository}/manifests/(left|right)-.*", "times": 1000, "status": 500}])
    one = shop.machine()
    r = one.failure("build", "--progress", "plain", "--iidfile", tmp_path / "iid", "top", cwd=shop.project)
    assert r.status == 1
    assert re.search(r"^ix: not published: left, right, top; what was built is here$", r.err, re.M), r
    assert "  left: " in r.err and "  right: " in r.err and "500" in r.err
    assert re.search("^  top: stage '(left|right)', which it is made of, is not published$", r.err, re.M), r
    assert re.search(r"^4 built, 0 found", r.err, re.M) and r.out.startswith(f"{shop.host}/{shop.repository}:top-")
    assert (tmp_path / "iid").read_text().startswith("sha256:")
    assert r.err.index("4 built") < r.err.index("not published")
    assert one.ix("run", "top", "--", "cat", "/merged", cwd=shop.project).out == "a\nb\n"
    # What was not published is published by the next build, which builds nothing.
    shop.registry.config(rules=[])
    built, r = shop.built(one)
    assert built == []
    is_complete(shop, one)


@pytest.mark.threads
def test_a_failing_stage_does_not_cancel_the_uploads_of_the_others(shop):
    write(shop.project, **{"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN false\n"})
    shop.registry.config(rules=[{"method": "PUT", "path": ".*/blobs/uploads/.*", "times": 100, "delay": 0.5}])
    one = shop.machine()
    r = one.failure("build", "--progress", "plain", cwd=shop.project)
    assert "RUN false" in r.err
    assert any(t.startswith("base-") and not t.endswith(".ix") for t in tags(shop.host, shop.repository)), r
    assert "base.main.ix" in tags(shop.host, shop.repository)


@pytest.mark.threads
def test_an_interrupt_cancels_uploads(shop):
    shop.registry.config(rules=[{"method": "PUT", "path": ".*/blobs/uploads/.*", "times": 100, "delay": 20}])
    one = shop.machine()
    process = subprocess.Popen([IX, "build", "--store", str(one.store), "--config", str(one.config), "--progress", "plain"],
                               cwd=shop.project, env=one.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "top: built in" in line:
            break
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)
    assert process.returncode == 130 and time.monotonic() - start < 5


# --- completing what a kill left ---



@pytest.mark.parametrize("point", ["publish.begin", "publish.manifest"])
def test_what_a_kill_left_half_published_is_completed(shop, point):
    count = 0
    for n in range(1, 60):
        # Each time other keys.
        write(shop.project, **{"base.df": f"FROM base:1\nRUN echo {n} > /base\n"})
        killed = shop.machine()
        r = killed.ix("build", cwd=shop.project, env={"IX_FAULT": f"{point}:{n}:kill"}, check=False)
        if r.status == 0:
            break
        assert r.status == -signal.SIGKILL, r
        count += 1
        if n % 3 == 0 or os.environ.get("IX_FULL"):
            # Another machine completes it, or the one that was killed.
            other = shop.machine() if n % 2 else killed
            r = other.ix("build", "--progress", "plain", cwd=shop.project)
            is_complete(shop, other, (n, r))
            fresh = shop.machine()
            assert "never built" not in fresh.ix("explain", "top", cwd=shop.project, check=False).err
    assert count > 15


def test_a_found_stage_gets_its_record_and_channel_back(shop):
    one = shop.machine()
    shop.built(one)
    for stage in ("left", "top"):
        tag = tag_of(shop, one, stage)
        for name in (tag + ".ix", f"{stage}.main", f"{stage}.main.ix"):
            shop.registry.forget(shop.repository, name)
    second = next(t for t in tags(shop.host, shop.repository) if t.startswith("top-o"))
    shop.registry.forget(shop.repository, second)
    two = shop.machine()
    built, r = shop.built(two)
    assert built == [] and "warning" not in r.err, r
    # left is not needed for top, which was found; whoever asks for it completes it.
    names = tags(shop.host, shop.repository)
    assert second in names and "top.main.ix" in names
    shop.built(one, "left")
    is_complete(shop, one)
    r = shop.machine().ix("explain", "top", cwd=shop.project)
    assert r.out == "top: nothing changed since channel main\n", r


def test_a_revert_moves_the_channels_back(shop):
    one = shop.machine()
    shop.built(one)
    before = {s: manifest_digest(shop.host, shop.repository, f"{s}.main.ix") for s in ("base", "left", "right", "top")}
    write(shop.project, **{"right/src/a": "changed\n", "base.df": "FROM base:1\nRUN echo other > /base\n"})
    shop.built(one)
    assert manifest_digest(shop.host, shop.repository, "base.main.ix") != before["base"]
    write(shop.project, **{"right/src/a": "a\n", "base.df": "FROM base:1\nRUN echo base > /base\n"})
    built, _ = shop.built(shop.machine())
    assert built == []
    assert before == {s: manifest_digest(shop.host, shop.repository, f"{s}.main.ix") for s in before}
    is_complete(shop, one)
    # So that the next change is explained by itself.
    write(shop.project, **{"right/src/b": "new\n"})
    _, plan = shop.plan(shop.machine())
    assert to_build(plan) == ["right", "top"] and plan["right"]["reason"] == "COPY src/: 1 changed (src/b)"


# --- errors are not absence ---

def test_a_refused_record_does_not_make_a_tag_be_overwritten(shop):
    one = shop.machine()
    key = shop.root / "ci"
    one.ix_plain("key", "generate", str(key))
    yaml = (shop.project / "ix.yaml").read_text()
    write(shop.project, **{"ix.yaml": yaml + f"trust: signed\ntrusted_keys: [ '{key}.pub' ]\nsigning_key: {{ env: SIGN }}\n"})
    one = shop.machine(SIGN=key.read_text())
    shop.built(one)
    tag = tag_of(shop, one, "right")
    before = manifest_digest(shop.host, shop.repository, tag)
    two = shop.machine(SIGN=key.read_text())
    for status in (403, 500):
        shop.registry.config(rules=[{"method": "GET", "path": f".*/manifests/{tag}[.]ix", "times": 1000, "status": status}])
        r = two.ix("build", "--progress", "plain", cwd=shop.project, check=False)
        assert "going on without what the registry has" in r.err and str(status) in r.err, r
        assert manifest_digest(shop.host, shop.repository, tag) == before


@pytest.mark.parametrize("rule", [{"status": 403}, {"status": 401}, {"status": 500}, {"drop": True}])
def test_a_registry_that_does_not_answer_lookups_is_gone_on_without(shop, rule):
    path = f"/v2/{shop.repository}/.*"
    shop.registry.config(rules=[dict(rule, path=path, times=10000)])
    one = shop.machine()
    r = one.ix("build", "--progress", "plain", "left", "right", cwd=shop.project, check=False)
    assert r.status == 0, r
    assert len(re.findall("going on without what the registry has", r.err)) == 1, r
    assert "3 built" in r.err
    r = one.ix("plan", cwd=shop.project, check=False)
    assert r.status == 2 and "going on without" in r.err, r
    for command in ("build", "plan"):
        r = shop.machine().ix(command, "--require-cache", cwd=shop.project, check=False)
        assert r.status == 1 and "--require-cache" in r.err, r
    # A name that was asked for is another thing.
    shop.registry.config(rules=[dict(rule, path=f"/v2/{shop.repository}.*", times=10000)])
    r = one.failure("build", "--progress", "plain", cwd=shop.project)
    assert r.status == 1 and "not published: top" in r.err and re.search(r"^1 built, 2 found|^1 built", r.err, re.M), r
    # When it answers again all is published.
    shop.registry.config(rules=[])
    built, _ = shop.built(one)
    assert built == []
    assert everything(shop)[0].startswith("left") or everything(shop) == COMPLETE


@pytest.mark.parametrize("status", [401, 403, 405])
def test_a_registry_that_is_read_only_for_us_is_used_and_not_written(shop, status):
    shop.built(shop.machine())
    write(shop.project, **{"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN cat /base > /left2\n"})
    shop.registry.config(rules=[{"method": m, "path": ".*", "times": 1000, "status": status} for m in ("PUT", "POST", "PATCH")])
    one = shop.machine()
    r = one.ix("build", "--progress", "plain", "left", cwd=shop.project)
    assert len(re.findall("the registry does not let us write", r.err)) == 1 and "1 built" in r.err, r
    r = one.failure("build", "--progress", "plain", cwd=shop.project)
    assert "not published: top" in r.err and "left-" not in " ".join(shop.registry.lines()[-3:])


@pytest.mark.threads
def test_a_builder_that_was_faster_has_won(shop):
    """Another machine publishes the same keys between our HEAD and our PUT, and tags are immutable."""
    one, two = shop.machine(), shop.machine(SOURCE_DATE_EPOCH="1000000000")
    shop.registry.config(immutable=True, rules=[{"method": "HEAD", "path": f".*/manifests/(left|base|right)-[0-9a-f]{{40}}", "times": 3, "status": 404}])
    # two looks, one builds and publishes, then two builds and finds the tags taken.
    shop.built(one, "left", "right")
    theirs = {s: manifest_digest(shop.host, shop.repository, tag_of(shop, one, s)) for s in ("left", "right")}
    shop.registry.config(immutable=True, rules=[
        {"method": "HEAD", "path": f".*/manifests/{s}-[0-9a-f]{{40}}", "times": 1, "status": 404} for s in ("base", "left", "right")])
    r = two.ix("build", "--progress", "plain", "--no-cache", "left", "right", cwd=shop.project, check=False)
    assert r.status == 0, r
    assert theirs == {s: manifest_digest(shop.host, shop.repository, tag_of(shop, one, s)) for s in ("left", "right")}
    names = {i["name"]: i["digest"] for i in json.loads(two.ix("images", "--json").out)}
    for stage, digest in theirs.items():
        assert names[f"{shop.host}/{shop.repository}:{tag_of(shop, one, stage)}"] == digest


# --- found and not to be had ---

def layers_of(shop, tag):
    return [layer["digest"] for layer in manifest(shop.host, shop.repository, tag)["layers"]]


@pytest.mark.parametrize("harm", ["forget", "flip"])
@pytest.mark.parametrize("what", ["layer", "config", "manifest", "base layer"])
def test_what_was_found_and_cannot_be_had_is_built_again_and_mended(shop, harm, what):
    one = shop.machine()
    shop.built(one)
    tag = tag_of(shop, one, "right")
    image = manifest(shop.host, shop.repository, tag)
    digest = {"layer": image["layers"][-1]["digest"], "base layer": image["layers"][0]["digest"], "config": image["config"]["digest"],
              "manifest": manifest_digest(shop.host, shop.repository, tag)}[what]
    getattr(shop.registry, harm)(shop.repository, digest)
    write(shop.project, **{"top.df": (shop.project / "top.df").read_text() + "RUN cat /merged > /more\n"})
    two = shop.machine()
    built, r = shop.built(two)
    # A layer that both have is missed by the first of them that comes to it, and back before the other one does.
    assert "top" in built and ("right" in built or (what == "base layer" and "left" in built)), r
    assert two.ix("run", "top", "--", "cat", "/more", cwd=shop.project).out == "a\nb\n"
    assert ("damaged, building it again" in r.err) or "not used from the registry" in r.err, r
    # The next machine finds everything.
    write(shop.project, **{"top.df": (shop.project / "top.df").read_text() + "RUN cat /more > /again\n"})
    three = shop.machine()
    built, r = shop.built(three)
    assert built == ["top"] and "warning" not in r.err, r
    assert three.ix("run", "top", "--", "cat", "/again", cwd=shop.project).out == "a\nb\n"


@pytest.mark.threads
def test_a_lost_layer_of_the_target_itself_is_built_again_for_an_output(shop, tmp_path):
    one = shop.machine()
    shop.built(one)
    shop.registry.forget(shop.repository, layers_of(shop, tag_of(shop, one, "top"))[-1])
    two = shop.machine()
    two.ix("build", "-q", "-o", f"type=tar,dest={tmp_path}/a.tar", "top", cwd=shop.project)
    r = shop.machine().ix("run", "top", "--", "cat", "/merged", cwd=shop.project)
    assert r.out == "a\nb\n" and "damaged" not in r.err, r


def test_what_is_only_refused_is_built_again_and_not_overwritten(shop):
    one = shop.machine()
    shop.built(one)
    tag = tag_of(shop, one, "right")
    before = manifest_digest(shop.host, shop.repository, tag)
    shop.registry.config(rules=[{"method": "GET", "path": ".*/blobs/" + layers_of(shop, tag)[-1], "times": 1000, "status": 403}])
    write(shop.project, **{"top.df": (shop.project / "top.df").read_text() + "RUN cat /merged > /more\n"})
    two = shop.machine()
    r = two.ix("build", "--progress", "plain", cwd=shop.project, check=False)
    assert "cannot be had from the registry, building it again" in r.err, r
    assert two.ix("run", "top", "--", "cat", "/more", cwd=shop.project).out == "a\nb\n"
    assert manifest_digest(shop.host, shop.repository, tag) == before


# --- names and bases ---

def test_a_name_is_not_moved_to_an_image_that_is_not_its_keys(shop):
    one = shop.machine()
    shop.built(one)
    put_manifest(shop.host, shop.repository, tag_of(shop, one, "top"), manifest(shop.host, shop.repository, tag_of(shop, one, "left")))
    shop.registry.forget(f"{shop.repository}/top", "latest")
    two = shop.machine()
    shop.built(two)
    assert manifest_digest(shop.host, f"{shop.repository}/top", "latest") != manifest_digest(shop.host, shop.repository, tag_of(shop, one, "left"))
    assert two.ix("run", f"{shop.host}/{shop.repository}/top:latest", "--", "cat", "/merged").out == "a\nb\n"


def test_a_base_of_the_same_registry_is_mounted_and_not_uploaded(shop):
    write(shop.project, **{"base.df": f"FROM {shop.host}/library/base:1\nENV a=x\n"})
    base = manifest(shop.host, "library/base", "1")["layers"][0]["digest"]
    for machine in (shop.machine(), shop.machine()):
        if machine.root.name.endswith("3"):
            # The second has the base's layers in its store.
            machine.ix("pull", f"{shop.host}/library/base:1")
            write(shop.project, **{"base.df": f"FROM {shop.host}/library/base:1\nENV a=y\n"})
            shop.registry.config(strict=True)
            shop.registry.forget(shop.repository, base)
        before = len(shop.registry.log())
        shop.built(machine, "base")
        log = shop.registry.log()[before:]
        puts = [e for e in log if e["method"] == "PUT" and e["query"].get("digest") == [base]]
        mounts = [e for e in log if e["query"].get("mount") == [base]]
        assert not puts
        assert not any(e["method"] == "GET" and e["path"].endswith(base) for e in log)
        assert mounts


# --- pulling ---

def created(machine):
    return {i["name"]: (i["created"], i["digest"]) for i in json.loads(machine.ix("images", "--json").out)}


def test_a_pull_asks_and_moves_the_name_only_when_something_changed(shop, tmp_path):
    name = f"{shop.host}/{shop.repository}/x:1"
    one, two = shop.machine(), shop.machine()
    write(tmp_path / "a", Dockerfile="FROM base:1\nLABEL v=1\n")
    one.ix("build", "-q", "-t", name, "--push", tmp_path / "a")
    two.ix("pull", name)
    before = created(two)[name]
    time.sleep(1.1)
    two.ix("pull", name)
    assert created(two)[name] == before
    write(tmp_path / "a", Dockerfile="FROM base:1\nLABEL v=2\n")
    one.ix("build", "-q", "-t", name, "--push", tmp_path / "a")
    two.ix("pull", name)
    after = created(two)[name]
    assert after[0] != before[0] and after[1] == manifest_digest(shop.host, f"{shop.repository}/x", "1")


def test_build_pull_moves_the_local_name(shop, tmp_path):
    name = f"{shop.host}/{shop.repository}/y:1"
    one, two = shop.machine(), shop.machine()
    write(tmp_path / "a", Dockerfile="FROM base:1\nRUN echo 1 > /v\n")
    one.ix("build", "-q", "-t", name, "--push", tmp_path / "a")
    two.ix("pull", name)
    write(tmp_path / "a", Dockerfile="FROM base:1\nRUN echo 2 > /v\n")
    one.ix("build", "-q", "-t", name, "--push", tmp_path / "a")
    write(tmp_path / "b", Dockerfile=f"FROM {name}\nCOPY --from={name} /v /w\n")
    two.ix("build", "-q", "-t", "b", tmp_path / "b")
    assert two.ix("run", "b", "--", "cat", "/w").out == "1\n"
    two.ix("build", "-q", "--pull", "-t", "b", tmp_path / "b")
    assert two.ix("run", "b", "--", "cat", "/w").out == "2\n"
    # And without the registry it is there.
    shop.registry.config(rules=[{"path": ".*", "times": 10000, "status": 500}])
    assert two.ix("run", name, "--", "cat", "/v").out == "2\n"


@pytest.mark.threads
def test_a_failing_stage_ends_what_is_fetched_for_the_others(shop):
    one = shop.machine()
    shop.built(one)
    # right reads the base's layer, which comes slowly; left fails meanwhile.
    write(shop.project, **{"left.df": "ARG BASE_IMAGE\nFROM scratch\nCOPY none /\n",
                           "right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN cat /base > /right2\n"})
    shop.registry.config(slow=0.5)
    start = time.monotonic()
    r = shop.machine().failure("build", "--progress", "plain", "left", "right", cwd=shop.project)
    assert "not found" in r.err and time.monotonic() - start < 10, r


def test_what_a_registry_has_to_say_is_told_once(shop):
    shop.registry.config(warnings=['299 - "this project moves on 1 May"', '299 - "\x1b[31mred"', '110 - "stale"'])
    _, r = shop.built(shop.machine())
    assert r.err.count("this project moves on 1 May") == 1 and f"{shop.host} says: this project" in r.err, r
    assert "\x1b" not in r.err and "stale" not in r.err
