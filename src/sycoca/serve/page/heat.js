// Heat maps over the photo: which one is shown, its color bar, and what it says in words.

import { byId, figure, make } from "./dom.js";
import { color, extent, gradient } from "./scale.js";

const TOUCHED = "is-touched";

/** The heat maps of one explanation. A map is {scores, title, isBaseline, logLikelihood}; the pinned one stays, a hovered one passes. */
export class HeatMaps {
  #explanation = null;
  #pinned = null;
  #hovered = null;
  #buttons = []; // [button, map] of the explanation

  constructor() {
    byId("bar").style.backgroundImage = gradient();
    byId("legend").hidden = false;
    byId("frame").addEventListener("pointermove", (event) => this.#pointAt(event));
    byId("frame").addEventListener("pointerleave", () => this.#show());
  }

  /** Take an explanation's scale and picture; null takes everything away. */
  load(explanation) {
    this.#explanation = explanation;
    this.#pinned = this.#hovered = null;
    this.#buttons = [];
    if (explanation !== null) byId("legend").hidden = false;
    byId("legend").classList.toggle("is-waiting", explanation === null);
    if (explanation !== null) {
      [byId("low").textContent, byId("high").textContent] = explanation.scale.map((end) => figure(end));
      byId("seen").src = explanation.image_png;
    }
    this.#show();
  }

  /** Make a button show a map: while the pointer or the keyboard is on it, and for good once it is pressed. */
  attach(button, map) {
    button.setAttribute("aria-pressed", "false");
    this.#buttons.push([button, map]);
    const hover = (target) => () => {
      this.#hovered = target;
      this.#show();
    };
    button.addEventListener("pointerenter", hover(map));
    button.addEventListener("focus", hover(map));
    button.addEventListener("pointerleave", hover(null));
    button.addEventListener("blur", hover(null));
    button.addEventListener("click", () => {
      this.#pinned = this.#pinned === map ? null : map;
      if (this.#pinned === null) this.#hovered = null;
      this.#show();
    });
  }

  #show() {
    const shown = this.#hovered ?? this.#pinned;
    const isShown = shown !== null && this.#explanation !== null;
    byId("frame").classList.toggle("has-map", isShown);
    byId("map").hidden = byId("seen").hidden = !isShown;
    byId("range").hidden = !isShown;
    if (isShown) this.#draw(shown.scores);
    this.#say(...(isShown ? this.#lines(shown) : ["", "Point at a word, tap it, or reach it with the Tab key."]));
    for (const [button, map] of this.#buttons) {
      button.setAttribute("aria-pressed", String(map === this.#pinned));
      button.classList.toggle(TOUCHED, map === shown);
    }
  }

  #draw(scores) {
    const { scale } = this.#explanation;
    const canvas = byId("map");
    [canvas.height, canvas.width] = [scores.length, scores[0].length];
    const picture = new ImageData(canvas.width, canvas.height);
    scores.flat().forEach((score, at) => picture.data.set([...color(score, scale), 255], 4 * at));
    canvas.getContext("2d").putImageData(picture, 0, 0);
    const percent = (score) => (100 * (score - scale[0])) / (scale[1] - scale[0] || 1);
    const [low, high] = extent(scores).map(percent);
    Object.assign(byId("range").style, { left: `${low}%`, width: `${Math.max(high - low, 0.5)}%` });
  }

  #say(title, note) {
    byId("readout").replaceChildren(make("b", { textContent: title }), note);
  }

  // What the same patch scores without a caption says whether the words found it or it stands out by itself.
  #lines({ scores, title, isBaseline, logLikelihood }) {
    const [low, high] = extent(scores);
    const first = `${title}, ${figure(low)} to ${figure(high)}`;
    if (isBaseline) return [first, "Baseline: each patch and the embedding of the image itself"];
    const best = scores.flat().indexOf(high);
    const without = `Its best patch without caption ${figure(this.#explanation.image_scores.flat()[best])}`;
    const isKnown = (logLikelihood ?? null) !== null;
    return [first, isKnown ? `${without} \u00b7 log-likelihood ${figure(logLikelihood)}` : without];
  }

  #pointAt(event) {
    const shown = this.#hovered ?? this.#pinned;
    if (shown === null || this.#explanation === null) return;
    const box = byId("frame").getBoundingClientRect();
    const [rows, columns] = [shown.scores.length, shown.scores[0].length];
    const row = Math.min(Math.max(Math.floor(((event.clientY - box.top) / box.height) * rows), 0), rows - 1);
    const column = Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * columns), 0), columns - 1);
    const own = figure(shown.scores[row][column]);
    const without = figure(this.#explanation.image_scores[row][column]);
    this.#say(`${shown.title}, this patch ${own}`, shown.isBaseline ? "" : `Without caption ${without}`);
  }
}
