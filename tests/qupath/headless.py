"""QuPath and hmgdm run by tests as a lab would, without a window."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
DRIVERS = REPO / "tests" / "scripts"
SCRIPTS = REPO / "qupath_scripts"


def installed(folder, name="hmgdm"):
    """A program in `folder` that runs this code."""
    program = folder / name
    code = f'#!/bin/sh\nPYTHONPATH={REPO} exec {sys.executable} -m hmgdm_plugin.cli "$@"\n'
    program.write_text(code, "utf-8")
    program.chmod(0o755)
    return program


def script(name, *arguments, project=None, image=None, save=False, program=None):
    """Run a script headless; all that it says, and QuPath's exit status. `program`: the hmgdm that it finds."""
    qupath = Path(os.environ["PAQUO_QUPATH_DIR"])
    starter = next(path for path in (qupath / "bin" / "QuPath", *qupath.glob("QuPath*")) if path.is_file())
    command = [str(starter), "script", str(name)]
    command += ["-p", str(project)] if project else []
    command += ["-i", str(image)] if image else []
    command += ["-s"] if save else []
    for each in arguments:
        command += ["-a", str(each)]
    environment = {**os.environ, **({"PATH": f"{program.parent}:{os.environ['PATH']}"} if program else {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    return done.stdout + done.stderr, done.returncode


def hmgdm(*arguments):
    command = [sys.executable, "-m", "hmgdm_plugin.cli", *map(str, arguments), "--events"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode == 0) == ("result" in last), done.stderr
    return last.get("result", last)


def first_image(project):
    """Its name, which is not always that of the file."""
    return json.loads((project / "project.qpproj").read_text("utf-8"))["images"][0]["imageName"]
