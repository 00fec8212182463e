"""What may be wrong with a page that Chromium shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.chromium import Chromium

WIDTHS = (390, 1280)
"""Windows of a phone and of a desk."""
CUT = """
[...document.querySelectorAll("body *")].filter(each => {
  const style = getComputedStyle(each);
  const cuts = style.overflowX === "hidden" || style.overflowX === "clip";
  const text = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  const wide = each.getClientRects().length && each.getBoundingClientRect().right > innerWidth + 1;
  const scrolls = each.closest(".scroll, pre, nav");
  const frame = each.matches("svg text") && each.ownerSVGElement.getBoundingClientRect();
  const box = each.getBoundingClientRect();
  const outside = frame && box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
  return outside || (wide && !scrolls) || (cuts && text && each.scrollWidth > each.clientWidth + 1);
}).map(each => each.outerHTML.slice(0, 80))
"""
"""Elements that reach beyond the window, or whose text is cut off."""
UNDECODED = """
Promise.all([...document.images].map(each => {
  each.loading = "eager";
  return each.decode().then(() => [], () => [each.alt]);
})).then(found => found.flat())
"""
"""Pictures that are none."""
WITHOUT_GLYPH = """
(() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 32;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  pen.font = "20px " + getComputedStyle(document.body).fontFamily;
  const drawn = sign => {
    pen.clearRect(0, 0, 32, 32);
    pen.fillText(sign, 4, 24);
    return pen.getImageData(0, 0, 32, 32).data.join();
  };
  const none = drawn("\\u{10FFFE}");
  return [...new Set(document.body.innerText)].filter(sign => sign.trim() && drawn(sign) === none);
})()
"""
"""Signs of the page that no font of this machine has: they look like a sign that nobody has."""


def complaints(browser: Chromium, page: Path) -> list[str]:
    """Everything the browser logged, and every address but the page's own that it asked for."""
    asked = [each["request"]["url"] for each in browser.events("Network.requestWillBeSent")]
    found = [url for url in asked if url != page.as_uri() and not url.startswith("data:")]
    found += [each["entry"]["text"] for each in browser.events("Log.entryAdded")]
    found += [str(each["exceptionDetails"]) for each in browser.events("Runtime.exceptionThrown")]
    return found + [str(each["args"]) for each in browser.events("Runtime.consoleAPICalled")]
