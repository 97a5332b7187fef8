"""
A registry that misbehaves in the middle: the requests of a cold, a warm and a changed build are recorded; then, for each of them, there is a build in
which that request fails, and goes on failing. The build ends right, or says what it could not do; the next good build of an empty machine makes everything
whole again. All of them with IX_FULL=1, some without.
"""

import collections
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import Registry
from ixlib import Machine, make_base, write

FAULTS = {
    "403": {"status": 403},
    "404": {"status": 404},
    "500": {"status": 500},
    "reset": {"drop": True},
    "bytes": {"corrupt": True},
}
STAGES = ("a", "b", "c")


class World:
    """One registry; each case has a repository, a project that publishes there, and machines of its own."""

    def __init__(self, root):
        self.root, self.registry, self.count, self.good = root, Registry(), 0, {}
        self.registry.config(strict=True)
        seed = Machine(root / "seed")
        seed.ix("import", make_base(seed, root / "base"), "base:1")
        seed.ix("push", "base:1", f"{self.registry.host}/library/base:1")

    def project(self, repository, changed):
        host = self.registry.host
        return write(self.root / f"{repository}-{changed}", **{
            "ix.yaml": f"project: p\nregistry: {host}/{repository}\nreproducible: true\nstages:\n"
                       "  a: { dockerfile: a.df }\n"
                       "  b: { dockerfile: b.df, context: b, args: { A: stage:a } }\n"
                       f"  c: {{ dockerfile: c.df, args: {{ A: stage:a, B: stage:b }}, publish: [ '{host}/{repository}/c:latest' ] }}\n",
            "a.df": "FROM base:1\nRUN echo a > /a\n",
            "b.df": "ARG A\nFROM $A\nCOPY f /f\n",
            "c.df": "ARG A\nARG B\nFROM $A AS a\nFROM $B\nCOPY --from=a a /from-a\nRUN cat /a /f /from-a > /all\n",
            "b/f": "changed\n" if changed else "f\n",
        })

    def machine(self, name):
        return Machine(self.root / name, mirrors=self.registry.host, env={"IX_RETRY_SECONDS": "1"})

    def build(self, machine, project, name):
        iid = machine.root / f"{name}.iid"
        r = machine.ix("build", "--progress", "plain", "--iidfile", iid, "c", cwd=project, check=False, timeout=120)
        return r, iid.read_text() if iid.exists() else None

    def get(self, path, what):
        try:
            with urllib.request.urlopen(f"http://{self.registry.host}/v2/{path}") as reply:
                return reply.read()
        except OSError as error:
            raise AssertionError(f"{path}: {error}\n{what}") from error

    def is_whole(self, repository, what):
        tags = json.loads(self.get(f"{repository}/tags/list", what))["tags"]
        latest = self.get(f"{repository}/c/manifests/latest", what)
        for stage in STAGES:
            channel, record = self.get(f"{repository}/manifests/{stage}.main", what), self.get(f"{repository}/manifests/{stage}.main.ix", what)
            key = json.loads(record)["annotations"]["dev.ix.key"][:40]
            assert self.get(f"{repository}/manifests/{stage}-{key}", what) == channel, what
            assert self.get(f"{repository}/manifests/{stage}-{key}.ix", what) == record, what
            assert stage == "a" or any(tag.startswith(f"{stage}-o") for tag in tags), what
            for manifest in (channel, record):
                for part in [json.loads(manifest)["config"]] + json.loads(manifest)["layers"]:
                    data = self.get(f"{repository}/blobs/{part['digest']}", what)
                    assert "sha256:" + hashlib.sha256(data).hexdigest() == part["digest"], what
        assert channel == latest, what


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("faults"))
    yield world
    world.registry.stop()


def pattern(path, repository):
    """A request's path in any case's repository; where uploads go is another place each time."""
    path = re.sub(r"(/blobs/uploads/)[0-9a-f]+", r"\1UPLOAD", path).replace(f"/{repository}/", "/REPOSITORY/")
    return re.escape(path).replace("UPLOAD", "[0-9a-f]+")


def record(world, scenario):
    """The requests of a good build, each with how many of its like come before it, and what comes out."""
    repository, start = f"rec-{scenario}", len(world.registry.log())
    if scenario != "cold":
        world.registry.copy("rec-cold", repository)
        start = len(world.registry.log())
    r, image = world.build(world.machine(f"m-{repository}"), world.project(repository, scenario == "changed"), "good")
    log = world.registry.log()[start:]
    assert r.status == 0, r
    world.is_whole(repository, r)
    seen, requests = collections.Counter(), []
    for entry in log:
        like = (entry["method"], pattern(entry["path"], repository))
        if entry["path"] != "/v2/":
            requests.append((*like, seen[like]))
        seen[like] += 1
    return requests, image


def one_case(world, number, scenario, request, fault, good):
    method, path, skip = request
    repository = f"x{number}"
    what = f"{scenario}: {fault} for {method} {path} number {skip + 1}"
    if scenario != "cold":
        world.registry.copy("rec-cold", repository)
    machine, next_machine = world.machine(f"{repository}-m"), world.machine(f"{repository}-n")
    project = world.project(repository, scenario == "changed")
    shared = "library" in path
    rule = dict(FAULTS[fault], method=method, path=path.replace("REPOSITORY", repository), skip=skip, times=100000)
    if shared:
        # The base image is everybody's: this machine sees it through a mirror of its own.
        world.registry.copy("library", f"{repository}-mirror/library")
        (machine.root / "config.yaml").write_text(f"mirrors: {{ docker.io: ['{world.registry.host}/{repository}-mirror'] }}\n")
        rule["path"] = rule["path"].replace("library", f"{repository}\\-mirror/library")
    world.registry.rule(**rule)
    r, image = world.build(machine, project, "bad")
    if r.status == 0:
        assert image == good, f"{what}: another image\n{r}"
    else:
        assert r.status == 1 and re.search(r"^ix: ", r.err, re.M), f"{what}\n{r}"
        assert "internal error" not in r.err and ("/v2/" in r.err or "not published" in r.err), f"{what}: it does not say what\n{r}"
        # What could be built was.
        assert shared or image == good, f"{what}: not built\n{r}"
    world.registry.call("POST", "/_heal", json.dumps({"repository": repository}))
    again, image = world.build(next_machine, project, "heal")
    assert again.status == 0 and image == good, f"{what}: the next build\n{r}\n{again}"
    world.is_whole(repository, f"{what}\n{r}\n{again}")
    for one in (machine, next_machine):
        shutil.rmtree(one.root, ignore_errors=True)


def applies(request, fault):
    return fault != "bytes" or (request[0] == "GET" and ("/blobs/" in request[1] or "/manifests/" in request[1]))


@pytest.mark.parametrize("scenario", ["cold", "warm", "changed"])
def test_each_request_may_fail(world, scenario):
    if not world.good:
        world.good["cold"] = record(world, "cold")
    if scenario not in world.good:
        world.good[scenario] = record(world, scenario)
    requests, good = world.good[scenario]
    cases = [(request, fault) for request in requests for fault in FAULTS if applies(request, fault)]
    if not os.environ.get("IX_FULL"):
        cases = cases[sum(map(ord, scenario)) % 11::11]
    failures = []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = []
        for request, fault in cases:
            world.count += 1
            jobs.append(pool.submit(one_case, world, world.count, scenario, request, fault, good))
        for job in concurrent.futures.as_completed(jobs):
            try:
                job.result()
            except (AssertionError, subprocess.TimeoutExpired) as error:
                failures.append(str(error))
    assert not failures, f"{len(failures)} of {len(cases)} cases:\n\n" + "\n\n".join(failures[:10])
