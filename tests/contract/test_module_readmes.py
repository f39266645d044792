"""What every module promises to a team that takes it alone: a README in one form, a range of providers, nothing deprecated."""

from __future__ import annotations

import re

import pytest

from checkouts import ROOT
from fleetgate import terraform
from module_examples import MODULES, example

ROOTS = [ROOT / "terraform", *sorted(path.parent for path in (ROOT / "examples").glob("*/versions.tf"))]
RANGE = ">= 5.80, < 7"


def readme(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def provider(folder):
    text = (folder / "versions.tf").read_text(encoding="utf-8")
    assert 'required_version = ">= 1.11"' in text
    return re.search(r'source\s*=\s*"hashicorp/aws"\s*(?:#.*\s*)*version\s*=\s*"([^"]*)"', text)[1]


@pytest.mark.parametrize("folder", MODULES, ids=lambda folder: folder.name)
def test_a_module_s_readme_says_what_it_owns_how_it_is_called_and_what_can_go_wrong(folder):
    text = readme(folder)
    assert text.startswith(f"# {folder.name}\n\nOwns ")
    assert "`variables.tf`" in text and "`outputs.tf`" in text
    assert re.search(r"(?m)^What can go wrong\n\n- ", text)
    assert f'module "{folder.name}" {{\n  source = "./modules/{folder.name}"' in re.sub(r" +=", " =", example(folder))


@pytest.mark.parametrize("folder", MODULES, ids=lambda folder: folder.name)
def test_a_module_takes_a_range_of_providers(folder):
    assert provider(folder) == RANGE


@pytest.mark.parametrize("folder", ROOTS, ids=lambda folder: folder.name)
def test_a_root_pins_one_provider_and_all_roots_the_same(folder):
    assert provider(folder) == terraform.provider_version(ROOT / "terraform")


#: Spellings that version 6 of the provider deprecates while 5.80 knows another one, each with a text that has it. `hash_key` of
#: an index is not here: what replaces it is not in version 5. [provider's version 6 upgrade guide]
OUTDATED = {
    "the name of a Region": (r"data\.aws_region\.\w+\.name\b", "region = data.aws_region.current.name", "write .id"),
    "a role's own policies": (r"\binline_policy\s*\{|\bmanaged_policy_arns\b", "inline_policy {", "use aws_iam_role_policy"),
}


@pytest.mark.parametrize("what", OUTDATED)
def test_no_terraform_file_has_a_spelling_that_version_6_of_the_provider_deprecates(what):
    pattern, outdated, remedy = OUTDATED[what]
    files = [path for folder in ("terraform", "examples") for path in (ROOT / folder).rglob("*.tf")]
    found = [str(path.relative_to(ROOT)) for path in files if re.search(pattern, path.read_text(encoding="utf-8"))]
    assert found == [], remedy
    assert re.search(pattern, outdated)
