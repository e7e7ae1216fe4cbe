// The caption: its words with their heat maps, what is known of it in figures, and the field that changes it.

import { byId, figure, make, remarks } from "./dom.js";
import { cssColor, extent } from "./scale.js";

const COLORS = ["red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan", "black", "white"];
const MOST_SWAPS = 4;

/** Show a caption and its figures. `own` is the generated caption's explanation, null where there is none. */
export function showCaption(explanation, own, maps, restore) {
  const isOwn = own === explanation;
  byId("caption-title").textContent = isOwn || own === null ? "Caption" : "Your caption";
  const back = make("button", { type: "button", className: "link", textContent: "Back to the generated caption" });
  back.addEventListener("click", restore);
  const words = make("p", { className: "caption", dir: "auto" }, wordsOf(explanation, maps));
  const line = make("div", { className: "facts-line" }, figuresOf(explanation), isOwn || own === null ? null : back);
  byId("caption-body").replaceChildren(words, mapsOf(explanation, maps), line, ...remarks(explanation.notices));
}

/** Show lines in the place of a caption that is not there yet. */
export function showCaptionLoading() {
  byId("caption-title").textContent = "Caption";
  const lines = [make("span"), make("span")];
  byId("caption-body").replaceChildren(make("p", { className: "caption skeleton", ariaHidden: "true" }, lines));
}

function wordsOf({ caption, words, scale }, maps) {
  const pieces = [];
  let end = 0;
  for (const word of words) {
    pieces.push(caption.slice(end, word.start));
    pieces.push(wordButton(word, scale, maps));
    end = word.end;
  }
  return [...pieces, caption.slice(end)];
}

function wordButton(word, scale, maps) {
  const mark = make("span", { className: "mark" });
  mark.style.backgroundColor = cssColor(extent(word.scores)[1], scale);
  const button = make("button", { type: "button", className: "word" }, word.text, mark);
  const title = `\u201c${word.text}\u201d`;
  maps.attach(button, { scores: word.scores, title, logLikelihood: word.log_likelihood });
  return button;
}

function mapsOf({ noun_phrases, patch_scores, image_scores }, maps) {
  const chip = (text, map) => {
    const button = make("button", { type: "button", className: "chip", textContent: text });
    maps.attach(button, map);
    return button;
  };
  const whole = chip("Whole caption", { scores: patch_scores, title: "Whole caption" });
  const phrases = (noun_phrases ?? []).map(({ text, scores }) => chip(text, { scores, title: `\u201c${text}\u201d` }));
  const baseline = chip("Without caption", { scores: image_scores, title: "Without caption", isBaseline: true });
  const group = make("div", { className: "chips" }, whole, phrases, baseline);
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Heat maps");
  return group;
}

function figuresOf({ cosine, log_likelihood }) {
  const pairs = [["cosine with the image", figure(cosine)]];
  if ((log_likelihood ?? null) !== null) pairs.push(["log-likelihood", figure(log_likelihood)]);
  return make(
    "dl",
    { className: "figures" },
    pairs.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))),
  );
}

/** Offer changes of one color in a caption; `change` is called with the changed caption. */
export function showSwaps(caption, change) {
  const found = caption.split(/(\W+)/).filter((word) => COLORS.includes(word));
  const swaps = [...new Set(found)].flatMap((word) => othersThan(word, found).map((other) => [word, other]));
  const buttons = swaps.slice(0, MOST_SWAPS).map(([word, other]) => {
    const text = `${word} \u2192 ${other}`;
    const button = make("button", { type: "button", className: "chip", textContent: text });
    button.setAttribute("aria-label", `Change ${word} to ${other}`);
    button.addEventListener("click", () => change(caption.replace(new RegExp(`\\b${word}\\b`), other)));
    return button;
  });
  const box = byId("swaps");
  box.hidden = buttons.length === 0;
  box.replaceChildren(make("span", { className: "hint", textContent: "Try" }), ...buttons);
}

function othersThan(word, present) {
  return COLORS.filter((color) => color !== word && !present.includes(color)).slice(0, 2);
}
