// From the photo, and perhaps a caption, to heat maps and reconstruction.

import { post } from "./api.js";
import { showCaption, showCaptionLoading, showSwaps } from "./caption.js";
import { absence, announce, byId, clearError, make, onSubmit, showError } from "./dom.js";
import { showReconstructionLoading, showReconstructions } from "./reconstruction.js";

const PAUSE_MS = 500; // between the last letter typed and the request

/** Keeps the explanation of the photo with the generated caption, and the one of the caption in the field. */
export class Explainer {
  #photo;
  #maps;
  #abilities;
  #own = null;
  #request = null; // the one whose answer still counts
  #timer = null;

  constructor(photo, maps, abilities) {
    this.#photo = photo;
    this.#maps = maps;
    this.#abilities = abilities;
    photo.addEventListener("change", ({ detail }) => this.#start(detail));
    byId("caption").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#edit(), PAUSE_MS);
    });
    onSubmit(byId("caption-form"), () => this.#edit());
  }

  #start({ captions }) {
    this.#own = null;
    this.#maps.load(null);
    clearError(byId("caption-error"), byId("caption"));
    if (this.#abilities.reconstruct) showReconstructionLoading();
    byId("swaps").hidden = true;
    byId("caption").value = "";
    if (this.#abilities.caption) return this.#generate();
    byId("caption-form").hidden = false;
    byId("caption").value = captions[0] ?? "";
    if (captions.length > 0) return this.#edit();
    byId("caption-body").replaceChildren(absence("Write a caption to see how well each patch matches it"));
    byId("reconstruction-body")?.replaceChildren();
  }

  async #generate() {
    showCaptionLoading();
    byId("caption-form").hidden = true;
    const path = this.#abilities.explain ? "explain" : "caption";
    const answer = await this.#ask(() => this.#post(path, {})).catch((error) => {
      byId("caption-body").replaceChildren(absence("There is no caption: the photo was not read"));
      byId("reconstruction-body")?.replaceChildren();
      byId("legend").hidden = true;
      this.#photo.refuse(error, () => this.#generate());
      return null;
    });
    if (answer === null) return;
    announce(`Caption: ${answer.caption}`);
    if (!this.#abilities.explain) return showPlainCaption(answer.caption);
    this.#own = answer;
    this.#restore();
  }

  async #edit() {
    clearTimeout(this.#timer);
    const field = byId("caption");
    const problem = byId("caption-error");
    clearError(problem, field);
    const caption = field.value.trim();
    if (this.#photo.blob === null) return;
    if (caption === "") {
      this.#request?.abort();
      return showError(problem, new Error("Write a caption first."), { field });
    }
    if (caption === this.#own?.caption) return this.#restore();
    const answers = await this.#ask(() => this.#underBoth(caption)).catch((error) => {
      showError(problem, error, { field, retry: () => this.#edit() });
      return null;
    });
    if (answers === null) return;
    announce("Heat maps and reconstruction follow your caption.");
    this.#show(...answers);
  }

  /** Ask for a caption's heat maps, and for its reconstruction of the patches that the generated caption masks. */
  #underBoth(caption) {
    if (this.#own === null || !this.#abilities.reconstruct) {
      return this.#post("explain", { caption }).then((answer) => [answer, answer]);
    }
    const maps = this.#post("explain", { caption, reconstruct: "false" });
    return Promise.all([maps, this.#post("explain", { caption: this.#own.caption, edited_caption: caption })]);
  }

  #post(path, fields) {
    return post(path, { image: this.#photo.blob, ...fields }, this.#request.signal);
  }

  /** Wait for answers. Returns null where later requests took their place. */
  async #ask(work) {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    byId("progress").hidden = false;
    byId("caption-section").setAttribute("aria-busy", "true");
    try {
      const answer = await work();
      return request === this.#request ? answer : null;
    } catch (error) {
      if (request !== this.#request || error.name === "AbortError") return null;
      throw error;
    } finally {
      if (request === this.#request) {
        byId("progress").hidden = true;
        byId("caption-section").removeAttribute("aria-busy");
      }
    }
  }

  #restore() {
    this.#request?.abort();
    clearError(byId("caption-error"), byId("caption"));
    byId("caption").value = this.#own.caption;
    this.#show(this.#own, this.#own);
  }

  /** Show an explanation, and the one that holds the reconstructions. */
  #show(explanation, reconstructed) {
    byId("caption-form").hidden = false;
    this.#maps.load(explanation);
    showCaption(explanation, this.#own, this.#maps, () => this.#restore());
    if (this.#abilities.reconstruct) showReconstructions(reconstructed, { isGenerated: this.#own !== null });
    showSwaps(byId("caption").value, (caption) => {
      byId("caption").value = caption;
      this.#edit();
    });
  }
}

function showPlainCaption(caption) {
  byId("caption-body").replaceChildren(make("p", { className: "caption", dir: "auto", textContent: caption }));
}
