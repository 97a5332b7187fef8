#!/usr/bin/python3
"""The main job, end to end: a web app in seven stages, cached in a real registry.

Starts a registry on a free port of the loopback interface, works on a copy of this directory, and stops and removes
all it made. Run it with `make demo`.
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
STAGES = ["base", "python", "nodejs", "pip", "npm", "webpack", "runtime"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(url, seconds=20):
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                return reply.read().decode()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class Demo:
    def __init__(self, ix, work):
        self.ix, self.work = ix, work
        self.shop = work / "shop"
        self.store = work / "store"
        self.rows = []

    def title(self, text):
        print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)

    def env(self):
        return dict(os.environ, SHOP_REGISTRY=f"127.0.0.1:{self.port}/shop", NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")

    def command(self, *words):
        return [self.ix, words[0], "--store", str(self.store), "--config", str(self.work / "config.yaml"), *words[1:]]

    @contextlib.contextmanager
    def registry(self):
        self.port = free_port()
        config = self.work / "registry.yaml"
        config.write_text(
            f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {self.work}/registry}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}'}}\n")
        with open(self.work / "registry.log", "wb") as log:
            server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{self.port}/v2/")
            yield
        finally:
            server.terminate()
            server.wait()

    def base_image(self):
        config = self.work / "config.yaml"
        config.write_text("")
        tar = self.work / "debian.tar"
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", str(tar)], check=True)
        subprocess.run(self.command("import", str(tar), "debian:bookworm-slim"), check=True, stdout=subprocess.DEVNULL)
        subprocess.run(self.command("push", "--progress", "quiet", "debian:bookworm-slim",
                                    f"127.0.0.1:{self.port}/library/debian:bookworm-slim"), check=True)
        config.write_text(f"mirrors: {{ docker.io: ['127.0.0.1:{self.port}'] }}\n")
        tar.unlink()

    def plan(self, expect):
        """The plan has to name exactly these stages as to be built."""
        p = subprocess.run(self.command("plan"), cwd=self.shop, env=self.env(), stdout=subprocess.PIPE, text=True)
        print(p.stdout, flush=True)
        planned = sorted(re.findall(r"● (\S+)", p.stdout))
        if planned != sorted(expect) or p.returncode != (2 if expect else 0):
            sys.exit(f"demo: the plan builds {planned}, expected {sorted(expect)} (status {p.returncode})")

    def build(self, phase, expect, project="ix.yaml"):
        """Build, show the log as it comes, and note what happened to each stage."""
        p = subprocess.Popen(self.command("build", "--progress", "plain", "--project", project), cwd=self.shop, env=self.env(),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        built, last = {}, ""
        refs = {}
        for line in p.stdout:
            if " | " not in line:
                print(line, end="", flush=True)
            if m := re.match(r"(\S+): (built|done|found) in (\S+?)(?:, pushed (.*))?$", line.rstrip()):
                built[m[1]] = (m[2], m[3], m[4] or "")
            if m := re.match(r"(\S+): published (\S+:\1-[0-9a-f]{40})$", line.rstrip()):
                refs[m[1]] = m[2]
            if " requests, " in line:
                last = line.strip()
        if p.wait() != 0:
            sys.exit(f"demo: the build failed with status {p.returncode}")
        done = sorted(name for name, (what, _, _) in built.items() if what == "built")
        if done != sorted(expect):
            sys.exit(f"demo: built {done}, expected {sorted(expect)}")
        for name in STAGES:
            if name in built:
                self.rows.append((phase, name, *built[name], refs.get(name, "")))
        self.rows.append((phase, "", last, "", "", ""))
        return last

    def serve(self, expect_page, project="ix.yaml"):
        port = free_port()
        command = self.command("run", "--project", project, "-e", f"PORT={port}", "-e", "HOST=127.0.0.1", "runtime")
        server = subprocess.Popen(command, cwd=self.shop, env=self.env(), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}"
            page, script, api = wait_for(f"{url}/"), wait_for(f"{url}/app.js"), wait_for(f"{url}/api/products")
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
        if "<title>shop</title>" not in page or expect_page not in script or '"anvil"' not in api:
            sys.exit("demo: the app does not answer as it should")
        print(f"GET /              {len(page)} bytes, <title>shop</title>")
        print(f"GET /app.js        {len(script)} bytes, says \"{expect_page}\"")
        print(f"GET /api/products  {api[:60]}…", flush=True)

    def edit(self, name, old, new):
        path = self.shop / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        print(f"{name}: {old!r} → {new!r}\n", flush=True)

    def table(self):
        self.title("What happened")
        print(f"{'PHASE':<24} {'STAGE':<9} {'OUTCOME':<7} {'TIME':>7}  {'PUSHED':>8}  REFERENCE")
        for phase, stage, outcome, took, pushed, ref in self.rows:
            if stage:
                print(f"{phase:<24} {stage:<9} {outcome:<7} {took:>7}  {pushed:>8}  {ref}")
            else:
                print(f"{phase:<24} = {outcome}")

    def run(self, chain):
        with self.registry():
            self.title("A Debian base image, made here and put into the registry")
            self.base_image()
            self.store = self.work / "store-1"
            self.title("Cold: everything is built and published")
            self.plan(STAGES)
            self.build("cold", STAGES)
            self.serve("The blacksmith's shop")

            self.store = self.work / "store-2"
            self.title("An empty machine: nothing to build, nothing to move")
            self.plan([])
            last = self.build("empty machine", [])
            if " 0 B up" not in last.replace("0 B down", ""):
                print("note: the published name was written again")

            self.title("One JavaScript file changes: webpack and runtime are built")
            self.edit("frontend/src/app.js", "The blacksmith's shop", "The new shop")
            self.plan(["webpack", "runtime"])
            self.build("one .js file changed", ["webpack", "runtime"])
            self.serve("The new shop")

            self.title("One line of base changes: base and all descendants are built")
            self.edit("stages/base/Dockerfile", "LANG=C.UTF-8", "LANG=C.UTF-8 TZ=UTC")
            self.plan(STAGES)
            self.build("base changed", STAGES)

            if chain:
                self.title("The same as a chain")
                self.build("chain, cold", STAGES, "chain.yaml")
                self.serve("The new shop", "chain.yaml")
            self.table()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ix", default=str(HERE.parents[1] / "build/ix"))
    parser.add_argument("--chain", action="store_true", help="also build chain.yaml")
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="ix-demo-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    demo = Demo(options.ix, work)
    shutil.copytree(HERE, work / "shop", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    start = time.monotonic()
    try:
        demo.run(options.chain)
        print(f"\nDone in {time.monotonic() - start:.0f} s.")
    finally:
        # Files of other users' ids, in a rootless store, are removed from inside the namespace they were made in.
        for store in work.glob("store*"):
            subprocess.run([options.ix, "rm", "--everything", "--store", str(store)], check=False)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
