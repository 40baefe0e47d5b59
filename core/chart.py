"""Charts as SVG, for pages with the stylesheet of `sheet`: axes with numbers, lines that are named at their ends."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

COLOURS = 6
"""Of the palette; further lines are dashed."""

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, LETTER, APART = 440, 300, 66, 14, 46, 7.2, 16
MOST_POINTS, MOST_HITS = 400, 120
MOST_NAMES = 0.4
"""Of the width, what names at an edge may take; longer ones are pressed together."""


class Scale(NamedTuple):
    """An axis, from low to high.

    Attributes:
        words: what it shows, with the unit.
        log: whether it is logarithmic.
    """

    words: str
    low: float
    high: float
    log: bool = False

    @classmethod
    def over(cls, words: str, values: Sequence[float] | Array, *, log: bool = False) -> Scale:
        """An axis that holds these numbers, with some room."""
        low, high = float(np.min(values)), float(np.max(values))
        if log:
            room = max(1.15, (high / low) ** 0.06) if high > low else 1.6
            return cls(words, low / room, high * room, True)
        room = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
        return cls(words, low - room, high + room)

    def at(self, value: float) -> float:
        """The place of a number: 0 at the low end, 1 at the high one."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self, most: int = 7) -> list[float]:
        """Round numbers to be written along it: 1, 2 and 5 times powers of ten, or what lies evenly."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for digits in (1, 2, 5), (1, 3), (1,):
                ticks = [d * 10.0**k for k in decades for d in digits if self.low <= d * 10.0**k <= self.high]
                if len(ticks) <= most:
                    break
            if len(ticks) >= 3:
                return ticks
        rough = (self.high - self.low) / (most - 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(d * power for d in (1, 2, 2.5, 5, 10) if d * power >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


class Series(NamedTuple):
    """Numbers y over x.

    Attributes:
        name: stands at its end; "" for none.
        colour: of the palette; None for that of the axes, with rings for dots.
        low, high: intervals around y.
        line, dots, filled: how it is drawn.
    """

    name: str
    x: Sequence[float] | Array
    y: Sequence[float] | Array
    colour: int | None = None
    low: Sequence[float] | Array | None = None
    high: Sequence[float] | Array | None = None
    line: bool = True
    dots: bool = False
    filled: bool = False


class Hit(NamedTuple):
    """What is said of a stretch around x, to whom points at it."""

    x: float
    says: str


def chart(alt: str, x: Scale, y: Scale, series: Sequence[Series], hits: Sequence[Hit] = (), more: str = "") -> str:
    """A figure of series over common axes.

    Args:
        alt: what it shows, for who cannot see it.
        x, y: the axes.
        series: what is drawn, the later above the earlier.
        hits: in the order of x.
        more: other SVG, in shares of the axes: it is put into the unit square, whose y goes up.
    """
    right = _room([s.name for s in series if s.name and s.line and len(s.x)], 14) or 16
    w, h = WIDTH - LEFT - right, HEIGHT - TOP - BOTTOM

    def across(value: float) -> float:
        return round(LEFT + w * x.at(value), 1)

    def up(value: float) -> float:
        return round(TOP + h * (1 - y.at(value)), 1)

    parts = []
    for tick in y.ticks():
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + w:g}" y1="{up(tick)}" y2="{up(tick)}"/>')
        parts.append(_text(LEFT - 6, up(tick) + 4, number(tick), "soft", "end"))
    for tick in x.ticks():
        parts.append(f'<line class="axis" x1="{across(tick)}" x2="{across(tick)}" y1="{TOP + h}" y2="{TOP + h + 4}"/>')
        parts.append(_text(across(tick), TOP + h + 18, number(tick), "soft", "middle"))
    parts.append(f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{TOP + h}H{LEFT + w:g}"/>')
    parts.append(_text(LEFT + w / 2, HEIGHT - 6, x.words, "", "middle", w))
    below = _text(0, 0, y.words, "", "middle", h)
    parts.append(f'<g transform="translate(13 {TOP + h / 2:g}) rotate(-90)">{below}</g>')
    names = []
    for s in series:
        places = [(across(a), up(b)) for a, b in zip(s.x, s.y, strict=True)]
        ranges = [] if s.low is None or s.high is None else list(zip(s.low, s.high, strict=True))
        whiskers = "".join(f"M{px} {up(low)}V{up(high)}" for (px, _), (low, high) in zip(places, ranges, strict=False))
        line = "M" + "L".join(f"{px} {py}" for px, py in _few(places)) if s.line and places else ""
        dashes = ' stroke-dasharray="5 4"' if s.colour is None or s.colour >= COLOURS else ""
        if line:
            fill = f'fill="{_ink(s)}" fill-opacity=".25"' if s.filled else 'fill="none"'
            parts.append(f'<path {fill} stroke="{_ink(s)}" stroke-width="2"{dashes} d="{line}"/>')
        if whiskers:
            parts.append(f'<path stroke="{_ink(s)}" stroke-width="1.3" d="{whiskers}"/>')
        dot = 'r="7" class="ring"' if s.colour is None else f'r="4" fill="{_ink(s)}"'
        parts += [f'<circle cx="{px}" cy="{py}" {dot}/>' for px, py in places if s.dots]
        if s.name and places:
            names.append((places[-1], s))
    parts += _named(names, h, right - 14)
    if more:
        parts.append(f'<g transform="translate({LEFT} {TOP + h}) scale({w:g} {-h})">{more}</g>')
    parts.append(_hits([(across(hit.x), hit.says) for hit in _few(hits, MOST_HITS)], w, h))
    return svg(alt, HEIGHT, parts)


def bars(alt: str, words: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Lying bars from 0: of each its name, its length, and what is written at its end."""
    left, right = _room([name for name, _, _ in rows], 10), _room([said for _, _, said in rows], 10)
    longest, height = max(value for _, value, _ in rows) or 1.0, 28 * len(rows) + 28
    parts = []
    for i, (name, value, said) in enumerate(rows):
        width = (WIDTH - left - right) * value / longest
        parts.append(_text(left - 8, 28 * i + 19, name, "", "end", left - 10))
        parts.append(f'<rect x="{left:g}" y="{28 * i + 5}" width="{width:.1f}" height="20" fill="var(--c0)"/>')
        parts.append(_text(left + width + 6, 28 * i + 19, said, room=right - 10))
    return svg(alt, height, [*parts, _text(left, height - 8, words, "soft")])


def svg(alt: str, height: float, parts: Sequence[str]) -> str:
    """The parts as an image with a title."""
    title = f"<title>{html.escape(alt)}</title>"
    return f'<svg role="img" viewBox="0 0 {WIDTH} {height:g}">{title}{"".join(parts)}</svg>'


def number(value: float) -> str:
    """In few digits, with commas."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start", room: float = math.inf) -> str:
    """Words at a place, pressed together where they would need more than the room."""
    pressed = f' textLength="{room:g}" lengthAdjust="spacingAndGlyphs"' if LETTER * len(words) > room else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{pressed}>{html.escape(words)}</text>'


def _ink(s: Series) -> str:
    return "var(--soft)" if s.colour is None else f"var(--c{s.colour % COLOURS})"


def _few(points: Sequence[Any], most: int = MOST_POINTS) -> list[Any]:
    """So many of them, evenly, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[i] for i in np.linspace(0, len(points) - 1, most).round().astype(int)]


def _room(words: Sequence[str], beside: float) -> float:
    """What the longest of them need with something beside them, up to a part of the figure; 0 for none."""
    return min(MOST_NAMES * WIDTH, max((LETTER * len(word) + beside for word in words), default=0))


def _named(names: list[tuple[tuple[float, float], Series]], h: float, room: float) -> list[str]:
    """Names at the ends of series, moved apart where they would hide each other."""
    names = sorted(names, key=lambda named: named[0][1])
    heights = [py for (_, py), _ in names]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + APART)
    bottom = TOP + h
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], bottom)
        bottom = heights[i] - APART
    parts = []
    for ((px, py), s), place in zip(names, heights, strict=True):
        parts.append(f'<path stroke="{_ink(s)}" d="M{px + 2} {py}L{px + 8} {place:.1f}"/>')
        parts.append(_text(px + 11, place + 4, s.name, "name", room=room if s.line else math.inf))
    return parts


def _hits(places: list[tuple[float, str]], w: float, h: float) -> str:
    """Stretches of the whole height, each up to half the way to the next."""
    edges = [LEFT, *((a + b) / 2 for (a, _), (b, _) in pairwise(places)), LEFT + w]
    return "".join(
        f'<rect class="hit" x="{low:.1f}" y="{TOP}" width="{max(0, high - low):.1f}" height="{h}">'
        f"<title>{html.escape(says)}</title></rect>"
        for (_, says), (low, high) in zip(places, pairwise(edges), strict=False)
    )
