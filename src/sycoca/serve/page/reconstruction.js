// What the image decoder makes of the masked patches, under the generated caption and under another one.

import { absence, byId, figure, make } from "./dom.js";

const EXPLANATION =
  "Masked are the patches that training would mask for this caption. The model predicts them from the visible patches and the caption.";

/** Show the reconstructions under one or two captions, the edited one first; either may be null. */
export function showReconstruction(own, edited) {
  const shown = [edited, own].filter((one) => one !== null);
  const absent = shown[0].absent?.reconstruction;
  if (shown[0].reconstruction_png === null) {
    byId("reconstruction-body").replaceChildren(absence(absent ?? "These weights reconstruct nothing"));
    return;
  }
  const rows = shown.map((explanation) => row(explanation, explanation === edited ? "yours" : "generated"));
  byId("reconstruction-body").replaceChildren(...rows, make("p", { className: "hint", textContent: EXPLANATION }));
}

/** Show squares in the places of pictures that are not there yet. */
export function showReconstructionLoading() {
  const squares = [make("span"), make("span"), make("span")];
  byId("reconstruction-body").replaceChildren(make("div", { className: "three", ariaHidden: "true" }, squares));
}

function row(explanation, origin) {
  const pictures = [
    picture(explanation.image_png, "What the model sees"),
    picture(explanation.masked_png, maskedLine(explanation)),
    picture(explanation.reconstruction_png, "Reconstruction"),
  ];
  const label = make("p", { className: "of" }, make("q", { textContent: explanation.caption }));
  label.append(make("span", { textContent: `${origin}, cosine ${figure(explanation.cosine)}` }));
  const element = make("div", { className: "reconstruction" }, label, make("div", { className: "three" }, pictures));
  element.dataset.origin = origin;
  return element;
}

function maskedLine({ is_masked }) {
  const all = is_masked.flat();
  return `${all.filter(Boolean).length} of ${all.length} patches masked`;
}

function picture(address, title) {
  return make("figure", {}, make("img", { src: address, alt: title }), make("figcaption", { textContent: title }));
}
