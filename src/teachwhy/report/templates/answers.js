// The page of all answers: filters, orders and shows what the two data blocks hold. Words of a study or a model are
// put in as text alone, never as markup.
"use strict";

const ON_A_PAGE = 10; // questions
const CUT = 1200; // characters of a text that are shown at first
const MOST_MARKED = 2000; // places of the words searched for
const SLICE = 12; // milliseconds of reading ahead at a time, so that the page never stands still
const SIGNS = { right: "✓", wrong: "✕", between: "◐", unscored: "?" };

const byId = (id) => document.getElementById(id);
const index = JSON.parse(byId("index").textContent);
const unseen = new RegExp(`(${index.unseen})`, "u");
const lines = byId("texts").textContent.split("\n");
const entries = [...index.ids.keys()];
const attempts = [...index.attempts.keys()];
const form = byId("filters");
const searchable = []; // entry -> { asked, texts, said }, lower case; read ahead while the page is idle
let found = []; // [{ entry, hits, spread }], in the order shown
let first = 0; // place of the first one on screen

// Building the page

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A text isolated from the direction of what stands around it, with what is hidden made visible. */
function plain(text) {
  const pieces = text.split(unseen);
  return make("bdi", {}, ...pieces.map((piece, place) => (place % 2 ? make("span", { class: "unseen" }, codePoints(piece)) : piece)));
}

function codePoints(characters) {
  return [...characters].map((one) => `U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`).join(" ");
}

/** A text of any length: what is long is cut, with a button for the rest. */
function passage(text) {
  if (text.length <= 1.2 * CUT) return plain(text);
  const half = /[\ud800-\udbff]$/.test(text.slice(0, CUT)) ? 1 : 0;
  const box = make("span", {}, plain(text.slice(0, CUT - half)), "… ");
  const more = make("button", { type: "button", class: "more" }, `Show all ${text.length.toLocaleString("en")} characters`);
  more.addEventListener("click", () => {
    box.replaceChildren(plain(text));
    box.tabIndex = -1;
    box.focus();
    markWords();
  });
  box.append(more);
  return box;
}

function choice(name, label, values) {
  const known = [...new Set(values)].filter((value) => value !== null).sort();
  const select = make("select", { name, id: `choice-${name}` }, make("option", { value: "" }, "any"));
  select.append(...known.map((value) => make("option", { value }, plain(value).textContent)));
  return make("div", {}, make("label", { for: select.id }, label), select);
}

function buildForm() {
  byId("choices").append(
    ...index.fields.map(({ name, values }) => choice(name, name, values)),
    choice("state", "an answer is", index.outcomes.map(({ state }) => state)),
    choice("decision", "decision", index.outcomes.map(({ decision }) => decision)),
  );
  byId("arms").append(
    ...index.arms.map((arm) => {
      const box = make("input", { type: "checkbox", name: "arm", value: arm });
      box.defaultChecked = true;
      return make("label", {}, box, " ", make("code", {}, plain(arm)));
    }),
  );
}

// What is asked for

/** The filters as they stand in the form. */
function filters() {
  const values = new FormData(form);
  const arms = new Set(values.getAll("arm"));
  return {
    words: searchWords(values.get("words")),
    fields: index.fields.filter(({ name }) => values.get(name)).map((field) => ({ of: field.of, value: field.values.indexOf(values.get(field.name)) })),
    state: values.get("state"),
    decision: values.get("decision"),
    shown: attempts.filter((attempt) => arms.has(index.arms[index.attempts[attempt].arm])),
    disagree: values.has("disagree"),
    apart: values.get("order") === "apart",
  };
}

/** Lower-case words; what stands between quotes is one. */
function searchWords(query) {
  return [...query.toLowerCase().matchAll(/"([^"]+)"?|[^\s"]+/g)].map((match) => match[1] ?? match[0]);
}

/** The texts of an entry to search in. */
function reading(entry) {
  if (!searchable[entry]) {
    const { messages, texts, said } = JSON.parse(lines[entry]);
    const asked = [index.ids[entry], ...messages.map(([, text]) => text)].join("\n");
    searchable[entry] = { asked: asked.toLowerCase(), texts: texts.map((parts) => joined(parts).toLowerCase()), said };
  }
  return searchable[entry];
}

function joined(parts) {
  return parts.map(([, text]) => text).join("\n");
}

/** Reads ahead in slices, so that the first search finds everything read. */
function readAhead(entry = 0) {
  const until = performance.now() + SLICE;
  while (entry < entries.length && performance.now() < until) reading(entry++);
  if (entry < entries.length) setTimeout(readAhead, 0, entry);
  else document.documentElement.dataset.read = "all";
}

/** The attempts of an entry that fit all filters; none where the entry does not. */
function hits(entry, ask) {
  if (!ask.fields.every(({ of, value }) => of[entry] === value)) return [];
  const fitting = ask.shown.filter((attempt) => fits(index.outcomes[index.cells[entry][attempt]], ask));
  if (!ask.words.length || !fitting.length) return fitting;
  const { asked, texts, said } = reading(entry);
  const holds = (text) => ask.words.every((word) => text.includes(word));
  if (holds(asked)) return fitting;
  const holding = texts.map(holds);
  return fitting.filter((attempt) => holding[said[attempt]]);
}

function fits(outcome, ask) {
  return outcome && (!ask.state || outcome.state === ask.state) && (!ask.decision || outcome.decision === ask.decision);
}

/** How far the shown arms are apart on each entry; reckoned anew only where other arms are shown. */
function spreads(shown) {
  if (spreads.of !== shown.join()) {
    spreads.of = shown.join();
    spreads.found = entries.map((entry) => spread(entry, shown));
  }
  return spreads.found;
}

/** The range of the shown arms' means over their seeds; they disagree where it holds one half within. */
function spread(entry, shown) {
  const sums = new Map();
  for (const attempt of shown) {
    const value = index.outcomes[index.cells[entry][attempt]]?.value;
    if (value === undefined || value === null) continue;
    const sum = sums.get(index.attempts[attempt].arm) ?? [0, 0];
    sums.set(index.attempts[attempt].arm, [sum[0] + value, sum[1] + 1]);
  }
  const means = [...sums.values()].map(([total, count]) => total / count);
  const low = Math.min(...means), high = Math.max(...means);
  return { apart: means.length ? high - low : -1, disagree: low < 0.5 && high > 0.5 };
}

function search() {
  const ask = filters();
  const apart = spreads(ask.shown);
  found = entries
    .map((entry) => ({ entry, hits: hits(entry, ask), ...apart[entry] }))
    .filter(({ hits }) => hits.length);
  const disagreeing = found.filter(({ disagree }) => disagree).length;
  if (ask.disagree) found = found.filter(({ disagree }) => disagree);
  if (ask.apart) found.sort((a, b) => b.disagree - a.disagree || b.apart - a.apart || a.entry - b.entry);
  first = 0;
  show();
  byId("status").textContent = `${number(found.length)} of ${number(entries.length)} fit. The arms shown disagree on ${number(disagreeing)}.`;
}

function number(value) {
  return value.toLocaleString("en");
}

// Showing one page

function show() {
  const { shown } = filters();
  const page = found.slice(first, first + ON_A_PAGE);
  byId("list").replaceChildren(...page.map((one) => question(one, shown)));
  byId("range").textContent = page.length ? `${number(first + 1)} to ${number(first + page.length)} of ${number(found.length)}` : "None";
  byId("back").disabled = first === 0;
  byId("on").disabled = first + ON_A_PAGE >= found.length;
  byId("pages").hidden = found.length <= ON_A_PAGE;
  markWords();
}

function turn(step) {
  first += step * ON_A_PAGE;
  show();
  byId("questions").focus();
}

/** One entry: what was asked, what can be done, and what each arm said. */
function question({ entry, hits, disagree }, shown) {
  const line = JSON.parse(lines[entry]);
  const labels = index.fields.map(({ values, of }) => values[of[entry]]).filter((value) => value !== "none");
  const arms = index.arms
    .map((arm, place) => ({ arm, own: shown.filter((one) => index.attempts[one].arm === place && index.cells[entry][one] >= 0) }))
    .filter(({ own }) => own.length);
  return make(
    "article",
    { class: "question", "aria-labelledby": `question-${entry}` },
    make("h3", { id: `question-${entry}` }, plain(index.ids[entry])),
    make("p", { class: "small" }, plain(labels.join(", ")), disagree ? make("span", { class: "badge apart" }, "arms disagree") : ""),
    conversation(line.messages),
    system(index.systems[line.system]),
    options(line.options),
    make("div", { class: "answers" }, ...arms.map(({ arm, own }) => card(entry, line, arm, own, hits))),
  );
}

function conversation(messages) {
  const told = messages.length > 1 || messages[0][0] !== "user";
  return make(
    "blockquote",
    {},
    ...messages.map(([role, text]) => make("p", {}, told ? make("span", { class: "part-label" }, `${role} `) : "", passage(text))),
  );
}

function system(text) {
  return text ? make("details", { class: "small" }, make("summary", {}, "system prompt"), make("p", {}, passage(text))) : "";
}

function options(known) {
  const shown = known.map(([decision, text, marks]) =>
    make("li", {}, make("code", {}, plain(decision)), ": ", passage(text), ...marks.map((mark) => make("span", { class: "badge" }, plain(mark)))),
  );
  return shown.length ? make("ul", { class: "options" }, ...shown) : "";
}

/** What one arm said: one of its attempts, and a choice among them. The first that fits the filters is shown. */
function card(entry, line, arm, own, hits) {
  const body = make("div");
  const chosen = own.find((attempt) => hits.includes(attempt)) ?? own[0];
  body.append(...answer(entry, line, chosen));
  const head = make("h4", {}, make("code", {}, plain(arm)));
  if (own.length === 1) head.append(" ", make("span", { class: "part-label" }, index.attempts[chosen].label));
  return make("section", { class: "answer" }, head, own.length > 1 ? seeds(entry, arm, own, chosen, (attempt) => {
    body.replaceChildren(...answer(entry, line, attempt));
    markWords();
  }) : "", body);
}

/** Radio buttons, one an attempt, each with how its answer was scored. */
function seeds(entry, arm, own, chosen, pick) {
  const name = `seed-${entry}-${index.attempts[chosen].arm}`;
  const buttons = own.map((attempt) => {
    const { label } = index.attempts[attempt];
    const { state, decision } = outcomeOf(entry, attempt);
    const sign = SIGNS[state] ?? (decision === null ? "–" : plain(decision.slice(0, 12)));
    const button = make("input", { type: "radio", name, value: attempt, "aria-label": `${label}: ${[state, decision ?? ""].join(" ").trim()}` });
    button.checked = attempt === chosen;
    return make("label", { title: `${label}: ${state}` }, button, make("span", { "aria-hidden": "true" }, `${label.replace("seed ", "")} `, sign));
  });
  const group = make("div", { class: "seeds", role: "radiogroup", "aria-label": `Seeds of ${arm}` }, ...buttons);
  group.addEventListener("change", (event) => pick(Number(event.target.value)));
  return group;
}

function outcomeOf(entry, attempt) {
  return index.outcomes[index.cells[entry][attempt]];
}

/** One answer: its parts told apart, and how it was scored. */
function answer(entry, line, attempt) {
  const outcome = outcomeOf(entry, attempt);
  const parts = line.texts[line.said[attempt]].map(([kind, text]) =>
    make(
      "p",
      { class: "said" },
      kind === "other" ? "" : make("span", { class: "part-label" }, kind),
      make("span", { class: `part-${kind}` }, passage(text)),
    ),
  );
  const asked = line.asked?.[attempt];
  return [
    ...(asked ? [make("details", { class: "small" }, make("summary", {}, "asked in other words"), conversation(asked))] : []),
    ...(parts.length ? parts : [make("p", { class: "muted" }, "(no words)")]),
    verdict(outcome, line.options),
  ];
}

function verdict(outcome, known) {
  const { state, label, decision, choice: chosen } = outcome;
  const why = known.find(([name]) => name === decision)?.[2] ?? [];
  const decided = decision === null ? [] : [make("span", { class: "badge" }, plain(why.length ? `${decision}: ${why.join(", ")}` : decision))];
  const badge = make("span", { class: `badge ${state.replaceAll(" ", "-")}` }, `${SIGNS[state] ?? ""} `, plain(label));
  const all = chosen === null ? outcome.scores : [`by choice: ${chosen}`, ...outcome.scores];
  const scores = make("details", { class: "small" }, make("summary", {}, "scores"), make("ul", {}, ...all.map((score) => make("li", {}, plain(score)))));
  return make("div", { class: "verdict-line" }, badge, ...decided, all.length ? scores : "");
}

/** The words searched for, marked where they are on screen, without touching the page's own tree. */
function markWords() {
  if (!CSS.highlights) return;
  CSS.highlights.delete("words");
  const words = searchWords(form.elements.words.value).map((word) => word.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&"));
  if (!words.length) return;
  const pattern = new RegExp(words.join("|"), "giu");
  const ranges = [];
  for (const box of byId("list").querySelectorAll("h3, blockquote, .said bdi")) {
    const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    while (ranges.length < MOST_MARKED && texts.nextNode()) {
      for (const match of texts.currentNode.data.matchAll(pattern)) {
        const range = new Range();
        range.setStart(texts.currentNode, match.index);
        range.setEnd(texts.currentNode, match.index + match[0].length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("words", new Highlight(...ranges));
}

// The filters also stand in the page's address, so that a view can be sent or linked to.

function remember() {
  const state = new URLSearchParams();
  for (const control of form.elements) {
    if (control.type === "checkbox" && control.checked !== control.defaultChecked) state.append(control.checked ? control.name : `no-${control.name}`, control.value);
    if (control.type === "search" || control.type === "select-one") if (control.value && control.value !== control.options?.[0].value) state.append(control.name, control.value);
  }
  history.replaceState(null, "", `#${state}`);
}

function recall() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const control of form.elements) {
    if (control.type === "checkbox") control.checked = control.defaultChecked ? !state.getAll(`no-${control.name}`).includes(control.value) : state.has(control.name);
    else if (state.has(control.name)) control.value = state.get(control.name);
  }
}

function start() {
  buildForm();
  recall();
  form.hidden = byId("found").hidden = false;
  search();
  const again = () => {
    search();
    remember();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", again);
  form.addEventListener("reset", () => setTimeout(again));
  window.addEventListener("hashchange", () => location.reload());
  byId("back").addEventListener("click", () => turn(-1));
  byId("on").addEventListener("click", () => turn(1));
  setTimeout(readAhead, 0);
}

start();
