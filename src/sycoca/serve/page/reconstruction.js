// What the image decoder makes of the masked patches: under the caption, without one, and under an edited one.

import { absence, byId, figure, make } from "./dom.js";

const PREDICTED = "The model predicts them from the visible patches and a caption.";
const TRUE_STATISTICS = "Mean and contrast of each patch are the true ones: this model predicts neither.";
const ERROR = "Error: mean squared error of the masked patches, colors from 0 to 1.";

/** Show the reconstructions of an explanation; all are of the same masked patches. */
export function showReconstructions(explanation, { isGenerated }) {
  const body = byId("reconstruction-body");
  if (explanation.reconstruction_png === null) {
    return body.replaceChildren(absence(explanation.absent.reconstruction ?? "These weights reconstruct nothing"));
  }
  const others = explanation.other_reconstructions;
  const pictures = [
    picture("seen", explanation.image_png, "Input", "of the model"),
    picture("masked", explanation.masked_png, "Masked", maskedLine(explanation)),
    ...others.filter(({ caption }) => caption === "").map((one) => reconstruction("baseline", "Without caption", one)),
    reconstruction(isGenerated ? "generated" : "yours", isGenerated ? "Generated caption" : "Your caption", {
      png: explanation.reconstruction_png,
      error: explanation.reconstruction_error,
    }),
    ...others.filter(({ caption }) => caption !== "").map((one) => reconstruction("yours", "Your caption", one)),
  ];
  const masked = `Masked are the patches that training would mask for ${isGenerated ? "the generated" : "this"} caption.`;
  const notes = [masked, PREDICTED, explanation.has_true_statistics ? TRUE_STATISTICS : "", ERROR, flatLine(explanation)].join(" ");
  body.replaceChildren(make("div", { className: "pictures" }, pictures), make("p", { className: "hint", textContent: notes }));
}

/** Show squares in the places of pictures that are not there yet. */
export function showReconstructionLoading() {
  const squares = ["seen", "masked", "baseline", "generated"].map((origin) => {
    const square = make("span");
    square.dataset.origin = origin;
    return square;
  });
  byId("reconstruction-body").replaceChildren(make("div", { className: "pictures", ariaHidden: "true" }, squares));
}

function reconstruction(origin, title, { png, error }) {
  return picture(origin, png, title, `error ${figure(error, 4)}`);
}

function maskedLine({ is_masked }) {
  const all = is_masked.flat();
  return `${all.filter(Boolean).length} of ${all.length} patches`;
}

function flatLine({ flat_error }) {
  return `With one color in each masked patch it is ${figure(flat_error, 4)}: above that a reconstruction shows nothing.`;
}

function picture(origin, address, title, note) {
  const image = make("img", { src: address, alt: title });
  const caption = make("figcaption", {}, make("b", { textContent: title }), make("span", { textContent: note }));
  const element = make("figure", {}, image, caption);
  element.dataset.origin = origin;
  return element;
}
