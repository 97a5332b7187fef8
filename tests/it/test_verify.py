"""ix verify, and times that are clamped."""

import json
import re

from ixlib import Machine, write
from test_project import base_tar, team  # noqa: F401: fixtures


def verify(team, machine, stage):
    r = machine.ix("verify", stage, cwd=team.project, check=False)
    assert r.status in (0, 1) and r.out, r
    return r.status, r.out.strip()


def base(team, *steps):
    write(team.project, **{"base.df": "FROM base:1\n" + "".join(f"RUN {step}\n" for step in steps) + "RUN echo base > /base\n"})


def test_a_reproducible_stage_is_said_to_be(team):
    one = team.machine()
    team.built(one)
    status, said = verify(team, one, "right")
    assert status == 0 and said.startswith("right: reproducible but for times"), said


def test_with_clamped_times_it_is_the_same_bit_for_bit(team):
    yaml = (team.project / "ix.yaml").read_text()
    write(team.project, **{"ix.yaml": yaml + "reproducible: true\n"})
    one = team.machine()
    team.built(one)
    assert verify(team, one, "right") == (0, "right: reproducible, bit for bit")
    # Another machine makes the same image.
    two, names = team.machine(), {}
    for machine in (one, two):
        machine.ix("build", "-q", "--no-push", "--force-all", cwd=team.project)
        plan = json.loads(machine.ix("plan", "--json", "--offline", cwd=team.project, check=False).out)
        names[machine] = {s["stage"]: machine.ix("inspect", s["reference"]).out for s in plan["stages"] if not s["inner"] and s["stage"] == "base"}
    assert names[one] == names[two]


def test_the_first_file_that_differs_is_named(team):
    base(team, "echo same > /a", "cat /proc/sys/kernel/random/uuid > /zoo && echo 1 > /yak")
    one = team.machine()
    team.built(one)
    status, said = verify(team, one, "base")
    assert status == 1 and re.search(r"base: not reproducible: /zoo: other contents \(layer 3: RUN .*uuid", said), said


def test_host_name_process_ids_and_clocks_are_others(team):
    for command, path in (("hostname > /n", "n"), ("sh -c 'echo $$' > /p; sh -c 'sh -c \"echo \\$\\$\"; true' >> /p", "p"),
                          ("cut -c1-3 /proc/uptime > /u; cat /proc/uptime > /u", "u")):
        base(team, command)
        one = team.machine()
        team.built(one, "base", "--no-push")
        status, said = verify(team, one, "base")
        assert status == 1 and f"/{path}: other contents" in said, said


def test_mode_and_presence_are_compared(team):
    base(team, "touch /f-$(hostname | cut -c1)")
    one = team.machine()
    team.built(one)
    assert "/f-a: it was not there before" in verify(team, one, "base")[1]


def test_verify_changes_nothing_that_is_known(team):
    base(team, "cat /proc/sys/kernel/random/uuid > /zoo")
    one = team.machine()
    team.built(one)
    before = one.ix("plan", "--json", cwd=team.project).out
    value = one.ix("run", "base", "--", "cat", "/zoo", cwd=team.project).out
    verify(team, one, "base")
    assert one.ix("plan", "--json", cwd=team.project).out == before
    assert one.ix("run", "base", "--", "cat", "/zoo", cwd=team.project).out == value
    # An empty machine compares with what the registry has.
    assert verify(team, team.machine(), "base")[0] == 1


def test_a_stage_that_is_not_built_has_to_be_first(team):
    r = team.machine().failure("verify", "base", cwd=team.project)
    assert "stage 'base' has no image to compare with" in r.err and "build it first" in r.err
