"""How many requests a registry gets: a number that must not go up unnoticed."""

import collections
import re
import time

import pytest

from ixlib import Machine, write
from test_project import base_tar  # noqa: F401: a fixture


def kind(entry, repository):
    path = entry["path"].replace(f"/v2/{repository}/", "")
    path = re.sub(r"[0-9a-f]{40}", "KEY", re.sub(r"sha256:[0-9a-f]{64}", "DIGEST", path))
    path = re.sub(r"manifests/s\d+", "manifests/s", re.sub(r"uploads/.*", "uploads", path))
    return f"{entry['method']} {path}" + ("?mount" if "mount" in entry["query"] else "")


def asked(registry, repository):
    return collections.Counter(kind(entry, repository) for entry in registry.log())


@pytest.fixture
def builder(tmp_path, base_tar, registry):  # noqa: F811
    first = Machine(tmp_path / "first")
    first.ix("import", base_tar, "base:1")
    first.ix("push", "base:1", f"{registry.host}/library/base:1")
    return Machine(tmp_path / "machine")


def project(directory, host, stages):
    repository = f"q{time.monotonic_ns()}"
    lines = [f"project: q\nregistry: {host}/{repository}\nstages:"]
    directory.mkdir()
    for i in range(stages):
        parent = "stage:s%d" % ((i - 1) // 4) if i else f"{host}/library/base:1"
        write(directory, **{f"s{i}.df": f"ARG BASE\nFROM $BASE\nRUN echo {i} > /made{i}\n"})
        lines.append(f"  s{i}: {{ dockerfile: s{i}.df, args: {{ BASE: '{parent}' }} }}")
    write(directory, **{"ix.yaml": "\n".join(lines) + "\n"})
    return repository


def build(machine, directory):
    """What the summary says of requests."""
    result = machine.ix("build", "--progress", "plain", "--channel", "main", cwd=directory)
    return int(re.search(r"; (\d+) requests,", result.err)[1])


# Fourteen for each stage more. Of n stages, each with a layer, on one base that is in another repository of the registry.
def cold(n):
    return {
        "HEAD /v2/library/base/manifests/1": 1, "GET /v2/library/base/manifests/DIGEST": 1,
        "GET /v2/library/base/blobs/DIGEST": 2,  # config and layer
        "HEAD blobs/DIGEST": 1, "POST blobs/uploads?mount": 1,  # the base's layer
        "POST blobs/uploads": 3 * n + 1, "PUT blobs/uploads": 3 * n + 1,  # layer, config, account; what records have for a config
        "HEAD manifests/s-KEY": n, "HEAD manifests/s.main.ix": n, "HEAD manifests/s-oKEY": n - 1,
        "PUT manifests/s-KEY": n, "PUT manifests/s-oKEY": n - 1, "PUT manifests/s-KEY.ix": n,
        "PUT manifests/s.main": n, "PUT manifests/s.main.ix": n,
    }


def warm(n):
    return {"HEAD /v2/library/base/manifests/1": 1, "HEAD manifests/s-KEY": n, "HEAD manifests/s.main.ix": n, "HEAD manifests/s-KEY.ix": n}


def is_within(log, limits, late):
    """late: stages that took so long that it was looked again whether another builder was faster."""
    for name, count in log.items():
        assert count <= limits.get(name, 0) + (late if name == "HEAD manifests/s-KEY" else 0), (name, log)


@pytest.mark.parametrize("stages", [1, 12])
def test_no_request_too_many(builder, registry, tmp_path, stages):
    repository = project(tmp_path / "p", registry.host, stages)
    registry.reset()
    start = time.monotonic()
    said = build(builder, tmp_path / "p")
    log = asked(registry, repository)
    is_within(log, cold(stages), late=stages if time.monotonic() - start > 5 else 0)
    assert said == sum(log.values()), "the summary counts what the server does"
    for machine in (builder, Machine(tmp_path / "other")):
        registry.reset()
        assert build(machine, tmp_path / "p") == 3 * stages + 1
        is_within(asked(registry, repository), warm(stages), late=0)


def test_a_changed_stage_asks_for_itself_alone(builder, registry, tmp_path):
    repository = project(tmp_path / "p", registry.host, 3)
    build(builder, tmp_path / "p")
    write(tmp_path / "p", **{"s2.df": "ARG BASE\nFROM $BASE\nRUN echo changed > /made2\n"})
    registry.reset()
    start = time.monotonic()
    build(builder, tmp_path / "p")
    more = {name: cold(2).get(name, 0) - cold(1).get(name, 0) for name in cold(2)}
    more.update({"HEAD /v2/library/base/manifests/1": 1, "HEAD manifests/s-KEY": 3, "HEAD manifests/s.main.ix": 3, "HEAD manifests/s-KEY.ix": 2})
    more["HEAD blobs/DIGEST"] = 2  # the parent's layers, which an earlier process sent
    more["POST blobs/uploads"] = more["PUT blobs/uploads"] = 4
    is_within(asked(registry, repository), more, late=1 if time.monotonic() - start > 5 else 0)


LEAST = {"digest_header": False, "mount": False, "ignore_range": True, "upload_status": False, "strict": True, "location": "relative"}


@pytest.mark.parametrize("how", [{"digest_header": False}, {"mount": False}, {"immutable": True}, {"warnings": ['299 - "be kind"']}, LEAST],
                         ids=["no digests", "no mounts", "immutable", "warnings", "all at once"])
def test_a_registry_that_does_the_least_is_enough(builder, registry, tmp_path, how):
    registry.config(**how)
    project(tmp_path / "p", registry.host, 2)
    build(builder, tmp_path / "p")
    other = Machine(tmp_path / "other")
    assert other.ix("plan", cwd=tmp_path / "p", check=False).status == 0
    assert other.ix("run", "s1", "--", "cat", "/made0", "/made1", cwd=tmp_path / "p").out == "0\n1\n"
    write(tmp_path / "p", **{"s1.df": "ARG BASE\nFROM $BASE\nRUN cat /made0 > /copied\n"})
    assert "1 built, 1 found" in other.ix("build", "--progress", "plain", cwd=tmp_path / "p").err
