"""A headless Chromium, the one installed here: what it shows, and everything that a page does which it should not."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation",
  (e) => violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
"""

# (ratio, element, text) of every text that can be seen, by the WCAG's formula for contrast
CONTRAST = """
() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.textContent.trim() || !element.checkVisibility()) continue;
    if (["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName)) continue;
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.tagName, node.textContent.trim().slice(0, 40)]);
  }
  return found;
}
"""
# whether the canvas at a selector holds more than one shade
DRAWN = """
(selector) => {
  const c = document.querySelector(selector);
  return c && new Set(c.getContext("2d").getImageData(0, 0, c.width, c.height).data).size > 2;
}
"""
# what a screen reader would find without a name
UNNAMED = """
() => {
  const by = (e) => document.getElementById(e.getAttribute("aria-labelledby"))?.textContent;
  const all = "section, nav, [role=region], [role=group], [role=img], canvas, svg[role], img, dialog[open]";
  return [...document.querySelectorAll(all)]
    .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("alt") || by(e)))
    .map((e) => e.outerHTML.slice(0, 90));
}
"""
# controls without a label
LOOSE = """
() => [...document.querySelectorAll("input, select")].filter((e) => !e.labels.length).length
  + [...document.querySelectorAll("button")]
    .filter((e) => !e.textContent && !e.getAttribute("aria-label") && !e.querySelector("[aria-label]")).length
"""
# (element, whether a ring is seen around it, its beginning) of what has the focus
RING = """
() => {
  const e = document.activeElement, style = getComputedStyle(e), halo = e.querySelector?.(".halo");
  const ring = halo ? getComputedStyle(halo).stroke !== "none"
    : style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  return [e.tagName, ring, e.outerHTML.slice(0, 80)];
}
"""


def launch():
    """A playwright browser and what to call when done; skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: test)")
    playwright = api.sync_playwright().start()
    own = Path(playwright.chromium.executable_path)
    path = next((found for name in NAMES if (found := shutil.which(name))), str(own) if own.exists() else None)
    if path is None:
        playwright.stop()
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)")
    browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])

    def close():
        browser.close()
        playwright.stop()

    return browser, close


class Watched:
    """A page with what went wrong in it: console errors, requests beyond the file, dialogs, policy violations."""

    def __init__(self, page, path):
        self.page, self.wrong, self.requests = page, [], 0
        page.on("console", lambda m: self.wrong.append(f"console {m.text}") if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(f"error {error}"))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", self._asked)
        page.add_init_script(WATCH)
        self.address = path.resolve().as_uri()
        page.goto(self.address)

    def _asked(self, request):
        if request.url != self.address and not request.url.startswith("data:"):
            self.requests += 1
            self.wrong.append(f"request {request.url}")

    def check(self):
        """Fail if anything went wrong."""
        assert self.wrong == [] and self.requests == 0
        assert self.page.evaluate("violations") == []


@contextmanager
def opened(browser, path, width=1280, height=900, scheme="light"):
    """The file open in a window of its own, checked when it is closed."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    try:
        watched = Watched(context.new_page(), path)
        yield watched.page
        watched.check()
    finally:
        context.close()
