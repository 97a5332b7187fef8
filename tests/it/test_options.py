"""Each option of build, plan, push, pull and export does something in a project, for a lone Dockerfile and for an image that is found, or is refused."""

import json

import pytest

from ixlib import manifest, write
from test_project import base_tar, team  # noqa: F401: fixtures

GZIP, ZSTD = "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd"


def layers(machine, name):
    image = json.loads(machine.ix("inspect", name).out)["manifest"]
    return [layer["mediaType"] for layer in image["layers"]], image.get("annotations", {})


@pytest.fixture
def lone(team, tmp_path):  # noqa: F811
    machine = team.machine()
    machine.ix("pull", f"{team.host}/library/base:1")
    write(tmp_path / "c", Dockerfile=f"FROM {team.host}/library/base:1\nRUN echo 1 > /v\n")
    return machine, tmp_path / "c"


def test_compression_and_annotations_hold_for_an_image_that_is_found(lone):
    machine, context = lone
    machine.ix("build", "-q", "-t", "a", context)
    for n in range(2):
        machine.ix("build", "-q", "-t", "b", "--compression", "zstd", "--annotation", "x.y=z", context)
        kinds, annotations = layers(machine, "b")
        assert kinds == [GZIP, ZSTD] and annotations["x.y"] == "z"
    assert layers(machine, "a")[0] == [GZIP, GZIP]
    machine.ix("build", "-q", "-t", "c", "--compression", "uncompressed", context)
    assert layers(machine, "c")[0][1].endswith(".tar")
    # What is printed without a name is what has been asked for, too.
    plain = machine.ix("build", "-q", context).out
    assert machine.ix("build", "-q", "--annotation", "x.y=z", context).out != plain
    assert machine.ix("build", "-q", "--compression", "zstd", context).out != plain


def test_in_a_project_they_hold_for_what_goes_out(team, tmp_path):  # noqa: F811
    one = team.machine()
    team.built(one)
    two = team.machine()
    for _ in range(2):
        two.ix("build", "-q", "--compression", "zstd", "--annotation", "x.y=z", "-t", "out", "left", cwd=team.project)
        kinds, annotations = layers(two, "out")
        assert kinds == [GZIP, ZSTD, ZSTD] and annotations["x.y"] == "z"
    r = two.failure("build", "--annotation", "x.y=z", "left", cwd=team.project)
    assert "--annotation is for an image that goes out by --tag or --output" in r.err


def test_push_in_a_project_pushes_the_tags(team):  # noqa: F811
    one = team.machine()
    one.ix("build", "-q", "--push", "-t", f"{team.host}/other/name:1", "left", cwd=team.project)
    assert manifest(team.host, "other/name", "1")["layers"]


@pytest.mark.parametrize("words,expect", [
    (["--compression-level", "12"], "0 to 9 for gzip"),
    (["--compression", "uncompressed", "--compression-level", "1"], "none for uncompressed"),
    (["--compression", "zstd", "--compression-level", "23"], "0 to 22 for zstd"),
    (["-o", "type=oci,dest=/dev/null,compression=gzip,compression-level=12"], "0 to 9 for gzip"),
    (["-o", "type=oci,dest=/dev/null,compression-level=2"], "compression-level goes with compression"),
    (["--push", "--no-push"], "contradict"),
    (["--push", "--offline"], "contradict"),
    (["--channel", "x"], "go with a project"),
    (["--require-cache"], "go with a project"),
    (["--force", "x"], "go with a project"),
    (["--annotation", "index:a=b"], "without an index"),
])
def test_a_lone_build_refuses_what_it_cannot_do(lone, words, expect):
    machine, context = lone
    r = machine.failure("build", *words, context)
    assert expect in r.err


@pytest.mark.parametrize("words,expect", [
    (["build", "-f", "x"], "go with a PATH"),
    (["build", "--target", "x"], "go with a PATH"),
    (["build", "--force", "lfet"], "did you mean left"),
    (["build", "-t", "x", "left", "right"], "name one stage"),
    (["plan", "--json", "--env"], "one of --json and --env"),
    (["plan", "--force", "lfet"], "did you mean left"),
    (["export", "--type", "local", "base:1"], "--output DIRECTORY"),
    (["export", "--type", "zip", "-o", "x", "base:1"], "oci, docker, tar or local"),
])
def test_a_project_refuses_what_it_cannot_do(team, words, expect):  # noqa: F811
    r = team.machine().failure(*words, cwd=team.project)
    assert expect in r.err, r
