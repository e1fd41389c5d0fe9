// The dialog that asks for the service's token. It stays in this tab and is never part of an address.

import { button, el, freshId } from "./dom.js";

let open = null; // one dialog at a time, however many requests wait for it

/** Ask; resolves to the token, or to null when the user gives none. `problem` says why it is asked again. */
export function askToken(problem) {
  open ??= new Promise((resolve) => {
    const id = freshId("token");
    const field = el("input", { type: "password", id, autocomplete: "off", required: true });
    let given = null;
    const form = el(
      "form",
      {},
      el("p", {}, "This service answers only to those who have its token. Ask whoever runs it."),
      problem ? el("p", { class: "reason", role: "alert" }, problem) : null,
      el("label", { for: id }, "Token"),
      field,
      el(
        "div",
        { class: "actions" },
        el("button", { type: "submit", class: "primary" }, "Go on"),
        button("Cancel", () => dialog.close()),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      given = field.value.trim() || null;
      dialog.close();
    });
    const dialog = el(
      "dialog",
      { class: "dialog", "aria-labelledby": `${id}-title` },
      el("h2", { id: `${id}-title` }, "Token"),
      form,
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      open = null;
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
  return open;
}
