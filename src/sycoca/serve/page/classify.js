// Zero-shot classes of the photo.

import { post } from "./api.js";
import { announce, byId, clearError, figure, make, onSubmit, remarks, showError, whileBusy } from "./dom.js";

/** Let people choose between classes of their own. `names` fill the field at first. */
export function offerClasses(photo, names) {
  const form = byId("classify-form");
  const field = byId("classes");
  const problem = byId("classify-error");
  field.value = names.join(", ");
  photo.addEventListener("change", () => {
    byId("classes-body").replaceChildren();
    clearError(problem, field);
  });
  const classify = async () => {
    clearError(problem, field);
    const blob = photo.blob;
    const class_names = field.value.split(/[,\n]/).map((name) => name.trim()).filter((name) => name !== "");
    if (blob === null) return showError(problem, new Error("Choose a photo first."));
    if (class_names.length === 1) {
      showError(problem, new Error("Write a second class name, so that there is something to choose."), { field });
      return field.focus();
    }
    try {
      const answer = await whileBusy(form, () => post("classify", { image: blob, class_names }));
      if (photo.blob === blob) showClasses(answer);
    } catch (error) {
      showError(problem, error, { field, retry: classify });
    }
  };
  onSubmit(form, classify);
}

function showClasses({ classes, notices }) {
  const ranked = [...classes].sort((one, other) => other.probability - one.probability);
  announce(`Most probable class: ${ranked[0].name}`);
  const head = ["class", "probability", "cosine"].map((title) => make("th", { scope: "col", textContent: title }));
  const body = make("tbody", {}, ranked.map(classRow));
  const table = make("table", { className: "classes" }, make("thead", {}, make("tr", {}, head)), body);
  byId("classes-body").replaceChildren(table, ...remarks(notices));
}

function classRow({ name, probability, cosine }) {
  const fill = make("span", { className: "fill" });
  fill.style.inlineSize = `${100 * probability}%`;
  const measure = make("span", { className: "measure", ariaHidden: "true" }, fill);
  const percent = make("span", { textContent: `${(100 * probability).toFixed(probability < 0.1 ? 1 : 0)} %` });
  return make(
    "tr",
    {},
    make("th", { scope: "row", textContent: name }),
    make("td", {}, make("div", { className: "amount" }, measure, percent)),
    make("td", { textContent: cosine === null ? "" : figure(cosine) }),
  );
}
