"""Projects: plan, build, the registry as cache, and what makes a stage be built."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

import pytest

from ixlib import IX, Machine, make_base, registry, running, tags, write


@pytest.fixture(scope="module")
def base_tar(tmp_path_factory):
    where = tmp_path_factory.mktemp("base")
    return make_base(Machine(where / "m"), where)


@pytest.fixture
def team(tmp_path, base_tar):
    """A registry with a base image in it, a project, and a way to get empty machines."""
    with registry(tmp_path / "registry") as host:
        first = Machine(tmp_path / "seed")
        first.ix("import", base_tar, "base:1")
        first.ix("push", "base:1", f"{host}/library/base:1")
        team = Team(tmp_path, host)
        yield team


class Team:
    def __init__(self, root, host):
        self.root, self.host, self.count = root, host, 0
        self.project = root / "project"
        write(self.project, **{
            "ix.yaml": f"project: p\nregistry: {host}/p\nstages:\n"
                       "  base: { dockerfile: base.df }\n"
                       "  left: { dockerfile: left.df, args: { BASE_IMAGE: stage:base } }\n"
                       "  right: { dockerfile: right.df, context: right, args: { BASE_IMAGE: stage:base } }\n"
                       "  top: { dockerfile: top.df, args: { LEFT: stage:left, RIGHT: stage:right }, publish: [ 'p/top:latest' ] }\n",
            "base.df": "FROM base:1\nRUN echo base > /base\n",
            "left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN cat /base > /left\n",
            "right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nCOPY src/ /src/\nRUN cat /src/* > /right\n",
            "top.df": "ARG $LEFT\nARG $RIGHT\nFROM $RIGHT AS right\nFROM $LEFT\nCOPY --from=right right /merged\n",
            "right/src/a": "a\n", "right/src/b": "b\n",
        })

    def machine(self, **env):
        self.count += 1
        return Machine(self.root / f"m{self.count}", mirrors=self.host, env=env)

    def plan(self, machine, *words, check=True):
        r = machine.ix("plan", "--json", *words, cwd=self.project, check=False)
        assert r.status in (0, 2), r
        plan = json.loads(r.out)
        return r.status, {s["stage"]: s for s in plan["stages"]}

    def built(self, machine, *words, **options):
        r = machine.ix("build", "--progress", "plain", *words, cwd=self.project, **options)
        return sorted(re.findall(r"^(\S+): built in", r.err, re.M)), r


def to_build(plan):
    return sorted(name for name, s in plan.items() if s["decision"] == "build")


def test_cold_then_an_empty_machine_moves_nothing(team):
    one = team.machine()
    status, plan = team.plan(one)
    assert status == 2 and to_build(plan) == ["base", "left", "right", "top"]
    built, r = team.built(one)
    assert built == ["base", "left", "right", "top"]
    for stage in built:
        assert any(t.startswith(f"{stage}-") for t in tags(team.host, "p"))
    assert "latest" in tags(team.host, "p/top")
    two = team.machine()
    status, plan = team.plan(two)
    assert status == 0 and plan["top"]["decision"] == "found"
    built, r = team.built(two)
    assert built == [] and "0 B down, 0 B up" in r.err
    assert int(re.search(r"(\d+) requests", r.err)[1]) <= 15, \
        "one HEAD for the base image and the name, three for each stage (image, record, channel), and the probe"
    assert not list((two.store / "layers").iterdir())


def test_a_changed_file_builds_its_stage_and_what_stands_on_it(team):
    one = team.machine()
    team.built(one)
    write(team.project, **{"right/src/a": "changed\n"})
    status, plan = team.plan(one)
    assert to_build(plan) == ["right", "top"]
    assert plan["right"]["reason"] == "COPY src/: 1 changed (src/a)"
    assert plan["top"]["reason"] == "parent right changed"
    built, _ = team.built(team.machine())
    assert built == ["right", "top"]
    assert one.ix("run", "top", "--", "cat", "/merged", cwd=team.project).out == "changed\nb\n"


def test_a_changed_base_builds_everything(team):
    one = team.machine()
    team.built(one)
    write(team.project, **{"base.df": "FROM base:1\nRUN echo other > /base\n"})
    status, plan = team.plan(one)
    assert to_build(plan) == ["base", "left", "right", "top"]
    assert "instruction changed: RUN echo other > /base" in plan["base"]["reason"]


def test_comments_blanks_times_and_owners_change_nothing(team):
    one = team.machine()
    team.built(one)
    write(team.project, **{"base.df": "# a comment\nFROM   base:1\n\nRUN echo base > /base\n# end\n", "unrelated": "x"})
    os.utime(team.project / "right/src/a", (1, 1))
    moved = team.project.with_name("elsewhere")
    shutil.copytree(team.project, moved)
    assert team.plan(one)[0] == 0
    r = team.machine(TZ="Asia/Tokyo").ix("plan", cwd=moved, check=False)
    assert r.status == 0, r


@pytest.mark.parametrize("change,expect", [
    ({"right/src/c": "new"}, ["right", "top"]),
    ({"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nUSER app\nRUN cat /base > /tmp/left\n"}, ["left", "top"]),
    ({"top.df": "ARG LEFT\nARG RIGHT\nFROM $RIGHT AS right\nFROM $LEFT\nCOPY --from=right --chmod=600 right /merged\n"}, ["top"]),
])
def test_what_has_to_change_a_key(team, change, expect):
    one = team.machine()
    team.built(one)
    write(team.project, **change)
    assert to_build(team.plan(one)[1]) == expect


def test_permission_bits_and_link_targets_count(team):
    one = team.machine()
    team.built(one)
    (team.project / "right/src/a").chmod(0o755)
    assert to_build(team.plan(one)[1]) == ["right", "top"]
    (team.project / "right/src/a").chmod(0o644)
    assert team.plan(one)[0] == 0
    (team.project / "right/src/l").symlink_to("a")
    assert to_build(team.plan(one)[1]) == ["right", "top"]


def test_same_size_and_time_is_still_another_file(team):
    one = team.machine()
    path = team.project / "right/src/a"
    os.utime(path, (1600000000, 1600000000))
    time.sleep(2.1)
    assert team.built(one)[0]
    assert team.plan(one)[0] == 0, "the second plan uses the stat cache"
    path.write_text("z\n")
    os.utime(path, (1600000000, 1600000000))
    assert to_build(team.plan(one)[1]) == ["right", "top"]


def test_moved_base_tag_is_noticed_and_named(team, base_tar):
    one = team.machine()
    team.built(one)
    write(team.root / "b", Dockerfile="FROM base:1\nRUN echo moved > /moved\n")
    one.ix("build", "-q", "-t", f"{team.host}/library/base:1", "--push", team.root / "b")
    status, plan = team.plan(one)
    assert to_build(plan) == ["base", "left", "right", "top"]
    assert re.match(r"base:1 moved from sha256:\w+… to sha256:\w+…", plan["base"]["reason"]), plan["base"]


def test_a_missing_stage_is_built_with_its_descendants(team):
    one = team.machine()
    team.built(one)
    tag = next(t for t in tags(team.host, "p") if re.fullmatch("right-[0-9a-f]{40}", t))
    head = urllib.request.urlopen(urllib.request.Request(f"http://{team.host}/v2/p/manifests/{tag}", method="HEAD", headers={
        "Accept": "application/vnd.oci.image.manifest.v1+json"}))
    urllib.request.urlopen(urllib.request.Request(f"http://{team.host}/v2/p/manifests/{head.headers['Docker-Content-Digest']}", method="DELETE"))
    write(team.project, **{"top.df": "ARG LEFT\nARG RIGHT\nFROM $RIGHT AS right\nFROM $LEFT\nCOPY --from=right right /other\n"})
    built, _ = team.built(team.machine())
    assert built == ["right", "top"]


def test_force_builds_a_stage_and_its_descendants(team):
    one = team.machine()
    team.built(one)
    assert team.built(one, "--force", "left")[0] == ["left", "top"]
    assert team.built(one, "--force-all")[0] == ["base", "left", "right", "top"]


def test_named_targets_touch_only_what_they_need(team):
    write(team.project, **{"right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN exit 1\n"})
    assert team.built(team.machine(), "left")[0] == ["base", "left"]
    assert "no stage 'lft' in ix.yaml (did you mean left?)" in team.machine().failure("build", "lft", cwd=team.project).err


@pytest.mark.threads
def test_branches_run_at_the_same_time(team):
    write(team.project, **{name: f"ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN sleep 2\nRUN touch /{name[:-3]}\n" for name in ("left.df", "right.df")})
    machine = team.machine()
    team.built(machine, "base")
    r = machine.ix("build", "--progress", "json", "left", "right", cwd=team.project)
    events = [json.loads(line) for line in r.err.splitlines() if line.startswith("{")]
    begin = {e["stage"]: e["ms"] for e in events if e["event"] == "stage_begin"}
    end = {e["stage"]: e["ms"] for e in events if e["event"] == "stage_end"}
    assert begin["right"] < end["left"] and begin["left"] < end["right"]
    assert {e["outcome"] for e in events if e["event"] == "stage_end" and e["stage"] in ("left", "right")} == {"built"}
    assert all(e["platform"].startswith("linux/") for e in events if e["event"] in ("stage_plan", "stage_begin", "stage_end", "step_begin", "step_end"))


@pytest.mark.threads
def test_the_picture_is_drawn_while_stages_run_and_publish(team):
    """Painter, stages and uploads at once; the last picture names all of them."""
    steps = "".join(f"RUN seq {i} {i + 200}\n" for i in range(4))
    write(team.project, **{name: f"ARG BASE_IMAGE\nFROM $BASE_IMAGE\n{steps}" for name in ("left.df", "right.df")})
    r = team.machine().ix("build", "--progress", "tty", "left", "right", cwd=team.project)
    picture = r.err.rsplit("\x1b[", 1)[0]
    assert all(re.search(rf"{stage}.* built", picture) for stage in ("base", "left", "right")), r
    assert team.plan(team.machine(), "left", "right")[0] == 0


@pytest.mark.threads
def test_a_trace_shows_what_ran_beside_what(team, tmp_path):
    write(team.project, **{name: f"ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN sleep 1; : {name}\n" for name in ("left.df", "right.df")})
    team.machine().ix("build", "--trace", tmp_path / "trace.json", "left", "right", cwd=team.project)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    stages = {e["name"]: e for e in events if e["cat"] == "stage"}
    assert set(stages) == {"base", "left", "right"} and all(e["args"]["outcome"] == "built" for e in stages.values())
    left, right = stages["left"], stages["right"]
    assert left["tid"] != right["tid"] and left["ts"] < right["ts"] + right["dur"] and right["ts"] < left["ts"] + left["dur"]
    step = next(e for e in events if e["cat"] == "step" and e["args"]["stage"] == "left")
    assert step["name"] == "RUN sleep 1; : left.df" and step["tid"] == left["tid"] and step["dur"] >= 1000000
    assert any(e["cat"] == "transfer" and e["args"]["bytes"] > 0 for e in events)


def test_the_trace_of_a_failed_build_is_whole(team, tmp_path):
    write(team.project, **{"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN exit 3\n"})
    team.machine().failure("build", "--trace", tmp_path / "trace.json", "left", cwd=team.project)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {e["name"]: e["args"]["outcome"] for e in events if e["cat"] == "stage"}["left"] == "failed"
    assert {e["name"]: e["args"]["outcome"] for e in events if e["cat"] == "step"}["RUN exit 3"] == "failed"


@pytest.mark.threads
def test_two_builders_at_once_agree(team):
    results = []
    threads = [threading.Thread(target=lambda m=team.machine(): results.append(team.built(m)[1].out)) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 2 and results[0] == results[1]
    assert team.plan(team.machine())[0] == 0


def test_two_builders_in_one_store_run_each_step_once(team):
    machine = team.machine()
    write(team.project, **{"base.df": f"FROM base:1\nRUN --mount=type=cache,target=/count echo x >> /count/n; sleep 1; wc -l < /count/n > /base\n"})
    threads = [threading.Thread(target=lambda: team.built(machine, "base")) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert machine.ix("run", "base", "--", "cat", "/base", cwd=team.project).out.strip() == "1"


def test_second_build_starts_at_the_first_changed_step(team):
    machine = team.machine()
    write(team.project, **{"base.df": "FROM base:1\nRUN echo one\nRUN echo two\n"})
    team.built(machine, "base")
    write(team.project, **{"base.df": "FROM base:1\nRUN echo one\nRUN echo three\n"})
    _, r = team.built(machine, "base")
    assert "base 1/2 CACHED RUN echo one" in r.err and "base 2/2 RUN echo three" in r.err


def test_plan_env_prints_what_docker_build_needs(team):
    out = team.machine().ix("plan", "--env", cwd=team.project, check=False).lines()
    assert any(re.fullmatch(rf"left\.BASE_IMAGE={team.host}/p:base-[0-9a-f]{{40}}", line) for line in out)


def test_project_names_do_not_change_keys(team):
    one = team.machine()
    team.built(one)
    text = (team.project / "ix.yaml").read_text()
    write(team.project, **{"ix.yaml": text.replace("project: p", "project: q").replace("publish: [ 'p/top:latest' ]", "publish: [ 'p/other:1' ]")})
    assert team.plan(team.machine())[0] == 0
    team.built(team.machine())
    assert tags(team.host, "p/other") == ["1"]


def test_registry_none_keeps_everything_local(team):
    write(team.project, **{"ix.yaml": "project: l\nregistry: none\nstages:\n  a: { dockerfile: base.df }\n  b: { dockerfile: b.df }\n",
                           "b.df": "FROM a\nRUN cat /base\n"})
    machine = team.machine()
    assert team.built(machine)[0] == ["a", "b"]
    assert team.plan(machine)[0] == 0


def test_links_by_name_context_and_mount(team):
    write(team.project, **{
        "ix.yaml": f"project: l\nregistry: {team.host}/l\nstages:\n  a: {{ dockerfile: base.df }}\n"
                   "  b: { dockerfile: b.df, args: { WHICH: a }, contexts: { ctx: stage:a, dir: right } }\n",
        "b.df": "ARG WHICH\nFROM a\nARG WHICH\nCOPY --from=$WHICH /base /one\nCOPY --from=ctx /base /two\nCOPY --from=dir src/a /three\n"
                "RUN --mount=from=$WHICH,source=/base,target=/m cat /m > /four\n"})
    machine = team.machine()
    assert team.built(machine)[0] == ["a", "b"]
    assert machine.ix("run", "b", "--", "cat", "/one", "/two", "/three", "/four", cwd=team.project).out == "base\nbase\na\nbase\n"


def test_inline_dockerfile_labels_and_variables(team):
    write(team.project, **{"ix.yaml": "project: l\nregistry: none\nvars: { GREETING: hello }\nstages:\n  a:\n    labels: { g: '${GREETING}' }\n"
                                      "    args: { G: '${GREETING:-x}' }\n    dockerfile:\n      inline: |\n        FROM base:1\n        ARG G\n        RUN echo $G > /g\n"})
    machine = team.machine()
    team.built(machine)
    assert machine.ix("run", "a", "--", "cat", "/g", cwd=team.project).out == "hello\n"
    name = next(line.split()[-1] for line in machine.ix("images").lines() if " a:" in line)
    assert machine.image_config(name)["config"]["Labels"] == {"g": "hello"}


@pytest.mark.parametrize("text,message", [
    ("stages:\n  a: { dockerfil: x }\n", "ix.yaml:2:8: unknown key 'dockerfil' in stage 'a' (did you mean dockerfile?)"),
    ("stages:\n  a: { args: { B: stage:bsae } }\n  base: {}\n", "ix.yaml:2:16: no stage 'bsae' (did you mean base?)"),
    ("stages:\n  a: { args: { B: stage:b } }\n  b: { args: { B: stage:a } }\n", "stages need each other: a → b → a"),
    ("stages:\n  a: [ 1 ]\n", "ix.yaml:2:3: 'a' has to be a mapping"),
    ("stages:\n  a: {}\n  a: {}\n", "ix.yaml:3:3: duplicate key"),
    ("stages:\n  a: { context: '${NOT_SET_ANYWHERE}' }\n", "ix.yaml:2:18: variable NOT_SET_ANYWHERE is not set"),
    ("registries:\n  r.example: { password: hunter2 }\nstages: { a: {} }\n", "ix.yaml:2:16: 'password' must not stand in the file itself"),
    ("stages:\n  a: {\n", "ix.yaml:"),
    ("project: x\n", "ix.yaml:1:1: no stages"),
])
def test_mistakes_in_the_project_file_have_a_place(team, text, message):
    write(team.project, **{"ix.yaml": text})
    r = team.machine().failure("plan", cwd=team.project)
    assert message in r.err, r
    assert r.status == 1


def test_an_inner_stage_may_have_the_name_of_another_stage(team):
    """'app' has an inner stage 'base': its name in the graph is 'app.base', which is a stage of the project, too."""
    write(team.project, **{
        "ix.yaml": "registry: none\nstages:\n"
                   "  app: { dockerfile: app.df }\n"
                   "  app.base: { dockerfile: base.df }\n"
                   "  one: { dockerfile: top.df, args: { BASE_IMAGE: stage:app.base } }\n"
                   "  two: { dockerfile: top.df, args: { BASE_IMAGE: stage:app.base } }\n",
        "app.df": "FROM scratch AS base\nCOPY app.df /inner\nFROM base\nCOPY app.df /app\n",
        "base.df": "FROM scratch\nCOPY base.df /base\n",
        "top.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nCOPY top.df /top\n",
    })
    status, stages = team.plan(team.machine())
    assert status == 2 and sorted(s for s in stages if "." in s or s in ("one", "two")) == ["app.base", "one", "two"], stages
    r = team.machine().ix("build", cwd=team.project)
    assert "4 built" in r.err, r


def test_stages_that_stand_on_each_other_too_deeply_are_an_error(team):
    """Each of them is lowered while the one above it is: a file of a megabyte must not use up the stack."""
    stages = "".join(f"  a{i}: {{ dockerfile: D, args: {{ B: 'stage:a{i - 1}' }} }}\n" for i in range(1, 6000))
    write(team.project, D="ARG B=scratch\nFROM $B\nENV A=1\n", **{"ix.yaml": f"registry: none\nstages:\n  a0: {{ dockerfile: D }}\n{stages}"})
    machine = team.machine()
    assert "151 to build" in machine.ix("plan", "a150", cwd=team.project, check=False).out
    r = machine.failure("plan", "a5999", cwd=team.project)
    assert r.status == 1 and "stages stand on each other deeper than 200" in r.err and len(r.err) < 100000, r


@pytest.mark.threads
def test_interrupt_stops_at_once_and_leaves_nothing(team):
    write(team.project, **{"base.df": "FROM base:1\nRUN sleep 300.25\n"})
    machine = team.machine()
    p = subprocess.Popen([IX, "build", "--store", machine.store, "--config", machine.config, "--progress", "plain", "base"], cwd=team.project,
                         stderr=subprocess.PIPE, text=True, env=machine.env)
    while "RUN sleep" not in p.stderr.readline():
        pass
    time.sleep(0.3)
    start = time.monotonic()
    p.send_signal(signal.SIGINT)
    assert p.wait(timeout=20) == 130
    assert time.monotonic() - start < 5
    assert not running("sleep", "300.25")
    assert str(machine.store) not in open("/proc/self/mounts").read()
    assert not list((machine.store / "tmp").iterdir())


def test_killed_build_leaves_no_process_and_goes_on_next_time(team):
    write(team.project, **{"base.df": "FROM base:1\nRUN echo kept > /kept\nRUN test -e /go || sleep 301.25\n"})
    machine = team.machine()
    p = subprocess.Popen([IX, "build", "--store", machine.store, "--config", machine.config, "--progress", "plain", "base"], cwd=team.project,
                         stderr=subprocess.PIPE, text=True, env=machine.env)
    while "RUN test" not in p.stderr.readline():
        pass
    time.sleep(0.3)
    p.kill()
    p.wait()
    time.sleep(0.5)
    assert not running("sleep", "301.25")
    assert list((machine.store / "tmp").iterdir())
    write(team.project, **{"base.df": "FROM base:1\nRUN echo kept > /kept\nRUN true\n"})
    _, r = team.built(machine, "base")
    assert "CACHED RUN echo kept" in r.err
    assert not list((machine.store / "tmp").iterdir()), "what the killed build left is cleared away"


@pytest.mark.parametrize("point", ["blob.fsync", "blob.rename", "blob.dirsync", "layer.rename", "db.step", "file.fsync", "file.rename"])
@pytest.mark.parametrize("how", ["", ":kill"])
def test_a_failure_at_any_publish_step_loses_nothing(team, point, how):
    machine = team.machine()
    spoiled = 0
    for n in range(1, 30, 3):
        r = machine.ix("build", "-q", "base", cwd=team.project, env={"IX_FAULT": f"{point}:{n}{how}"}, check=False)
        spoiled += r.status != 0
        if r.status == 0:
            break
        assert r.status in (1, -9), r
    assert spoiled > 0, f"{point} was never passed"
    team.built(machine, "base")
    assert machine.ix("run", "base", "--", "cat", "/base", cwd=team.project).out == "base\n"
    for blob in (machine.store / "oci/blobs/sha256").iterdir():
        assert subprocess.run(["sha256sum", blob], stdout=subprocess.PIPE, text=True).stdout.startswith(blob.name)


def test_a_tampered_blob_in_the_registry_is_refused(team):
    team.built(team.machine())
    data = team.root / "registry/data/docker/registry/v2/blobs/sha256"
    for path in data.glob("*/*/data"):
        if path.stat().st_size > 500 and path.read_bytes()[:2] == b"\x1f\x8b":
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    write(team.project, **{"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN echo again\n"})
    r = team.machine().failure("build", "-q", "left", cwd=team.project)
    assert "the blob's bytes are sha256:" in r.err, r


def test_tls_with_a_private_authority_and_a_password(team, tmp_path):
    for name in ("openssl", "htpasswd"):
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
    run = lambda *words: subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "req.pem", "-subj", "/CN=127.0.0.1")
    (tmp_path / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    run("openssl", "x509", "-req", "-in", "req.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "cert.pem", "-days", "2", "-extfile", "ext")
    (tmp_path / "users").write_bytes(run("htpasswd", "-Bbn", "me", "secret").stdout)
    with registry(tmp_path / "secure", auth=tmp_path / "users", tls=(tmp_path / "cert.pem", tmp_path / "key.pem")) as host:
        text = (team.project / "ix.yaml").read_text().replace(f"registry: {team.host}/p", f"registry: {host}/p\nregistries:\n  {host}:\n"
               f"    ca: {tmp_path}/ca.pem\n    username: {{ env: WHO }}\n    password: {{ command: 'printf %s \"$WORD\"' }}")
        write(team.project, **{"ix.yaml": text})
        assert team.built(team.machine(WHO="me", WORD="secret"))[0] == ["base", "left", "right", "top"]
        assert team.plan(team.machine(WHO="me", WORD="secret"))[0] == 0
        r = team.machine(WHO="me", WORD="wrong").failure("plan", cwd=team.project)
        assert "401" in r.err and "wrong" not in r.err and host in r.err
        config = team.machine()
        (config.root / ".docker").mkdir()
        (config.root / ".docker/config.json").write_text(json.dumps({"auths": {host: {"auth": __import__("base64").b64encode(b"me:secret").decode()}}}))
        write(team.project, **{"ix.yaml": re.sub(r"    (username|password):.*\n", "", text)})
        assert team.plan(config)[0] == 0


def test_unreachable_registry_is_an_error_that_names_the_url(team):
    text = (team.project / "ix.yaml").read_text().replace(f"{team.host}/p", "127.0.0.1:1/p")
    write(team.project, **{"ix.yaml": text})
    r = team.machine().failure("plan", cwd=team.project, timeout=120)
    assert "127.0.0.1:1" in r.err


@pytest.mark.threads
def test_stages_that_wait_run_at_once(team):
    """Each waits for all others: that ends only when none of them has to wait for a processor."""
    names = [f"w{i}" for i in range(8)]
    yaml = "project: p\nregistry: none\nstages:\n" + "".join(f"  {n}: {{ dockerfile: w.df, args: {{ N: {n} }} }}\n" for n in names)
    write(team.project, **{"ix.yaml": yaml, "w.df": "FROM base:1\nARG N\nRUN --mount=type=cache,id=together,target=/t touch /t/$N; "
                                                    "for i in $(seq 200); do [ $(ls /t | wc -l) = 8 ] && exit 0; sleep 0.1; done; exit 1\n"})
    built, _ = team.built(team.machine())
    assert built == names
