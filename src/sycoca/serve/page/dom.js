// Small helpers for the elements of the page.

/** Return the element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Make an element with properties and children; children that are null are left out. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** Say something to a screen reader. */
export function announce(text) {
  byId("status").textContent = text;
}

/** Show an error beside what caused it; with `retry`, a button repeats what failed. */
export function showError(container, error, { field = null, retry = null } = {}) {
  const again = make("button", { type: "button", className: "link", textContent: "Try again" });
  again.addEventListener("click", () => retry());
  const canRetry = retry !== null && error.mayPass;
  const message = make("p", { className: "error", textContent: error.message });
  message.setAttribute("role", "alert");
  if (canRetry) message.append(" ", again);
  container.replaceChildren(message);
  field?.setAttribute("aria-invalid", "true");
}

/** Take an error away. */
export function clearError(container, field = null) {
  container.replaceChildren();
  field?.removeAttribute("aria-invalid");
}

/** Show that a form waits for its answer, until `work` is done. */
export async function whileBusy(form, work) {
  const button = form.querySelector("button:not([type=button])");
  form.setAttribute("aria-busy", "true");
  button?.setAttribute("aria-disabled", "true");
  try {
    return await work();
  } finally {
    form.removeAttribute("aria-busy");
    button?.removeAttribute("aria-disabled");
  }
}

/** Call `action` when a form is submitted, unless it still waits for the last answer. */
export function onSubmit(form, action) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!form.hasAttribute("aria-busy")) action();
  });
}

/** Put the reason for an ability that the weights lack where its controls were. */
export function showAbsence(section, reason) {
  section.replaceChildren(section.querySelector("h2"), absence(reason));
}

/** Return a paragraph that says why something is not there. Words between backticks are code. */
export function absence(reason) {
  const pieces = sentence(reason).split("`");
  const nodes = pieces.map((piece, at) => (at % 2 === 1 ? make("code", { textContent: piece }) : piece));
  return make("p", { className: "absent" }, nodes);
}

/** Return a text with a capital letter at its start and a stop at its end. */
export function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** Return what the server remarks on a text, such as that its end was left out. */
export function remarks(notices) {
  return (notices ?? []).map((notice) => make("p", { className: "remark", textContent: notice }));
}

/** Write a cosine or a log-likelihood, with a true minus sign. */
export function figure(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "\u2212");
}
