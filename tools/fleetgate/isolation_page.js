"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const detail = document.getElementById("detail");
  const pairs = new Map(report.pairs.map((pair) => [JSON.stringify([pair.attacker, pair.victim]), pair]));
  const flows = new Set(report.flows.map((flow) => JSON.stringify([flow.from, flow.to])));
  const words = {
    reached: "reached", undecided: "undecided", missing: "declared, not granted", flow: "declared flow", refused: "nothing delivered",
    isolated: "isolated",
  };
  let pinned = null;

  /** An element with text or elements in it; never markup, since policies hold other people's text. */
  function element(tag, content, name) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    for (const part of [content].flat()) made.append(part ?? "");
    return made;
  }

  function entry(list, term, value) {
    if (value) list.append(element("dt", term), element("dd", element("code", value)));
  }

  function finding(found) {
    const box = element("div", element("h3", `${found.rule} ${found.way}: ${found.message}`), `found ${found.verdict}`);
    const list = element("dl", []);
    entry(list, "action", found.action);
    entry(list, found.way === "connect" ? "client id" : "witness", found.witness);
    entry(list, "filter", found.filter);
    entry(list, "names", found.names.filter(Boolean).join(" and "));
    box.append(list);
    for (const check of found.checks) {
      const facts = element("dl", []);
      const who = check.thing || "the claim";
      const extra = Object.entries(check.with).map(([key, value]) => `${key}=${value}`);
      const under = check.client_id !== check.thing && check.protocol === "mqtt" ? [`client ${check.client_id}`] : [];
      entry(facts, "who", [who, ...under, ...extra, check.protocol === "https" ? "over HTTPS" : ""].filter(Boolean).join(", "));
      entry(facts, "asks", `${check.action} ${check.resource.split(":").slice(5).join(":")}`);
      entry(facts, check.decision, check.statements.join(", "));
      box.append(facts);
    }
    return box;
  }

  function show(button) {
    const key = JSON.stringify([button.dataset.from, button.dataset.to]);
    const pair = pairs.get(key);
    const title = element("h2", `${pair.attacker} → ${pair.victim}`);
    title.append(element("small", `${words[pair.verdict]}${pair.attacker === pair.victim ? ": two devices of one type" : ""}`));
    const ways = new Map(pair.found.map((found) => [found.way, found.verdict]));
    const list = element("ul", [], "ways");
    for (const way of report.ways) {
      const verdict = ways.get(way);
      const row = element("li", element("b", way), "");
      const declared = !verdict && way === "publish" && flows.has(key);
      const silent = !verdict && way === "subscribe" && ways.has("receive");
      const text = verdict ? words[verdict] : declared ? "only as declared: no other topic, proven" : silent ? "see receive" : "impossible, proven";
      row.append(element("span", text, silent ? "see" : verdict && verdict !== "refused" ? verdict : "no"));
      list.append(row);
    }
    const gaps = report.gaps.filter((gap) => gap.to === pair.victim && gap.type === pair.attacker);
    detail.replaceChildren(title, ...gaps.map((gap) => element("p", gap.message)), ...pair.found.map(finding), list);
    for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
    const cell = button.parentElement;
    cell.parentElement.querySelector("th").classList.add("lit");
    document.querySelectorAll(".matrix thead th")[cell.cellIndex - 1].classList.add("lit");
  }

  function pin(button) {
    if (pinned) pinned.removeAttribute("aria-pressed");
    pinned = button;
    button.setAttribute("aria-pressed", "true");
    show(button);
  }

  const matrix = document.querySelector(".matrix");
  matrix.addEventListener("click", (event) => event.target.closest("button") && pin(event.target.closest("button")));
  matrix.addEventListener("pointerover", (event) => {
    const button = event.target.closest("button");
    if (button && !pinned) show(button);
  });
  matrix.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td");
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!cell || !step) return;
    const row = cell.closest("tbody").rows[cell.parentElement.sectionRowIndex + step[0]];
    const next = row && row.cells[cell.cellIndex + step[1]];
    if (next && next.querySelector("button")) {
      event.preventDefault();
      next.querySelector("button").focus();
    }
  });
  const worst = ["reached", "undecided", "missing"].map((kind) => document.querySelector(`.matrix .${kind}`)).find(Boolean);
  if (worst) pin(worst);
})();
