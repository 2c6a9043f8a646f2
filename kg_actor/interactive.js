"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const graph = byId("graph"), picture = graph.querySelector("svg"), panel = byId("record");
  // Nodes of the picture are called graph-n1, edges graph-n1-n2, their labels graph-n1-n2-label.
  const marks = [...picture.querySelectorAll('[id^="graph-n"]')];
  const ends = new Map(marks.map((mark) => [mark, mark.id.match(/n\d+/g)]));
  const isNode = (mark) => ends.get(mark).length === 1;
  const markAt = (event) => event.target.closest('[id^="graph-n"]');

  byId("scriptless").hidden = true;
  byId("tables").open = false;
  for (const part of document.querySelectorAll(".tools, aside")) part.hidden = false;

  // The picture is panned by scrolling, so touch, wheel and arrow keys need no help.
  const { width, height } = picture.viewBox.baseVal, pixels = 100 / 72;
  let scale = 1;
  function zoom(wanted) {
    const x = (graph.scrollLeft + graph.clientWidth / 2) / graph.scrollWidth;
    const y = (graph.scrollTop + graph.clientHeight / 2) / graph.scrollHeight;
    scale = Math.min(Math.max(wanted, 0.2), 4);
    picture.style.width = `${width * pixels * scale}px`;
    graph.scrollLeft = x * graph.scrollWidth - graph.clientWidth / 2;
    graph.scrollTop = y * graph.scrollHeight - graph.clientHeight / 2;
  }
  const closer = () => zoom(scale * 1.3), farther = () => zoom(scale / 1.3);
  const fit = () => zoom(Math.min(graph.clientWidth / width, graph.clientHeight / height) / pixels);
  // At first all of its width if that can be read, and otherwise as much as can.
  zoom(Math.min(Math.max(graph.clientWidth / width / pixels, 0.95), 1.2));
  graph.scrollTop = graph.className ? (graph.scrollHeight - graph.clientHeight) / 2 : 0;

  // A record is shown as a copy of the one among the tables, which was escaped when it was written.
  const empty = [...panel.childNodes];
  let chosen = null;
  function choose(id) {
    chosen = id;
    panel.replaceChildren(...(id ? byId(id).cloneNode(true).childNodes : empty));
    panel.scrollTop = 0;
    for (const mark of marks) mark.classList.toggle("chosen", mark.id === `graph-${id}`);
    for (const button of document.querySelectorAll("#results button")) {
      button.setAttribute("aria-current", String(button.dataset.node === id));
    }
    byId(`graph-${id}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // What is pointed at stands out with its neighbours, and is told in words.
  function point(mark) {
    const own = mark ? ends.get(mark).join() : null;
    const touched = new Set(marks.filter((other) => own && (
      isNode(mark) ? ends.get(other).includes(own) : ends.get(other).join() === own)));
    const near = new Set([...touched].flatMap((other) => ends.get(other)));
    for (const other of marks) {
      const stays = touched.has(other) || (isNode(other) && near.has(ends.get(other)[0]));
      other.classList.toggle("aside", Boolean(mark) && !stays);
    }
    byId("said").textContent = mark ? mark.querySelector("title").textContent : "";
  }
  function press(event) {
    const mark = markAt(event);
    point(mark);
    if (mark && isNode(mark)) choose(ends.get(mark)[0]);
  }
  for (const node of marks.filter(isNode)) {
    node.setAttribute("tabindex", "0");
    node.setAttribute("role", "button");
  }
  graph.addEventListener("click", press);
  for (const kind of ["pointerover", "focusin"]) graph.addEventListener(kind, (event) => point(markAt(event)));
  graph.addEventListener("pointerleave", () => point(null));
  graph.addEventListener("pointermove", (event) => {
    if (event.buttons === 1 && event.pointerType === "mouse") graph.scrollBy(-event.movementX, -event.movementY);
  });
  const keys = { "+": closer, "-": farther, 0: fit, Enter: press, " ": press, Escape: () => choose(null) };
  graph.addEventListener("keydown", (event) => {
    if (!Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key](event);
  });
  for (const [id, act] of Object.entries({ closer, farther, fit })) byId(id).addEventListener("click", act);

  const nodes = [...document.querySelectorAll("article")].map((article) => {
    const [title, kind] = ["h2", "p"].map((tag) => article.querySelector(tag).textContent);
    return { id: article.id, title, kind, text: `${kind} ${title}`.toLowerCase() };
  });
  const listed = 30;
  function search() {
    const wanted = byId("search").value.trim().toLowerCase();
    const exact = (node) => [wanted, `signature ${wanted}`].includes(node.title.toLowerCase());
    const met = nodes.filter((node) => node.text.includes(wanted)).sort((a, b) => exact(b) - exact(a));
    byId("found").textContent = `${met.length} of ${nodes.length} nodes${met.length > listed ? `, the first ${listed}:` : ""}`;
    byId("results").replaceChildren(...met.slice(0, listed).map((node) => {
      const [item, button, kind] = ["li", "button", "span"].map((tag) => document.createElement(tag));
      button.dataset.node = node.id;
      kind.className = "soft";
      kind.textContent = node.kind + (byId(`graph-${node.id}`) ? "" : ", not drawn");
      button.append(kind, node.title);
      button.setAttribute("aria-current", String(node.id === chosen));
      button.addEventListener("click", () => choose(node.id));
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
  panel.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link) return;
    event.preventDefault();
    choose(link.hash.slice(1));
    panel.focus();
  });
  search();
})();
