"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const elements = JSON.parse(byId("elements").textContent);
  const kinds = { type: "traffic type", action: "mitigation action", signature: "signature" };
  const fill = { type: "#f4e36b", action: "#bfe6d9", signature: "#eecbdf" };
  const border = { type: "#8a7a00", action: "#00795a", signature: "#a34c80" };
  const shape = { type: "ellipse", action: "round-rectangle", signature: "hexagon" };

  // A canvas knows no CSS, so the page's colours are handed over, again whenever they change.
  function look() {
    const page = getComputedStyle(document.documentElement);
    const colour = (name) => page.getPropertyValue(name).trim();
    const paper = { "text-background-color": colour("--paper"), "text-background-opacity": 0.88 };
    return [
      { selector: "node", style: {
        shape: (n) => shape[n.data("kind")], width: "data(width)", height: "data(height)",
        "background-color": (n) => fill[n.data("kind")], "border-color": (n) => border[n.data("kind")],
        "border-width": 1.5, label: "data(label)", color: "#15181c", "font-size": 12,
        "font-family": "system-ui, sans-serif", "text-valign": "center", "text-halign": "center", "text-wrap": "wrap",
        "line-height": 1.15 } },
      { selector: "edge", style: {
        width: "data(width)", "line-color": "data(colour)", "target-arrow-color": "data(colour)",
        "target-arrow-shape": "triangle", "arrow-scale": 0.9, "curve-style": "unbundled-bezier",
        "control-point-distances": "data(bend)", "control-point-weights": 0.5, "font-size": 11,
        "font-family": "system-ui, sans-serif", color: colour("--ink"), "text-wrap": "wrap",
        "text-background-padding": 2, ...paper } },
      { selector: "edge[kind != 'earned'], edge[!port]", style: { label: "data(label)" } },
      { selector: "edge[?port]", style: {
        "curve-style": "straight", "target-endpoint": "-50% 0%", "target-label": "data(label)",
        "target-text-offset": "data(offset)" } },
      { selector: "edge[kind = 'confused']", style: { "line-style": "dashed" } },
      { selector: "edge[?taught]", style: { "line-style": "dashed", "line-dash-pattern": [2, 3] } },
      { selector: "node[?faded]", style: {
        "background-opacity": 0.25, "border-opacity": 0.4, color: colour("--ink"), "text-opacity": 0.75 } },
      { selector: "edge[?faded]", style: { opacity: 0.45 } },
      { selector: "edge.near", style: { "font-size": 17, "z-index-compare": "manual", "z-index": 9 } },
      { selector: ".aside", style: { opacity: 0.13 } },
      { selector: "node.found, node:selected", style: { "border-width": 4, "border-color": colour("--mark") } },
    ];
  }

  byId("explorer").hidden = false;
  byId("scriptless").hidden = true;
  byId("tables").open = false;
  const cy = cytoscape({
    container: byId("graph"),
    elements: {
      nodes: elements.nodes.map((data) => ({ data, position: { x: data.x, y: data.y } })),
      edges: elements.edges.map((data) => ({ data })),
    },
    style: look(),
    layout: { name: "preset", padding: 16 },
    minZoom: 0.1, maxZoom: 5, boxSelectionEnabled: false, selectionType: "single",
  });
  window.graph = cy;
  const fit = () => cy.fit(cy.elements(), 16);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cy.style(look()));

  // A record is shown as a copy of the one among the tables, which was escaped when it was written.
  const empty = [...byId("record").childNodes];
  function show(id) {
    const record = id && byId(id);
    byId("record").replaceChildren(...(record ? record.cloneNode(true).childNodes : empty));
    byId("record").scrollTop = 0;
    for (const button of document.querySelectorAll("#results button")) {
      button.setAttribute("aria-current", String(button.dataset.node === id));
    }
  }
  function choose(id) {
    cy.nodes().unselect();
    const node = cy.getElementById(id);
    node.select();
    const at = node.renderedPosition();
    if (at.x < 0 || at.y < 0 || at.x > cy.width() || at.y > cy.height()) cy.center(node);
  }
  // Labels near the pointer, or else near the selection, come to the front, large enough to read.
  function bringForward(element) {
    cy.edges().removeClass("near");
    const target = cy.collection().union(element || cy.nodes(":selected"));
    target.edges().union(target.nodes().connectedEdges()).addClass("near");
  }
  cy.on("select unselect", "node", () => {
    const selected = cy.nodes(":selected");
    show(selected.nonempty() ? selected.id() : null);
    bringForward(null);
  });

  function say(element) {
    const data = element.data();
    const name = (node) => node.data("name");
    byId("said").textContent = element.isNode()
      ? `${kinds[data.kind]} ${data.name}`
      : `${name(element.source())} → ${name(element.target())}: ${data.said}`;
  }
  cy.on("mouseover", "node, edge", (event) => {
    const element = event.target;
    const near = element.isNode() ? element.closedNeighborhood() : element.union(element.connectedNodes());
    cy.elements().not(near).addClass("aside");
    bringForward(element);
    say(element);
  });
  cy.on("mouseout", "node, edge", () => {
    cy.elements().removeClass("aside");
    bringForward(null);
    byId("said").textContent = "";
  });

  function search() {
    const wanted = byId("search").value.trim().toLowerCase();
    const met = Object.keys(kinds).flatMap((kind) => elements.nodes.filter(
      (n) => n.kind === kind && `${kinds[kind]} ${n.name}`.toLowerCase().includes(wanted)));
    cy.nodes().removeClass("found");
    if (wanted) for (const node of met) cy.getElementById(node.id).addClass("found");
    byId("found").textContent = `${met.length} of ${elements.nodes.length} nodes`;
    byId("results").replaceChildren(...met.map((node) => {
      const [item, button, kind] = ["li", "button", "span"].map((tag) => document.createElement(tag));
      button.type = "button";
      button.dataset.node = node.id;
      kind.className = "kind";
      kind.textContent = kinds[node.kind];
      button.append(kind, node.name);
      button.setAttribute("aria-current", String(cy.getElementById(node.id).selected()));
      item.append(button);
      return item;
    }));
    return met;
  }
  byId("search").addEventListener("input", search);
  byId("search").addEventListener("keydown", (event) => {
    const [first] = event.key === "Enter" ? search() : [];
    if (first) choose(first.id);
  });
  byId("results").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose(button.dataset.node);
  });
  byId("record").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-node]");
    if (!link) return;
    event.preventDefault();
    choose(link.dataset.node);
    byId("record").focus();
  });

  const zoom = (factor) => cy.zoom({
    level: cy.zoom() * factor, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 },
  });
  byId("closer").addEventListener("click", () => zoom(1.3));
  byId("farther").addEventListener("click", () => zoom(1 / 1.3));
  byId("fit").addEventListener("click", fit);
  const keys = {
    ArrowLeft: () => cy.panBy({ x: 60, y: 0 }), ArrowRight: () => cy.panBy({ x: -60, y: 0 }),
    ArrowUp: () => cy.panBy({ x: 0, y: 60 }), ArrowDown: () => cy.panBy({ x: 0, y: -60 }),
    "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: fit,
    Escape: () => cy.nodes().unselect(),
  };
  byId("graph").addEventListener("keydown", (event) => {
    if (!Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });

  search();
  fit();
})();
