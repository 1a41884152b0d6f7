# SPDX-License-Identifier: GPL-2.0
"""Runs the cases and counts."""

import importlib.util
import subprocess
import time
import traceback

from .host import HERE, Failed, say
from .lab import Skipped


class Results:
    def __init__(self, quiet=False):
        self.say = (lambda text: None) if quiet else say
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add(self, name, error=None, skip=None, seconds=None):
        took = f" ({seconds:.1f} s)" if seconds is not None else ""
        if skip is not None:
            self.skipped.append((name, skip))
            self.say(f"skip {name}: {skip}")
        elif error is not None:
            self.failed.append(name)
            self.say(f"FAIL {name}{took}\n" + "\n".join(f"    {line}" for line in
                                                    str(error).splitlines()))
        else:
            self.passed += 1
            self.say(f"ok   {name}{took}")

    def summary(self):
        for name in self.failed:
            say(f"failed: {name}")
        for name, why in self.skipped:
            say(f"skipped: {name}: {why}")
        line = f"{self.passed} passed, {len(self.failed)} failed"
        if self.skipped:
            line += f", {len(self.skipped)} skipped"
        say("\n" + line)
        return 1 if self.failed or not self.passed else 0


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(lab, only=None, folder="cases"):
    """Run every function test_* of every file in @folder; or of those named in @only."""
    results = Results()
    for path in sorted((HERE / folder).glob("*.py")):
        if only and path.stem not in only:
            continue
        say(f"--- {path.stem}")
        module = _load(path)
        for name in [n for n in vars(module) if n.startswith("test_")]:
            title = f"{path.stem}: {name[5:].replace('_', ' ')}"
            start = time.monotonic()
            try:
                # A case that counts results of its own returns none of these.
                getattr(module, name)(lab, *([results] if name.endswith("_each") else []))
            except Skipped as why:
                results.add(title, skip=str(why))
            except (Failed, subprocess.TimeoutExpired) as err:
                results.add(title, error=err, seconds=time.monotonic() - start)
            except Exception:  # pylint: disable=broad-except
                results.add(title, error=traceback.format_exc(), seconds=time.monotonic() - start)
            else:
                results.add(title, seconds=time.monotonic() - start)
    return results.summary()
