// The dialog that asks for the server's token.

import { byId, clearError, showError } from "./dom.js";

/** Ask for the token until there is one, and return it. */
export function askForToken(message) {
  const dialog = byId("token-dialog");
  const field = byId("token");
  const problem = byId("token-error");
  clearError(problem, field);
  if (message !== "") showError(problem, new Error(message), { field });
  field.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    // Escape would leave a page that can do nothing.
    dialog.oncancel = (event) => event.preventDefault();
    byId("token-form").onsubmit = (event) => {
      event.preventDefault();
      const token = field.value.trim();
      if (token === "") {
        showError(problem, new Error("Enter the token first."), { field });
        field.focus();
        return;
      }
      if (!/^[\x21-\x7e]+$/.test(token)) {
        showError(problem, new Error("A token has only letters, digits and signs of ASCII, without spaces."), { field });
        field.focus();
        return;
      }
      dialog.close();
      resolve(token);
    };
  });
}
