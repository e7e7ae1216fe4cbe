// The page: asks what the weights can do, and shows that.

import { get } from "./api.js";
import { offerQuestions } from "./ask.js";
import { offerClasses } from "./classify.js";
import { absence, byId, clearError, showAbsence, showError } from "./dom.js";
import { Explainer } from "./explain.js";
import { HeatMaps } from "./heat.js";
import { Photo, showExamples, takeExample } from "./photo.js";
import { offerSearch } from "./search.js";

const CLASSES = ["a person", "an animal", "a building", "food", "a landscape"];
const SHAPES = ["red circle", "blue square", "green triangle", "yellow cross"];
const REASONS = {
  caption: "These weights write no captions: they have no text decoder.",
  ask: "These weights answer no questions: they have neither a text decoder nor a list of answers.",
  classify: "These weights choose no classes.",
  explain: "These weights explain nothing.",
};
const NO_INDEX =
  "This server has no index to search. Make one with `sycoca index`, and start with `sycoca serve WEIGHTS --index NAME.lance`.";

async function start() {
  clearError(byId("page-error"));
  try {
    const info = await get("info");
    showInfo(info);
    const photo = new Photo(info.limits);
    offerAbilities(photo, info);
    await offerExamples(photo);
  } catch (error) {
    showError(byId("page-error"), error, { retry: start });
  }
}

async function offerExamples(photo) {
  const problem = byId("photo-error");
  try {
    const examples = await get("examples");
    showExamples(examples, photo);
    // The page shows something at once, unless somebody was quicker.
    if (examples.length > 0 && photo.blob === null) takeExample(examples[0], photo);
  } catch (error) {
    showError(problem, error, { retry: () => offerExamples(photo) });
  }
}

function offerAbilities(photo, { abilities, absent, index, notice }) {
  const reasonFor = (ability) => absent?.[ability] ?? REASONS[ability];
  if (abilities.caption || abilities.explain) new Explainer(photo, new HeatMaps(), abilities);
  else showAbsence(byId("caption-section"), reasonFor("caption"));
  if (abilities.explain && !abilities.caption) byId("caption-title").after(absence(reasonFor("caption")));
  if (!abilities.explain) showAbsence(byId("reconstruction-section"), reasonFor("explain"));
  if (abilities.ask) offerQuestions(photo);
  else showAbsence(byId("ask-section"), reasonFor("ask"));
  if (abilities.classify) offerClasses(photo, notice === null ? CLASSES : SHAPES);
  else showAbsence(byId("classify-section"), reasonFor("classify"));
  if (abilities.search && index !== null) offerSearch(photo, index);
  else showAbsence(byId("search-section"), index === null ? NO_INDEX : reasonFor("search"));
}

function showInfo({ weights, notice }) {
  byId("weights").textContent = weights;
  document.title = `${weights} \u00b7 SyCoCa`;
  byId("notice").textContent = notice ?? "";
  byId("notice").hidden = notice === null;
}

start();
