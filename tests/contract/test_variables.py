"""What Python compiles and what Terraform declares are the same: a key without a variable would only be a warning, and an unknown
key of an object would vanish without a word."""

from __future__ import annotations

import json
import re
from typing import Any

import hcl2

from checkouts import ROOT
from fleetgate import build, package


def declared() -> dict[str, Any]:
    """Variable name to its type, as nested dicts: `{"*": …}` for a map, `{name: …}` for an object, a word for a scalar."""
    found = {}
    for path in (ROOT / "terraform").glob("*.tf"):
        with path.open(encoding="utf-8") as file:
            for block in hcl2.load(file).get("variable", []):
                for name, body in block.items():
                    if not name.startswith("__"):
                        found[name.strip('"')] = shape(str(body["type"]).removeprefix("${").removesuffix("}"))
    return found


def shape(text: str) -> Any:
    text = text.strip()
    kind, _, inner = text.partition("(")
    if not inner:
        return text
    inner = inner.removesuffix(")")
    if kind in ("map", "list", "set"):
        return {"*": shape(inner)}
    assert kind == "object", text
    fields, depth, start = {}, 0, 0
    body = inner.strip().removeprefix("{").removesuffix("}")
    for position, character in enumerate(body + ","):
        depth += (character in "({") - (character in ")}")
        if character == "," and depth == 0:
            name, _, value = body[start:position].partition("=")
            fields[name.strip()] = shape(value)
            start = position + 1
    return fields


def compare(value: Any, wanted: Any, path: str) -> list[str]:
    if isinstance(wanted, dict) and set(wanted) == {"*"}:
        children = value.items() if isinstance(value, dict) else enumerate(value)
        return [p for key, child in children for p in compare(child, wanted["*"], f"{path}[{key}]")]
    if isinstance(wanted, dict):
        found = [f"{path}.{key} is declared nowhere" for key in set(value) - set(wanted)]
        found += [f"{path}.{key} is not compiled" for key in set(wanted) - set(value)]
        return found + [p for key in set(value) & set(wanted) for p in compare(value[key], wanted[key], f"{path}.{key}")]
    kinds = {"string": str, "number": int, "bool": bool}
    return [] if type(value) is kinds[wanted] else [f"{path} is a {type(value).__name__}, not a {wanted}"]


def test_every_compiled_variable_is_declared_with_its_shape_and_none_is_missing(fleet):
    packages = dict.fromkeys(package.FUNCTIONS, b"")
    assert compare(build.tfvars(fleet, packages), declared(), "var") == []


def test_the_comparison_sees_a_key_that_terraform_would_drop():
    wanted = {"claims": {"*": {"active": "bool"}}}
    assert compare({"claims": {"a": {"active": True, "x": 1}}}, wanted, "var") == ["var.claims[a].x is declared nowhere"]
    assert compare({"claims": {"a": {"active": 1}}}, wanted, "var") == ["var.claims[a].active is a int, not a bool"]
    assert compare({}, wanted, "var") == ["var.claims is not compiled"]


def test_terraform_wants_exactly_the_functions_that_are_packaged_and_no_source_is_left_out():
    text = (ROOT / "terraform/variables.tf").read_text(encoding="utf-8")
    [wanted] = re.findall(r"toset\(keys\(var\.functions\)\) == toset\((\[.*?\])\)", text)
    assert sorted(json.loads(wanted)) == sorted(package.FUNCTIONS)
    assert sorted(package.FUNCTIONS) == sorted(path.name for path in (ROOT / package.FOLDER).iterdir() if path.is_dir())


#: Ways to reach a file: another folder's, or any at all.
FOREIGN = r"path\.(?:root|cwd)|path\.module\}/\.\.|source\s*=\s*\"\.|\b(?:file|templatefile|fileset|file(?:base64|md5|sha)\w*)\("


def test_no_module_reads_a_file_outside_itself():
    """A platform team calls one module from its own repository: there is no folder above it."""
    found = []
    for path in (ROOT / "terraform" / "modules").rglob("*.tf"):
        text = re.sub(r'#.*|(?:error_message|description)\s*=\s*".*"', "", path.read_text(encoding="utf-8"))
        found += [f"{path}: {hit}" for hit in re.findall(FOREIGN, text)]
    assert found == []


def test_only_modules_own_aws_resources():
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "terraform").glob("*.tf"))
    assert re.findall(r'(?m)^resource\s+"', text) == []
