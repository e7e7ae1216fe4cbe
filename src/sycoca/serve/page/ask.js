// Questions about the photo, with their answers, the latest first.

import { post } from "./api.js";
import { announce, byId, clearError, figure, make, onSubmit, remarks, showError, whileBusy } from "./dom.js";

/** Let people ask about the photo. */
export function offerQuestions(photo) {
  const form = byId("ask-form");
  const field = byId("question");
  const problem = byId("ask-error");
  photo.addEventListener("change", () => {
    byId("answers").replaceChildren();
    clearError(problem, field);
  });
  const ask = async () => {
    clearError(problem, field);
    const question = field.value.trim();
    const blob = photo.blob;
    if (blob === null) return showError(problem, new Error("Choose a photo first."));
    if (question === "") {
      showError(problem, new Error("Write a question first."), { field });
      return field.focus();
    }
    try {
      const answer = await whileBusy(form, () => post("ask", { image: blob, question }));
      if (photo.blob === blob) showAnswer(question, answer);
    } catch (error) {
      showError(problem, error, { field, retry: ask });
    }
  };
  onSubmit(form, ask);
}

function showAnswer(question, { answer, log_likelihood, notices }) {
  const text = answer === "" ? "(an empty answer)" : answer;
  announce(`Answer: ${text}`);
  const value = make("dd", {}, make("span", { className: "answer", dir: "auto", textContent: text }));
  if ((log_likelihood ?? null) !== null) {
    value.append(make("span", { className: "hint", textContent: `log-likelihood ${figure(log_likelihood)}` }));
  }
  byId("answers").prepend(make("div", {}, make("dt", { dir: "auto", textContent: question }), value, remarks(notices)));
}
