"""Pages in Chromium, on a phone and on a desk, light and dark: what is the matter with them."""

import contextlib
import io
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
CHROMIUM = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)

OPTIONS = {"preload": False, "resultTypes": ["violations"]}
"""Of axe-core: style sheets are read by a page in the page, not by requests, which a file may not make."""

LAID_OUT = """() => {
  const width = document.documentElement.clientWidth, found = [];
  const scrolls = element => element && (/auto|scroll|hidden|clip/.test(getComputedStyle(element).overflowX)
    || scrolls(element.parentElement));
  const named = element => `<${element.tagName.toLowerCase()} class="${element.getAttribute("class") ?? ""}">`;
  if (document.documentElement.scrollWidth > width) found.push("the page is wider than the window");
  for (const element of document.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (box.width && box.right > width + 1 && !scrolls(element.parentElement))
      found.push(`${named(element)} is too wide`);
  }
  for (const text of document.querySelectorAll("svg[role=img] text")) {
    const box = text.getBoundingClientRect(), whole = text.ownerSVGElement.getBoundingClientRect();
    if (box.left < whole.left - 1 || box.right > whole.right + 1 || box.top < whole.top - 1
      || box.bottom > whole.bottom + 1) found.push(`"${text.textContent}" is cut off`);
    const { a, b } = text.getScreenCTM();
    if (Math.hypot(a, b) * parseFloat(getComputedStyle(text).fontSize) < 9) found.push(`"${text.textContent}" is tiny`);
  }
  for (const figure of document.querySelectorAll("svg[role=img]")) {
    const texts = [...figure.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([words, a], i) => texts.slice(i + 1).forEach(([others, b]) => {
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 6) found.push(`"${words}" lies on "${others}"`);
    }));
  }
  for (const image of document.images) if (!image.alt.trim()) found.push("an image without words");
  for (const image of document.images) if (image.complete && !image.naturalWidth) found.push(`${image.alt}: not shown`);
  for (const image of document.querySelectorAll("svg[role=img]"))
    if (!image.querySelector(":scope > title")?.textContent) found.push("a figure without words");
  return found;
}"""


@contextlib.contextmanager
def chromium():
    """A browser; the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    pytest.importorskip("axe_playwright_python")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser, path, said):
    """A page, of which `said` gets what the console says, what it asks of others, and errors."""
    tab = browser.new_page()
    tab.on("console", lambda message: said.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: said.append(f"error: {error}"))
    tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or said.append(f"asks {request.url}"))
    tab.goto(path.as_uri())
    yield tab
    tab.close()


def faults(browser, path, contrasts=SCHEMES):
    """What is the matter with a page, in words; nothing, one hopes.

    Contrasts, which take long, in these schemes; the layout in light, and in these.
    """
    from axe_playwright_python.sync_playwright import Axe

    found = []
    with opened(browser, path, found) as tab:
        for scheme in SCHEMES:
            tab.emulate_media(color_scheme=scheme)
            for width in WIDTHS if scheme == SCHEMES[0] or scheme in contrasts else ():
                tab.set_viewport_size({"width": width, "height": 900})
                found += [f"{width} px, {scheme}: {fault}" for fault in tab.evaluate(LAID_OUT)]
            if scheme == SCHEMES[0]:
                rules = {"rules": {"color-contrast": {"enabled": scheme in contrasts}}}
            elif scheme in contrasts:
                rules = {"runOnly": ["color-contrast"]}  # all others are of both alike
            else:
                continue
            for violation in Axe().run(tab, options=OPTIONS | rules).response["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    found += [f"{scheme}: {violation['help']}: {node['html'][:200]}" for node in violation["nodes"]]
    return sorted(set(found))


def pictured(path, to, first, last):
    """Write a picture of a page, light and 1,000 px wide, from the heading `first` to the end of the section `last`."""
    with chromium() as browser, opened(browser, path, []) as tab:
        tab.set_viewport_size({"width": 1000, "height": 900})
        begin = tab.get_by_role("heading", name=first).bounding_box()
        end = tab.locator("section", has=tab.get_by_role("heading", name=last)).bounding_box()
        top = begin["y"] - 16
        clip = {"x": 0, "y": top, "width": 1000, "height": end["y"] + end["height"] - top}
        image = Image.open(io.BytesIO(tab.screenshot(full_page=True, clip=clip))).convert("RGB")
    image.quantize(256).save(to, optimize=True)


if (
    __name__ == "__main__"
):  # python tests/browser.py run/report.html docs/report.png "What it looks for" "Where it looks"
    pictured(Path(sys.argv[1]).resolve(), *sys.argv[2:])
