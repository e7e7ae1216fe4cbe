// Choosing the photo: a file, a drop, the clipboard, an example or a result of a search.

import { byId, clearError, make, showError } from "./dom.js";

const MEGA = 1e6;

/** The photo that everything on the page is about. Announces "change" with {blob, name, captions}. */
export class Photo extends EventTarget {
  #limits;
  #address = null;

  /** `limits` are the server's, so that a file that it would refuse is not sent. */
  constructor(limits) {
    super();
    this.#limits = limits;
    this.blob = null;
    byId("file").addEventListener("change", ({ target }) => {
      this.#takeFiles(target.files);
      target.value = ""; // the same file may be chosen again
    });
    document.addEventListener("paste", (event) => {
      const files = event.clipboardData?.files ?? [];
      if (files.length > 0) this.#takeFiles(files);
    });
    this.#listenForDrops();
  }

  /** Make this the photo. `captions` are those that are known of it. */
  take(blob, name, captions = []) {
    const problem = byId("photo-error");
    clearError(problem);
    if (blob.size === 0) return showError(problem, new Error(`${name} is empty.`));
    const most = this.#limits.max_upload_bytes;
    if (most !== undefined && blob.size > most) {
      const sizes = `${megabytes(blob.size)}, and this server takes at most ${megabytes(most)}`;
      return showError(problem, new Error(`${name} has ${sizes}. Choose a smaller photo.`));
    }
    this.blob = blob;
    this.#preview(name);
    this.dispatchEvent(new CustomEvent("change", { detail: { blob, name, captions } }));
  }

  /** Show that the server cannot read the photo. */
  refuse(error, retry) {
    if (!error.mayPass) this.blob = null;
    showError(byId("photo-error"), error, { retry });
  }

  #preview(name) {
    if (this.#address !== null) URL.revokeObjectURL(this.#address);
    this.#address = URL.createObjectURL(this.blob);
    const image = byId("photo");
    const invitation = byId("invitation");
    image.alt = name;
    image.onload = () => {
      image.hidden = false;
      invitation.hidden = true;
    };
    image.onerror = () => {
      image.hidden = true;
      invitation.hidden = false;
      invitation.textContent = `This browser cannot show ${name}`;
    };
    image.src = this.#address;
  }

  #takeFiles(files) {
    if (files.length > 0) this.take(files[0], files[0].name);
  }

  #listenForDrops() {
    const frame = byId("frame");
    const isOver = (value) => (event) => {
      event.preventDefault();
      frame.classList.toggle("is-over", value);
    };
    document.addEventListener("dragover", isOver(true));
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) isOver(false)(event);
    });
    document.addEventListener("drop", (event) => {
      isOver(false)(event);
      if (event.dataTransfer.files.length > 0) return this.#takeFiles(event.dataTransfer.files);
      const reason = "That was no file. This server opens no addresses: save the picture first, then drop its file.";
      showError(byId("photo-error"), new Error(reason));
    });
  }
}

/** Fill the strip of examples; each becomes the photo when it is pressed. */
export function showExamples(examples, photo) {
  byId("examples").hidden = examples.length === 0;
  const buttons = examples.map((example, at) => {
    const picture = make("img", { src: example.image, alt: example.captions[0] ?? example.name });
    const button = make("button", { type: "button", className: "example" }, picture);
    button.addEventListener("click", () => takeExample(example, photo));
    photo.addEventListener("change", ({ detail }) => {
      button.setAttribute("aria-current", String(detail.name === example.name));
    });
    button.dataset.position = String(at);
    return button;
  });
  byId("strip").replaceChildren(...buttons);
}

/** Make an example the photo. */
export function takeExample(example, photo) {
  photo.take(fileOf(example.image), example.name, example.captions);
}

/** Return the file that a data URL holds. */
export function fileOf(address) {
  const [head, data] = address.split(",", 2);
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: head.slice("data:".length, head.indexOf(";")) });
}

function megabytes(bytes) {
  return `${(bytes / MEGA).toLocaleString("en", { maximumSignificantDigits: 3 })} MB`;
}
