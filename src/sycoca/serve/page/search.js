// Search in the index, by words and by the photo, with thumbnails.

import { post } from "./api.js";
import { absence, announce, byId, clearError, figure, make, onSubmit, remarks, showError, whileBusy } from "./dom.js";
import { fileOf } from "./photo.js";

const COUNT = 12;

/** Let people search the index by words and by the photo. */
export function offerSearch(photo, index) {
  const form = byId("search-form");
  const field = byId("query");
  const problem = byId("search-error");
  byId("query-label").textContent = `Find images by words, among ${index.images.toLocaleString("en")}`;
  const run = async (query, title, source) => {
    clearError(problem, field);
    clearError(problem, byId("where"));
    const where = byId("where").value.trim();
    try {
      const fields = { ...query, count: String(COUNT), where: where === "" ? null : where };
      const found = await whileBusy(form, () => post("search", fields));
      showHits(found, title, photo);
    } catch (error) {
      byId("hits-body").replaceChildren();
      const wrong = where !== "" && /\bcondition\b/.test(error.message) ? byId("where") : source;
      showError(problem, error, { field: wrong, retry: () => run(query, title, source) });
    }
  };
  onSubmit(form, () => {
    const text = field.value.trim();
    if (text !== "") return run({ text }, `\u201c${text}\u201d`, field);
    showError(problem, new Error("Write what to look for first."), { field });
    field.focus();
  });
  byId("search-by-photo").addEventListener("click", () => {
    if (photo.blob === null) return showError(problem, new Error("Choose a photo first."));
    run({ image: photo.blob }, "this photo", null);
  });
}

function showHits({ hits, exact, median_cosine, notices }, title, photo) {
  const body = byId("hits-body");
  announce(`${hits.length} images found for ${title}`);
  if (hits.length === 0) {
    return body.replaceChildren(absence(`No image was found for ${title}`));
  }
  const kind = exact ? "every image compared" : "approximate search";
  const baseline = `median cosine of the index ${figure(median_cosine)}`;
  const summary = make("p", { className: "hint", textContent: `Nearest to ${title}, by cosine; ${kind}; ${baseline}` });
  body.replaceChildren(summary, ...remarks(notices), make("ol", { className: "hits" }, hits.map((hit) => hitItem(hit, photo))));
}

function hitItem({ file, cosine, columns, thumbnail }, photo) {
  const name = file.split("/").at(-1);
  const picture = make("img", { src: thumbnail, alt: "" });
  const button = make("button", { type: "button", title: file }, picture);
  button.setAttribute("aria-label", `Take ${name} as the photo`);
  button.addEventListener("click", () => {
    photo.take(fileOf(thumbnail), name);
    byId("frame").scrollIntoView({ block: "nearest" });
  });
  const about = columns.captions?.[0] ?? columns.label ?? "";
  return make(
    "li",
    {},
    button,
    make("p", { className: "file" }, make("span", { textContent: name }), make("b", { textContent: figure(cosine) })),
    about === "" ? null : make("p", { className: "about", textContent: about }),
  );
}
