"""The checkout under test, and copies of it that a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What a checkout consists of; the rest is built or belongs to a developer.
SOURCES = ("catalogue", "lambda_src", "policy_templates", "terraform")


def copy_checkout(target: Path) -> Path:
    """A copy of everything that fleetgate reads, free to be changed by a test."""
    ignore = shutil.ignore_patterns(".terraform", "__pycache__", ".mypy_cache", "*.tfstate*", ".terraform.lock.hcl")
    for name in SOURCES:
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    return target
