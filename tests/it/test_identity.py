"""Identity: what stops a rebuild, what explains one, and what nothing may change."""

import json
import re
import subprocess

import pytest

from ixlib import OCI_MANIFEST, manifest, manifest_digest, put_manifest, tags, write
from test_project import base_tar, team, to_build  # noqa: F401: fixtures


def ended(r, how):
    """Stages that ended so: built, same, found, done."""
    return sorted(re.findall(rf"^(\S+): {how} in", r.err, re.M))


def digest_of(team, machine, stage):
    plan = json.loads(machine.ix("plan", "--json", cwd=team.project, check=False).out)
    return next(s["reference"] for s in plan["stages"] if s["stage"] == stage)


# --- the second identity ---

def test_a_parent_that_comes_out_the_same_stops_the_cascade(team):
    team.built(team.machine())
    # Another command, the same files; an empty machine knows only what the registry says.
    write(team.project, **{"base.df": "FROM base:1\nRUN echo  base > /base\n"})
    two = team.machine()
    built, r = team.built(two)
    assert built == ["base"], r
    assert ended(r, "same") == ["left", "right", "top"], r
    # All of them have their new keys' tags now, so the next machine finds everything.
    three = team.machine()
    status, plan = team.plan(three)
    assert status == 0 and to_build(plan) == []
    built, r = team.built(three)
    assert built == [] and "0 B down" in r.err


def test_the_same_files_by_copy_from_stop_the_cascade(team):
    team.built(team.machine())
    # right is run on an empty machine and gives another image, but what top takes from it is the same.
    write(team.project, **{"right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nCOPY src/ /src/\nRUN cat /src/* > /right; echo more > /more\n"})
    built, r = team.built(team.machine())
    assert built == ["right"], r
    assert ended(r, "same") == ["top"], r
    write(team.project, **{"right/src/a": "other\n"})
    built, r = team.built(team.machine())
    assert built == ["right", "top"], r


def test_cutoff_false_builds_all_descendants(team):
    yaml = (team.project / "ix.yaml").read_text()
    write(team.project, **{"ix.yaml": yaml + "cutoff: false\n"})
    team.built(team.machine())
    write(team.project, **{"base.df": "FROM base:1\nRUN echo  base > /base\n"})
    built, r = team.built(team.machine())
    assert built == ["base", "left", "right", "top"], r


def test_without_a_registry_the_store_stops_the_cascade(team):
    yaml = (team.project / "ix.yaml").read_text()
    write(team.project, **{"ix.yaml": re.sub(r", publish: .*?\]", "", re.sub("registry: .*", "registry: none", yaml))})
    one = team.machine()
    team.built(one)
    write(team.project, **{"base.df": "FROM base:1\nRUN echo  base > /base\n"})
    built, r = team.built(one)
    assert built == ["base"] and "top" in ended(r, "same"), r


def test_a_forced_stage_is_built_with_its_descendants_all_the_same(team):
    one = team.machine()
    team.built(one)
    built, _ = team.built(one, "--force", "left")
    assert built == ["left", "top"]


def test_what_inner_stages_made_is_not_made_again(team):
    write(team.project, **{"top.df": "ARG $LEFT\nARG $RIGHT\nFROM $RIGHT AS work\nRUN date > /when; echo x > /made\n"
                                     "FROM $LEFT\nCOPY --from=work /made /made\n"})
    one = team.machine()
    team.built(one)
    write(team.project, **{"base.df": "FROM base:1\nRUN echo  base > /base\n"})
    built, r = team.built(one)
    assert built == ["base"], r
    # The inner stage is not run for an owner that is not.
    assert "date" not in r.err, r


def test_an_inner_stage_that_comes_out_the_same_costs_no_step_behind_it(team):
    where = write(team.root / "lone", Dockerfile="FROM base:1 AS work\nRUN echo x > /made\nFROM base:1\nCOPY --from=work /made /made\nRUN cat /made > /seen\n")
    one = team.machine()
    one.build(where)
    write(where, Dockerfile="FROM base:1 AS work\nRUN echo y > /other; echo x > /made\nFROM base:1\nCOPY --from=work /made /made\nRUN cat /made > /seen\n")
    r = one.build(where)
    assert "echo y" in r.err and not re.search(r"^.*RUN cat /made.*done", r.err, re.M), r


# --- explaining ---

def explain(team, machine, stage, *words):
    return machine.ix("explain", stage, *words, cwd=team.project).lines()


def test_explain_names_files_arguments_instructions_and_parents_first_cause_first(team):
    one = team.machine()
    write(team.project, **{"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nARG VERSION=1.2\nRUN echo $VERSION > /left\n"})
    team.built(one)
    assert explain(team, one, "top") == ["top: nothing changed since the last build here"]
    write(team.project, **{"right/src/a": "other\n", "right/src/c": "new\n"})
    (team.project / "right/src/b").unlink()
    assert explain(team, one, "top") == [
        "right: COPY src/: 1 changed (src/a), 1 added (src/c), 1 removed (src/b)",
        "top: parent right changed"]
    write(team.project, **{"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nARG VERSION=1.3\nRUN echo $VERSION > /left\n"})
    lines = explain(team, one, "left")
    assert lines == ["left: ARG VERSION 1.2 → 1.3"], lines
    yaml = (team.project / "ix.yaml").read_text().replace("args: { BASE_IMAGE: stage:base } }", "args: { BASE_IMAGE: stage:base, VERSION: '1.4' } }", 1)
    write(team.project, **{"left.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nARG VERSION=1.2\nRUN echo $VERSION > /left\n", "ix.yaml": yaml})
    assert explain(team, one, "left") == ["left: ARG VERSION 1.2 → 1.4"]
    # The plan says the same words.
    _, plan = team.plan(one)
    assert plan["left"]["reason"] == "ARG VERSION 1.2 → 1.4"
    answer = json.loads("\n".join(explain(team, one, "top", "--json")))
    assert answer["changed"] and answer["against"] == "the last build here"
    assert {"stage": "left", "text": "ARG VERSION 1.2 → 1.4"} in answer["causes"]
    assert answer["causes"][-1]["stage"] == "top"


def test_another_machine_explains_a_build_it_never_saw(team):
    one = team.machine()
    team.built(one, "--channel", "main")
    old = digest_of(team, one, "right")
    write(team.project, **{"right/src/a": "other\n"})
    cause = "right: COPY src/: 1 changed (src/a)"
    assert explain(team, team.machine(), "right", "--against", "main") == [cause]
    assert explain(team, team.machine(), "right", "--against", old.split("right-")[1]) == [cause]
    assert explain(team, team.machine(), "right", "--against", old) == [cause]
    # Without being told: the branch has no image, the default branch's channel does.
    two = team.machine(GITHUB_HEAD_REF="feature/x")
    assert explain(team, two, "right") == [cause]
    _, plan = team.plan(two)
    assert plan["right"]["reason"] == "COPY src/: 1 changed (src/a)"
    # Both stages at once, parents first.
    assert explain(team, team.machine(), "top", "--against", "main") == [cause, "top: parent right changed"]
    r = team.machine().failure("explain", "right", "--against", "nowhere", cwd=team.project)
    assert "has no image on channel 'nowhere'" in r.err
    r = team.machine().failure("explain", "rigth", cwd=team.project)
    assert "did you mean right?" in r.err


# --- channels ---

@pytest.mark.parametrize("env, channel", [
    ({"GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}, "main"),
    ({"GITHUB_HEAD_REF": "topic", "GITHUB_REF_NAME": "12/merge"}, "topic"),
    ({"GITHUB_REF_NAME": "v1", "GITHUB_REF_TYPE": "tag"}, "main"),
    ({"CI_COMMIT_BRANCH": "dev", "CI_DEFAULT_BRANCH": "trunk"}, "dev"),
    ({"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "mr", "CI_COMMIT_BRANCH": ""}, "mr"),
    ({"BRANCH_NAME": "PR-7", "CHANGE_BRANCH": "fix"}, "fix"),
    ({"GIT_BRANCH": "origin/release"}, "release"),
    ({"BUILDKITE_BRANCH": "bk"}, "bk"),
])
def test_the_branch_of_the_ci_system_is_the_channel(team, env, channel):
    team.built(team.machine(**env), "base")
    assert f"base.{channel}" in tags(team.host, "p") and f"base.{channel}.ix" in tags(team.host, "p")


def test_the_branch_of_the_repository_is_the_channel(team):
    import subprocess
    def git(*words):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=team.project, check=True, stdout=subprocess.DEVNULL)
    git("init", "-q", "-b", "feature/a_b")
    team.built(team.machine(), "base")
    names = tags(team.host, "p")
    # '/' is no part of a tag; some digits keep it apart from feature-a_b.
    assert any(re.fullmatch(r"base\.feature-a_b-[0-9a-f]{8}", name) for name in names), names


# --- the registry gives what did not change ---

def test_an_empty_machine_starts_at_the_first_changed_step(team):
    write(team.project, **{"right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN echo long; echo work > /work\nCOPY src/ /src/\nRUN cat /src/* > /right\n"})
    team.built(team.machine())
    write(team.project, **{"right/src/a": "other\n"})
    built, r = team.built(team.machine())
    assert built == ["right", "top"], r
    assert "echo long" not in "".join(line for line in r.err.splitlines() if "cached" not in line.lower()), r
    # The image is whole: the next machine runs it.
    assert team.machine().ix("run", "right", "--", "cat", "/work", "/right", cwd=team.project).out == "work\nother\nb\n"


def test_a_record_whose_layers_are_not_its_images_is_not_used(team):
    write(team.project, **{"right.df": "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN echo long; echo work > /work\nCOPY src/ /src/\nRUN cat /src/* > /right\n"})
    team.built(team.machine())
    record, other = manifest(team.host, "p", "right.main.ix"), manifest(team.host, "p", "left.main.ix")
    record["subject"] = other["subject"]
    put_manifest(team.host, "p", "right.main.ix", record)
    write(team.project, **{"right/src/a": "other\n"})
    built, r = team.built(team.machine())
    assert "the record speaks of layers that its image does not have, ignoring" in r.err, r
    assert re.search(r"RUN echo long(?!.*cached)", r.err)


def test_a_damaged_record_costs_only_time(team):
    team.built(team.machine())
    for stage in ("base", "left", "right", "top"):
        put_manifest(team.host, "p", f"{stage}.main.ix", {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": manifest(team.host, "p", "left.main.ix")["config"],
                                                        "layers": []} if stage == "right" else manifest(team.host, "p", f"{stage}.main"))
    write(team.project, **{"right/src/a": "other\n"})
    built, r = team.built(team.machine())
    assert built == ["right", "top"] and "it is not the record of a stage, ignoring" in r.err, r


def test_the_record_is_an_oci_artifact_with_the_image_as_subject(team):
    one = team.machine()
    team.built(one)
    reference = digest_of(team, one, "right")
    tag = reference.split(":")[-1]
    record = manifest(team.host, "p", tag + ".ix")
    assert record["artifactType"] == "application/vnd.ix.record.v1"
    assert record["config"]["mediaType"] == "application/vnd.oci.empty.v1+json" and record["config"]["size"] == 2
    assert record["subject"]["digest"] == manifest_digest(team.host, "p", tag)
    assert record["annotations"]["dev.ix.key"].startswith(tag.split("-")[1])
    kinds = [layer["mediaType"] for layer in record["layers"]]
    assert kinds == ["application/vnd.ix.record.v1+json+zstd"] and account(one, record)["log"].startswith("#")


def account(machine, record):
    blob = machine.store / "oci/blobs/sha256" / record["layers"][0]["digest"][7:]
    return json.loads(subprocess.run(["zstd", "-dc", blob], stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.parametrize("prints", ["seq 2000", r"printf '\377\n'", r"printf 'a\000b\n'"])
def test_a_log_that_is_long_or_no_text_is_a_blob_of_its_own(team, prints):
    write(team.project, **{"base.df": f"FROM base:1\nRUN {prints}\n"})
    one = team.machine()
    team.built(one, "base")
    record = manifest(team.host, "p", digest_of(team, one, "base").split(":")[-1] + ".ix")
    kinds = [layer["mediaType"] for layer in record["layers"]]
    assert kinds == ["application/vnd.ix.record.v1+json+zstd", "application/vnd.ix.log.v1+zstd"] and "log" not in account(one, record)


def test_what_was_built_without_publishing_is_published_with_its_record(team):
    one = team.machine()
    built, _ = team.built(one, "--no-push")
    assert built == ["base", "left", "right", "top"]
    built, r = team.built(one)
    assert built == [] and "ignoring" not in r.err, r
    write(team.project, **{"right/src/a": "other\n"})
    assert explain(team, team.machine(), "top")[-1] == "top: parent right changed"
