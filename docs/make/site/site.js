// What the theme leaves open: search in pages that are opened as files, and names for landmarks.

// Browsers start no worker from a file; a hidden frame does the same work.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "search";
      frame.srcdoc = `<script>
        self.postMessage = (data) => parent.dispatchEvent(
          new CustomEvent("from-worker", { detail: structuredClone(data) }));
        self.importScripts = (...files) => Promise.all(files.map((file) => new Promise((done) => {
          const script = document.createElement("script");
          script.onload = done;
          script.src = file;
          document.head.append(script);
        })));
      <\/script><script src="${url}"><\/script>`;
      this.loaded = new Promise((done) => (frame.onload = done));
      this.frame = frame;
      addEventListener("from-worker", (told) => {
        const event = new MessageEvent("message", { data: told.detail });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      });
      document.body.append(frame);
    }

    async postMessage(data) {
      await this.loaded;
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}

// The theme puts a nav with the copy button into each block of code, without a name, and wide
// tables into boxes that scroll, which a keyboard cannot reach.
const reachable = () => {
  document.querySelectorAll("nav.md-code__nav:not([aria-label])").forEach((nav, place) => {
    nav.setAttribute("aria-label", `code ${nav.closest("pre")?.id.replace(/\D/g, "") || place}`);
  });
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((box) => {
    box.tabIndex = 0;
  });
};
new MutationObserver(reachable).observe(document, { childList: true, subtree: true });
