"""Identity: what stops a rebuild, what explains one, and what nothing may change."""

import json
import re

import pytest

from ixlib import tags, write
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
