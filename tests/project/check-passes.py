#!/usr/bin/env python3
"""One pass per file, named by its verb: passes/<folder>/<Name>.cpp = `def <Name>` = --sdopt-<name> = tests/passes/<folder>/<name>.mlir."""
import pathlib
import re
import sys


def kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


errors = []
for table in sorted(pathlib.Path("passes").glob("*/Passes.td")):
    folder = table.parent
    for name, flag in re.findall(r'^def (\w+)\s*:\s*\w+<\s*"([\w-]+)"', table.read_text(), re.M):
        if flag != "sdopt-" + kebab(name):
            errors.append(f"{table}: pass {name} has flag {flag}, needed sdopt-{kebab(name)}")
        if not (folder / f"{name}.cpp").is_file():
            errors.append(f"{table}: pass {name} has no {folder / (name + '.cpp')}")
        test = pathlib.Path("tests") / folder / (kebab(name) + ".mlir")
        if not test.is_file():
            errors.append(f"{table}: pass {name} has no {test}")
        elif flag not in test.read_text():
            errors.append(f"{test}: does not run --{flag}")
    names = {kebab(n) for n in re.findall(r"^def (\w+)\s*:", table.read_text(), re.M)}
    for test in sorted((pathlib.Path("tests") / folder).glob("*.mlir")):
        if not any(test.stem == name or test.stem.startswith(name + "-") for name in names):
            errors.append(f"{test}: no pass of this name in {table}")
print("\n".join(errors) or "passes and tests match")
sys.exit(1 if errors else 0)
