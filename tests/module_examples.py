"""The modules, and the example that each one's README shows."""

from __future__ import annotations

import re
from pathlib import Path

from checkouts import ROOT

MODULES = sorted(path for path in (ROOT / "terraform/modules").iterdir() if path.is_dir())


def example(folder: Path) -> str:
    """The first Terraform block of the module's README."""
    found = re.search(r"(?ms)^```hcl\n(.*?)^```$", (folder / "README.md").read_text(encoding="utf-8"))
    assert found, f"{folder.name}/README.md shows no example: a block that begins with ```hcl"
    return found[1]


def with_paths(text: str, folder: Path) -> str:
    """Terraform text whose modules are named from `folder`, with their real paths in place of those."""
    return re.sub(r'(source\s*=\s*)"(\.[^"]*)"', lambda hit: f'{hit[1]}"{(folder / hit[2]).resolve()}"', text)
