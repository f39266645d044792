"""Changes a factory's claim for a new one, and retires the old one.

Both claims stand side by side until the factories have switched. Devices that have come in have certificates of their own, so
neither step touches them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetgate import applied, aws, claims, environment, environment_edit, files
from fleetgate.environment import Environment
from fleetgate.errors import fail
from fleetgate.names import Names

_GENERATION = re.compile(r"(?P<base>.*?)(?:-r(?P<number>[0-9]{1,4}))?")


@dataclass(frozen=True)
class Edit:
    """A change of an environment's file that has not been made yet. before: the file's text that it was made from."""

    environment: Environment
    text: str
    before: str

    @property
    def path(self) -> Path:
        return self.environment.root / self.environment.file

    def write(self, did: Callable[[str], None], steps: Sequence[str]) -> None:
        """Whole or not at all, with the file's own mode; inside `claims.alone`.

        did: told the steps once the file says it, also if something fails or interrupts just after. Raises FleetgateError if
        somebody changed the file meanwhile.
        """
        self.require_unchanged()
        try:
            files.replace(self.path, self.text.encode(), self.path.stat().st_mode & 0o777)
        finally:
            for step in steps if self.is_made() else ():
                did(step)

    def require_unchanged(self) -> None:
        """Between the plan and this a person was asked, which takes as long as it takes."""
        if _read(self.environment) != self.before:
            raise fail(
                self.environment.file, "was changed meanwhile; nothing was written", "look at it, then run the same command again"
            )

    def is_made(self) -> bool:
        """Whether the file says it. Also where nobody can tell: a key too many is a lesser loss than one that is missing."""
        try:
            return _read(self.environment) == self.text
        except (OSError, UnicodeDecodeError):
            return True


def next_name(env: Environment, name: str) -> str:
    """`factory-1` becomes `factory-1-r2`, that one `factory-1-r3`, the first that is free and of which no key lies here."""
    base, number = _generation(name)
    while True:
        number += 1
        candidate = f"{_cut(base, number)}-r{number}"
        if candidate not in env.settings.claims and not (env.claim_folder(candidate) / claims.KEY_FILE).exists():
            return candidate


def require_none_begun(env: Environment, name: str) -> None:
    """Raises FleetgateError if an active claim that may be its successor stands beside an active one: by its name."""
    if not env.settings.claims[name].active:
        return
    base, number = _generation(name)
    for other, claim in env.settings.claims.items():
        later_base, later = _generation(other)
        if claim.active and later > number and later_base == _cut(base, later):
            remedy = (
                f"if {other} is its successor, and the factories have switched: fleetgate claim retire {name} --env {env.name};"
                " for another one beside them: --as NAME"
            )
            raise fail(f"claim {name}", f"is being rotated already: {other} stands beside it in {env.file}", remedy)


def _generation(name: str) -> tuple[str, int]:
    found = _GENERATION.fullmatch(name)
    return (found["base"], int(found["number"] or 1)) if found else (name, 1)


def _cut(base: str, number: int) -> str:
    """The base as it stands before the suffix of a generation: a name is no longer than AWS takes."""
    return base[: environment.MAXIMUM_CLAIM_NAME - len(f"-r{number}")].rstrip("-")


def plan_rotation(env: Environment, name: str, new: str) -> Edit:
    """The environment's file with a new claim beside `name`. Raises FleetgateError if that cannot be."""
    claims.require_claim(env, name)
    if not env.settings.claims[name].active:
        raise fail(f"claim {name}", "is retired", f"rotate an active one, or add a claim to {env.file}")
    if new in env.settings.claims:
        raise fail(f"claim {new}", f"stands in {env.file} already", "choose another name by --as NAME")
    if not re.fullmatch(environment.CLAIM_NAME, new):
        raise fail(f"--as {new!r:.80}", "is not a claim name", environment.CLAIM_NAME_REMEDY)
    before = _read(env)
    text = environment_edit.add_claim(before, env.file, name, new)
    edited = Environment(env.root, env.name, environment.parse(text, env.file))
    # A key that lies here may be the one that has leaked: a rotation makes a new one, or nothing.
    for path in (edited.claim_folder(new) / claims.KEY_FILE, edited.claim_csr_file(new)):
        if path.exists():
            raise fail(str(path), "is already there and is not overwritten", "choose another name by --as NAME")
    return Edit(edited, text, before)


def rotate(edit: Edit, new: str, did: Callable[[str], None], steps: Sequence[str]) -> claims.Pair:
    """Makes key (0600) and signing request, and writes the file last: whatever fails, that names no claim without them.

    What was made for nothing is taken away again, for which a full disk has room enough. did: told the steps (see Edit.write).
    Raises FleetgateError if somebody changed the file meanwhile, or changes this environment's claims now.
    """
    made: list[Path] = []
    with claims.alone(edit.environment):
        edit.require_unchanged()
        try:
            pair = claims.create(edit.environment, new, made, new_key=True)
            edit.write(did, steps)
        except BaseException:
            # It may have come after the file had been replaced already, and then the claim needs them.
            if not edit.is_made():
                for path in made:
                    with contextlib.suppress(OSError):
                        path.unlink()
            raise
    return pair


def is_last_active(env: Environment, name: str) -> bool:
    return [known for known, claim in env.settings.claims.items() if claim.active] == [name]


def plan_retirement(env: Environment, name: str) -> Edit:
    """The environment's file with the claim inactive."""
    before = _read(env)
    text = environment_edit.deactivate_claim(before, env.file, name)
    return Edit(Environment(env.root, env.name, environment.parse(text, env.file)), text, before)


@dataclass(frozen=True)
class Standing:
    """A claim as file, machine and AWS have it. in_file: `active`, `retired`, or `no`. status: AWS's, None if it has none.

    certificate_id: None if it is not applied. has_key: whether its private key lies on this machine.
    """

    name: str
    in_file: str
    has_key: bool
    certificate_id: str | None
    status: str | None

    def to_json(self) -> dict[str, object]:
        return {
            "certificateId": self.certificate_id,
            "hasKey": self.has_key,
            "inFile": self.in_file,
            "name": self.name,
            "status": self.status,
        }


def standings(env: Environment) -> list[Standing]:
    """Every claim that the environment's file has, or that is applied."""
    iot, ids, found = aws.client("iot"), certificate_ids(env), []
    for name in [*env.settings.claims, *sorted(ids.keys() - env.settings.claims.keys())]:
        claim = env.settings.claims.get(name)
        in_file = "no" if claim is None else "active" if claim.active else "retired"
        status = None
        if name in ids:
            with contextlib.suppress(iot.exceptions.ResourceNotFoundException):
                described = iot.describe_certificate(certificateId=ids[name])
                status = str(described["certificateDescription"]["status"])
        has_key = (env.claim_folder(name) / claims.KEY_FILE).exists()
        found.append(Standing(name, in_file, has_key, ids.get(name), status))
    return found


def deactivate(names: Names, name: str, certificate_id: str) -> str:
    """Makes the claim's certificate INACTIVE at once; returns what came of it. Raises for one that is no claim of this fleet."""
    iot = aws.client("iot")
    try:
        found = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        return f"certificate {certificate_id}: AWS does not have it any more"
    attached = iot.list_attached_policies(target=found["certificateArn"])["policies"]
    things = iot.list_principal_things(principal=found["certificateArn"])["things"]
    if names.claim_policy not in [policy["policyName"] for policy in attached] or things:
        what = "is no claim's: it lacks the claim policy" if not things else f"is used by {', '.join(things)}"
        raise fail(
            f"certificate {certificate_id} of claim {name}",
            f"{what}; it was left alone",
            "look at it: aws iot list-attached-policies",
        )
    if found["status"] == "INACTIVE":
        return f"certificate {certificate_id}: INACTIVE already"
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    return f"certificate {certificate_id}: {found['status']} -> INACTIVE"


def certificate_ids(env: Environment) -> Mapping[str, str]:
    """The certificates of the claims that are applied, by claim, as Terraform says."""
    from fleetgate.terraform import Runner

    runner = Runner(env, lambda _: None)
    runner.init()
    return dict(runner.state().outputs.get("claim_certificate_ids") or {})


def certificate_id_of(env: Environment, name: str) -> str:
    """The certificate of a claim, by what Terraform says it is. Raises FleetgateError if that does not know it."""
    return _one_of(certificate_ids(env), env, name)


def require_another(env: Environment, name: str) -> str:
    """The certificate of a claim that may be made inactive, since devices can come in by another one that is applied."""
    ids = certificate_ids(env)
    others = [known for known, claim in env.settings.claims.items() if claim.active and known != name]
    if not any(known in ids for known in others):
        what = f"is the only one that is applied: {', '.join(others)} is not, so no device could come in any more"
        remedy = f"first run: {applied.command(env)}; only if its key has leaked and nobody may come in until then: --now --force"
        raise fail(f"claim {name}", what, remedy)
    return _one_of(ids, env, name)


def _one_of(ids: Mapping[str, str], env: Environment, name: str) -> str:
    if name not in ids:
        raise fail(f"claim {name}", "has no certificate yet", f"run: {applied.command(env)}")
    return str(ids[name])


def _read(env: Environment) -> str:
    with (env.root / env.file).open(encoding="utf-8", newline="") as file:  # line ends stay as they are
        return file.read()
