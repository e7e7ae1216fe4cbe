// The page: asks what the weights can do, and shows that.

import { get } from "./api.js";
import { offerQuestions } from "./ask.js";
import { offerClasses } from "./classify.js";
import { absence, byId, clearError, showAbsence, showError } from "./dom.js";
import { Explainer } from "./explain.js";
import { HeatMaps } from "./heat.js";
import { Photo, showExamples, takeExample } from "./photo.js";
import { offerSearch } from "./search.js";

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

function offerAbilities(photo, { abilities, absent, index, class_names }) {
  if (abilities.caption || abilities.explain) new Explainer(photo, new HeatMaps(), abilities);
  else showAbsence(byId("caption-section"), absent.caption);
  if (abilities.explain && !abilities.caption) byId("caption-title").after(absence(absent.caption));
  if (!abilities.reconstruct) showAbsence(byId("reconstruction-section"), absent.reconstruct);
  if (abilities.ask) offerQuestions(photo);
  else showAbsence(byId("ask-section"), absent.ask);
  if (abilities.classify) offerClasses(photo, class_names);
  else showAbsence(byId("classify-section"), absent.classify);
  if (abilities.search) offerSearch(photo, index);
  else showAbsence(byId("search-section"), absent.search);
}

function showInfo({ weights, notice }) {
  byId("weights").textContent = weights;
  document.title = `${weights} \u00b7 SyCoCa`;
  byId("notice").textContent = notice ?? "";
  byId("notice").hidden = notice === null;
}

start();
