"""A page that is one file and needs no network: its stylesheet, its palette, its tables and pictures."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[Any]

LIGHT = "#0072b2", "#d55e00", "#cc79a7", "#332288", "#009e73", "#661100"
DARK = "#56b4e9", "#ff8c42", "#cc79a7", "#f0e442", "#7fd17f", "#ffffff"
"""Colours of lines, on white and on black: those without red, green or blue cones tell them apart, as a test computes.
The first two stand for class 0 and class 1 (after Okabe and Ito, "Color Universal Design", 2008)."""

PAPER = "#ffffff", "#15171a"
"""What they are drawn on."""

_LIGHT, _DARK = (";".join(f"--c{i}:{colour}" for i, colour in enumerate(colours)) for colours in (LIGHT, DARK))


def _folded(tables: str) -> str:
    """Where rows are lists: for tables of this class."""
    return """.fold,.fold tbody,.fold tr,.fold td,.fold caption{display:block}.fold thead{display:none}
.fold tr{border-bottom:1px solid var(--line);padding:.5rem 0}
.fold td{display:flex;justify-content:space-between;gap:1rem;border:0;padding:.1rem 0}
.fold td:has(span:empty){display:none}.fold td::before{content:attr(data-label);color:var(--soft);font-weight:400}
""".replace(".fold", tables)


STYLE = f"""
:root{{color-scheme:light dark;--ink:#1c1e21;--soft:#5a616b;--line:#d8dce1;--page:{PAPER[0]};--card:#f4f5f7;{_LIGHT}}}
@media(prefers-color-scheme:dark){{:root{{--ink:#e6e8eb;--soft:#a9b0ba;--line:#3a3f46;--page:{PAPER[1]};
--card:#1f2226;{_DARK}}}}}
*{{box-sizing:border-box}}
body{{font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 auto;max-width:64rem;
padding:1.5rem 1rem 4rem;overflow-wrap:break-word}}
h1{{font-size:1.7rem;line-height:1.2;margin:.2rem 0}}h2{{font-size:1.25rem;margin:3rem 0 .4rem}}
h3{{font-size:1rem;margin:1.5rem 0 .2rem}}
p,ul,dl{{max-width:44rem}}.soft,figcaption{{color:var(--soft)}}.lead{{font-size:1.15rem}}
a{{color:inherit}}code{{font-size:.92em;overflow-wrap:anywhere}}
pre{{background:var(--card);border-radius:.4rem;padding:.7rem 1rem;white-space:pre-wrap;overflow-wrap:anywhere}}
figure{{margin:1rem 0;max-width:36rem}}figcaption{{font-size:.9rem}}
.says{{min-height:1.5em;margin:0;font-variant-numeric:tabular-nums}}
.two{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:0 2rem}}
svg{{display:block;width:100%;height:auto}}svg text{{fill:currentColor;font:13px system-ui,sans-serif}}
svg .ring{{fill:none;stroke:currentColor;stroke-width:2}}
svg .name{{paint-order:stroke;stroke:var(--page);stroke-width:4}}
svg .soft{{fill:var(--soft)}}svg .grid{{stroke:var(--line)}}svg .axis{{stroke:var(--soft)}}
.hit{{fill:transparent}}.hit:hover{{fill:var(--ink);fill-opacity:.12}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.6rem 0}}
.wide{{font-size:.9rem}}caption{{text-align:left;font-weight:600;padding:.6rem 0 .2rem}}
th,td{{text-align:right;padding:.3rem 0 .3rem 1.1rem;border-bottom:1px solid var(--line);vertical-align:top}}
th:first-child,td:first-child{{text-align:left;padding-left:0;font-weight:600}}
thead th{{color:var(--soft);font-weight:500!important;font-size:.9rem}}
.words th,.words td{{text-align:left}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.1rem}}dt{{color:var(--soft)}}
dd{{margin:0;min-width:0;overflow-wrap:anywhere}}
.key{{margin-right:.8rem;white-space:nowrap}}.key i{{display:inline-block;width:.8rem;height:.8rem;margin-right:.3rem}}
.scale{{display:flex;flex-wrap:wrap;gap:.6rem;align-items:center;max-width:36rem;font-size:.9rem}}
.scale i{{flex:1 0 6rem;height:.8rem;background:linear-gradient(90deg,{LIGHT[0]},#fff,{LIGHT[1]})}}
.gallery{{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:1rem;max-width:none}}
.gallery figure{{margin:0}}.gallery figcaption{{font-size:.85rem;overflow-wrap:anywhere}}
img{{display:block;width:100%;height:auto;border-radius:.25rem;margin-bottom:.3rem}}.pixels{{image-rendering:pixelated}}
input[type=range]{{width:100%;max-width:36rem;accent-color:var(--soft)}}select{{font:inherit;padding:.2rem}}
@media(max-width:40rem){{{_folded(".fold")}dl{{grid-template-columns:1fr;gap:0}}dd{{margin-bottom:.4rem}}
.gallery{{grid-template-columns:1fr 1fr}}}}
@media(max-width:70rem){{{_folded(".wide")}}}
"""

SCRIPT = """
const tell = event => {
  const { target } = event, says = target.closest(".tells, figure:not(.tells *)")?.querySelector(".says");
  if (says && target.matches(".hit")) says.textContent = target.textContent;
  if (!says || !target.dataset.values) return;
  const values = Uint8Array.from(atob(target.dataset.values), c => c.charCodeAt(0));
  const columns = +target.dataset.columns, rows = values.length / columns, box = target.getBoundingClientRect();
  const place = (at, size, n) => Math.min(n - 1, Math.max(0, Math.floor(at / size * n)));
  const row = place(event.clientY - box.top, box.height, rows);
  const column = place(event.clientX - box.left, box.width, columns);
  const value = (values[row * columns + column] - 127) / 127 * target.dataset.limit;
  says.textContent = `row ${row + 1}, column ${column + 1}: ${value > 0 ? "+" : ""}${value.toPrecision(2)}`;
};
for (const name of ["pointermove", "pointerdown"]) document.addEventListener(name, tell);
"""
"""Says below it the value of what is pointed at: of a chart, or of a picture of numbers."""

TOUCH = "Point at it, or touch it, for values."

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def sheet(title: str, *parts: str, script: str = "") -> str:
    """The page, of parts that are HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + f"\n</main><script>{SCRIPT}{script}</script></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading, and what stands below it."""
    return f"<section><h2>{html.escape(title)}</h2>{''.join(parts)}</section>"


def beside(*parts: str) -> str:
    """Parts in two columns, or in one where the page is narrow."""
    return f'<div class="two">{"".join(parts)}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", kind: str = "") -> str:
    """Rows of text, to the right or, of the kind "words", to the left.

    On a phone, or of the kind "wide" on any page that is too narrow, each row becomes a list of its own; the roles say
    there, too, that it is a table.
    """
    names = [html.escape(name) for name in header]
    head = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in names)
    lines = "".join(
        '<tr role="row">'
        + "".join(
            f'<td role="cell" data-label="{name}"><span>{html.escape(word)}</span></td>'
            for name, word in zip(names, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<table class="fold {kind}" role="table">{above}<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{lines}</tbody></table>'
    )


def terms(said: Mapping[str, str]) -> str:
    """Words, and what each means or is."""
    return (
        "<dl>"
        + "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(what)}</dd>" for term, what in said.items())
        + "</dl>"
    )


def key(*names: tuple[int, str]) -> str:
    """Colours of the palette, and what each stands for."""
    return "".join(
        f'<span class="key"><i style="background:var(--c{colour})"></i>{html.escape(name)}</span> '
        for colour, name in names
    )


def scale(limit: float, zero: str, one: str) -> str:
    """What the colours of `signed` mean."""
    ends = [f"{value:+.2g} for {html.escape(name)}" for value, name in ((-limit, zero), (limit, one))]
    return f'<p class="scale"><span>{ends[0]}</span><i></i><span>{ends[1]}</span></p>'


def figure(content: str, caption: str = "", says: str = "") -> str:
    """What is shown, a line that says the value of what is pointed at, and first what to do, and a caption in HTML."""
    line = f'<p class="says soft">{says}</p>' if says else ""
    return f"<figure>{content}{line}<figcaption>{caption}</figcaption></figure>"


def gallery(*figures: str, says: str = "") -> str:
    """Small figures in a grid; `says` as in `figure`, for all of them."""
    line = f'<p class="says soft">{says}</p>' if says else ""
    return f'<div class="tells"><div class="gallery">{"".join(figures)}</div>{line}</div>'


def picture(pixels: Array, alt: str, more: str = "") -> str:
    """An image of bytes (h, w, 3) or (h, w, 1), pixel by pixel as it is; `more` are other attributes."""
    height, width = pixels.shape[:2]
    described = f'width="{width}" height="{height}" alt="{html.escape(alt, quote=True)}"'
    return f'<img class="pixels" {described}{more} src="{source(pixels, lossless=True)}">'


def source(pixels: Array, *, lossless: bool = False) -> str:
    """The address of an image that has its bytes (h, w, 3) or (h, w, 1) in it."""
    content, image = io.BytesIO(), Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.save(content, "WEBP", lossless=lossless, quality=80)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def full(values: Array) -> float:
    """The limit of numbers that are shown as colours: at it, colours are full, for all but a few outliers."""
    return float(np.quantile(np.abs(values), 0.995)) or 1.0


def signed(values: Array, limit: float, alt: str, more: str = "") -> str:
    """Numbers (h, w) as a picture, in the colours of `diverging`.

    With the script, pointing at it tells the numbers, rounded to a 127th of the limit.
    """
    rounded = (np.rint(127 * np.clip(values / limit, -1, 1)) + 127).astype(np.uint8)
    told = f' data-values="{base64.b64encode(rounded.tobytes()).decode()}" data-columns="{values.shape[1]}"'
    return picture(diverging(values, limit), alt, f'{told} data-limit="{limit:.6g}"{more}')


def diverging(values: Array, limit: float) -> Array:
    """Bytes (h, w, 3) of numbers (h, w): from the colour of class 0 at -limit by white to that of class 1 at limit."""
    ends = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in LIGHT[:2]])
    strength = abs(np.clip(values / limit, -1, 1))[..., np.newaxis]
    colours: Array = np.rint(255 + strength * (ends[(values > 0).astype(int)] - 255)).astype(np.uint8)
    return colours
