#!/usr/bin/env python3
"""Keys against what comes out: a random project is changed in one random place and built anew elsewhere.

Where a stage's key stays, its image has to stay: otherwise a stale image would be taken for it. Where a key changes and the image does not, the miss was
needless: it is counted and told, by kind of change. ix explain has to name the change, and nothing else. Another spelling changes no key.

usage: keys.py [--ix PROGRAM] [--count N] [--seed S] [--jobs N] [--show-needless]
"""

import collections
import copy
import json
import pathlib
import random
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "it")]

from model import Project  # noqa: E402
from projects import Difference, Refused, Way, options_of, run, show  # noqa: E402


# --- changes: each returns what a cause has to say, or None when the project has nothing of the kind ---

def blocks(project):
    return [(i, block) for i, stage in enumerate(project.stages) for block in [stage, *stage["inner"]]]


def regular(project):
    return sorted(name for name, (mode, text) in project.files.items() if mode is not None and text is not None)


def contents(project, rng):
    names = regular(project)
    if not names:
        return None
    name = rng.choice(names)
    project.files[name] = (project.files[name][0], "changed\n")
    return re.escape(name)


def mode(project, rng):
    names = regular(project)
    if not names:
        return None
    name = rng.choice(names)
    old, text = project.files[name]
    project.files[name] = (0o755 if old == 0o644 else 0o644, text)
    return re.escape(name) + " mode 0"


def new_file(project, rng):
    project.files["ctx/new"] = (0o644, "new\n")
    return "added .ctx/new"


def no_file(project, rng):
    names = regular(project)
    if not names:
        return None
    name = rng.choice(names)
    del project.files[name]
    return r"removed .*" + re.escape(name) + "|removed"


def link(project, rng):
    names = sorted(name for name, (kind, _) in project.files.items() if kind is None)
    if not names:
        return None
    project.files[names[0]] = (None, "elsewhere")
    return re.escape(names[0])


def argument(project, rng):
    stages = [s for s in project.stages if "V" in s["args"]]
    if not stages:
        return None
    rng.choice(stages)["args"]["V"] = "other"
    return "ARG V "


def label(project, rng):
    rng.choice(project.stages)["labels"]["x"] = "other"
    return "label x"


def plain_steps(block):
    """What users write is another matter: the model's RUNs hang on USER."""
    return [j for j, step in enumerate(block["steps"]) if step[0] not in ("user", "from", "arg")]


def no_step(project, rng):
    found = [(block, j) for _, block in blocks(project) for j in plain_steps(block)]
    if not found:
        return None
    block, j = rng.choice(found)
    del block["steps"][j]
    return "instruction (removed|changed)"


def new_step(project, rng):
    _, block = rng.choice(blocks(project))
    block["steps"].insert(rng.randint(0, len(block["steps"])), rng.choice([("config", "LABEL new=1"), ("heredoc", "/new", "new\n"), ("env", "NEW", "1")]))
    return "instruction added: .*(new|NEW)"


def config(project, rng):
    found = [(block, j) for _, block in blocks(project) for j, step in enumerate(block["steps"]) if step[0] == "config"]
    if not found:
        return None
    block, j = rng.choice(found)
    block["steps"][j] = ("config", block["steps"][j][1].split()[0] + {"LABEL": " l=other", "EXPOSE": " 9999", "CMD": ' ["other"]', "VOLUME": " /other", "STOPSIGNAL": " SIGHUP"}[
        block["steps"][j][1].split()[0]])
    return "instruction changed"


def environment(project, rng):
    found = [(block, j) for _, block in blocks(project) for j, step in enumerate(block["steps"]) if step[0] == "env"]
    if not found:
        return None
    block, j = rng.choice(found)
    block["steps"][j] = ("env", block["steps"][j][1], "another")
    return "instruction changed: ENV"


def default(project, rng):
    found = [(block, j) for _, block in blocks(project) for j, step in enumerate(block["steps"]) if step[0] == "arg"]
    if not found:
        return None
    block, j = rng.choice(found)
    block["steps"][j] = ("arg", block["steps"][j][1], "another")
    return "ARG [EFV] |instruction"  # what names it in an instruction's words is told as that instruction


def exchanged(project, rng):
    found = [(block, j) for _, block in blocks(project) for j in plain_steps(block) if j + 1 in plain_steps(block)]
    if not found:
        return None
    block, j = rng.choice(found)
    block["steps"][j], block["steps"][j + 1] = block["steps"][j + 1], block["steps"][j]
    return "instruction"


def time(project, rng):
    return ""  # writing the project again is the change


CHANGES = [contents, mode, new_file, no_file, link, argument, label, no_step, new_step, config, environment, default, exchanged, time]


# --- another spelling of a Dockerfile ---

def respell(text, rng):
    out, inside = [], False
    for line in text.splitlines():
        if inside:
            inside = line != "EOF"
        elif line.startswith("COPY <<EOF"):
            inside = True
        elif line:
            word, rest = line.split(" ", 1)
            how = rng.randrange(6)
            if word in ("COPY", "ENV", "WORKDIR", "LABEL", "EXPOSE", "VOLUME", "STOPSIGNAL", "USER", "ARG"):
                rest = {0: rest.replace(" ", "   "), 1: re.sub(r"\$([A-Z]+)\b", r"${\1}", rest), 2: rest}.get(how, rest)
            line = {3: word.lower() + " " + rest, 4: f"# a comment\n{word} {rest}", 5: f"{word}   {rest}"}.get(how, f"{word} {rest}")
        out.append(line)
    return "\n".join(out) + "\n"


# --- one attempt ---

def plan(way, names):
    found = json.loads(way.ix("plan", "--json", *names, check=False)[0])
    return {s["stage"]: s for s in found["stages"] if s["stage"] in names}


def check(world, seed, needless):
    rng = random.Random(seed)
    before = Project(seed)
    here = Way(world, "here")
    old, _ = here.build(before)
    names = list(old)
    keys = {name: s["key"] for name, s in plan(here, names).items()}
    for i, stage in enumerate(before.stages):
        file = world.place / "project" / f"{stage['name']}.df"
        file.write_text(respell(file.read_text(), rng))
    spelled = {name: s["key"] for name, s in plan(here, names).items()}
    for name in names:
        if spelled[name] != keys[name]:
            raise Difference(f"spelling: stage {name} has another key\n" + (world.place / "project" / f"{name}.df").read_text())
    change = rng.choice(CHANGES)
    after = copy.deepcopy(before)
    says = change(after, rng)
    if says is None:
        return
    try:
        new, _ = Way(world, "elsewhere", words=("--no-cache",)).build(after)
    except Refused:
        return
    after.write(world.place / "project", "none")
    planned = plan(here, names)
    told, elsewhere = [], False
    for name in names:
        same_key, same_image = planned[name]["key"] == keys[name], new[name] == old[name]
        if same_key and not same_image:
            raise Difference(f"{change.__name__}: stage {name} kept its key and became another image\n{json.dumps(old[name], indent=1)}\n{json.dumps(new[name], indent=1)}")
        if not same_key and same_image:
            needless.append((change.__name__, seed, name, planned[name]["causes"]))
        if not same_key:
            told += planned[name]["causes"]
            elsewhere = elsewhere or planned[name]["decision"] != "build"  # it has become what another stage is, and needs no reason
    wrong = [text for text in told if not text.startswith("parent ") and not re.search(says, text)]
    if wrong or (told and not elsewhere and not any(re.search(says, text) for text in told)):
        raise Difference(f"{change.__name__}: it is explained by {told}, which does not say /{says}/")


def attempt(world, seed, needless):
    try:
        check(world, seed, needless)
    except Difference as e:
        return show(Project(seed), str(e))
    except Refused:
        return None
    finally:
        world.clean(False)
    return None


def main():
    parser = options_of(__doc__)
    parser.add_argument("--show-needless", action="store_true")
    options, needless = parser.parse_args(), []
    failed = run(options, False, lambda world, seed: attempt(world, seed, needless))
    for item in needless if options.show_needless else []:
        print("needless:", *item)
    kinds = collections.Counter(item[0] for item in needless)
    print(f"keys: seeds {options.seed} to {options.seed + options.count - 1}; needless misses by kind of change: "
          f"{', '.join(f'{kind} {n}' for kind, n in sorted(kinds.items())) or 'none'}")
    print(f"{options.count - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
