"""The isolation report as one HTML file: nothing is fetched, it works from a disk and from a build server's artefacts.

The matrix itself is plain HTML and legible without scripts; the script shows what is behind a cell. All data of the report stands
in one JSON element, and gets into the page as text only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from importlib import resources

from fleetgate import isolation_output
from fleetgate.iot_policy.grants import Scope
from fleetgate.iot_policy.isolation import Member, Report

_SIGNS = {"reached": "!", "undecided": "?", "missing": "\u00d7", "flow": "→", "refused": "○", "isolated": "·"}


_CODE = re.compile("`([^`]*)`")


def page(report: Report, members: Sequence[Member], scopes: Sequence[Scope]) -> str:
    """The whole page."""
    data = isolation_output.as_json(report, members, scopes)
    # A `<` in a JSON string would end the element it stands in.
    embedded = json.dumps(data, sort_keys=True, ensure_ascii=False).replace("<", "\\u003c")
    folder = resources.files("fleetgate")
    parts = {
        "STYLE": (folder / "isolation_page.css").read_text(encoding="utf-8"),
        "SCRIPT": (folder / "isolation_page.js").read_text(encoding="utf-8"),
        "STATE": "isolated" if report.isolated else "open",
        "TITLE": "Not isolated" if isolation_output.is_reached(report) else "Isolated" if report.isolated else "Not as declared",
        "SUMMARY": _CODE.sub(r"<code>\1</code>", escape(_sentence(report, members))),
        "WHERE": escape(", ".join(f"account {one.account} in {one.region}" for one in scopes)),
        "TILES": _tiles(report),
        "MATRIX": _matrix(report),
        "LEGEND": _legend(report),
        "GAPS": _gaps(report),
        "DATA": embedded,
    }
    html = (folder / "isolation_page.html").read_text(encoding="utf-8")
    # One pass, so that what stands in a policy is never taken for a part of the page.
    head, *rest = html.split("@@")
    return head + "".join(parts[piece] if index % 2 == 0 else piece for index, piece in enumerate(rest))


def _sentence(report: Report, members: Sequence[Member]) -> str:
    sentence = isolation_output.summary(report).partition(": ")[2]
    premises = isolation_output.premises(report, members)
    hangs = "".join(f" Hangs on {turn}." for turn in report.hangs_on)
    return f"{sentence[:1].upper()}{sentence[1:]}. {premises[:1].upper()}{premises[1:]}.{hangs}"


def _tiles(report: Report) -> str:
    found = list(isolation_output.cells(report).values())
    counted = [
        ("pairs of types", len(found), ""),
        ("proven", sum(one in ("isolated", "refused", "flow") for one in found), "isolated"),
        ("of them declared flows", len(report.flows), "flow"),
        ("reached", sum(one == "reached" for one in found), "reached"),
        ("undecided", sum(one == "undecided" for one in found), "undecided"),
        ("declared, not working", len(report.gaps), "missing"),
    ]
    return "".join(f'<li class="{kind}"><b>{number}</b> {words}</li>' for words, number, kind in counted if number or not kind)


def _matrix(report: Report) -> str:
    found = isolation_output.cells(report)
    size = "tiny" if len(report.victims) > 40 else "small" if len(report.victims) > 14 else "large"
    rows = [f'<table class="matrix {size}"><thead><tr><td class="corner"><span>can</span><span>reach</span></td>']
    rows += (f'<th scope="col"><span>{escape(victim)}</span></th>' for victim in report.victims)
    rows.append("</tr></thead><tbody>")
    for attacker in report.members:
        rows.append(f'<tr><th scope="row">{escape(attacker)}</th>')
        for victim in report.victims:
            verdict = found[attacker, victim]
            same = " same" if attacker == victim else ""
            label = escape(f"{attacker} to {victim}: {verdict}", quote=True)
            rows.append(
                f'<td><button type="button" class="{verdict}{same}" aria-label="{label}" data-from="{escape(attacker)}" '
                f'data-to="{escape(victim)}">{_SIGNS[verdict]}</button></td>'
            )
        rows.append("</tr>")
    rows.append("</tbody></table>")
    return "".join(rows)


def _legend(report: Report) -> str:
    used = {*isolation_output.cells(report).values(), "isolated"}
    return "".join(
        f'<li><i class="{name}">{_SIGNS[name]}</i> {escape(words)}</li>'
        for name, (_, words) in isolation_output.CELLS.items()
        if name in used
    )


def _gaps(report: Report) -> str:
    if not report.gaps:
        return ""
    items = "".join(f"<li><b>{gap.rule}</b> {escape(gap.message)} <code>{escape(gap.text)}</code></li>" for gap in report.gaps)
    return f'<section class="gaps"><h2>Declared, and not working</h2><ul>{items}</ul></section>'
