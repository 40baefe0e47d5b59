"""The report, the benchmark's page and the documentation in a browser: on a phone and on a desk, light and dark."""

import json
import re
from itertools import combinations

import numpy as np
import pytest

import browser
from conftest import trained
from handgrad import chart, sheet
from handgrad.benchmarks import bench
from handgrad.benchmarks.page import page, verdict
from handgrad.commands import run


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on photographs, with what all sections show."""
    words = ["--epochs", "30", "--learning-rate", "0.02", "--l2", "0.1"]
    folder, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    made, data = trained(folder, rng, ["--size", "5", "--validation", "0.5"], words)
    assert run(["explain", str(made), str(data)]) == 0
    return made / "report.html"


def timed(sizes, **times):
    """A result of the benchmark: of each arm, milliseconds of a step at each size, with little noise."""
    rng, result = np.random.default_rng(0), {"sizes": [], "scaling": [], "finished": True}
    result["bandwidth"] = {"bytes_per_second": 2e10, "kernels": {"dot product": 2e10, "sum of float32": 1.9e10}}
    result["settings"] = {"dtype": "float32", "input": "uint8", "loss": "cross_entropy", "rounds": 20, "threads": 2}
    result["settings"] |= {"seed": 0, "device": "cpu"}
    result["left_out"] = [{"arm": "sklearn", "reason": "scikit-learn is not installed"}]
    result["environment"] = {
        "cpu": "a processor", "cores": 2, "threads": 2, "caches": {"L1": 2**15}, "memory_bytes": 2**34, "gpu": None,
        "versions": {"numpy": "2.4"}, "blas": "openblas", "revision": "0" * 40,
        "command": ["__main__.py", "bench", "--backends", "a,b c.py"],
    }  # fmt: skip
    for i, (n, m) in enumerate(sizes):
        work = type("Work", (), {"X": np.empty((n, m), np.uint8)})
        size = {"features": n, "examples": m, "arms": [], "pairs": []}
        for name, of_each in times.items():
            rounds = (1e-3 * of_each[i] * np.exp(rng.normal(0, 0.004, 20)))[:, np.newaxis].tolist()
            row = {"arm": name, "dtype": "float64" if name == "article" else "float32", "refused": None}
            row |= {"rounds": rounds, "bytes_per_step": 2 * n * m, "transfer_seconds": 0.1, "compile_seconds": 0.2}
            size["arms"].append(row | {"first_seconds": 0.01, "peak_bytes": 5 * n * m})
        size["arms"].append({"arm": "wrong", "dtype": "float32", "refused": "dW is wrong"})
        bench._summarise(size, 2e10, work)
        result["sizes"].append(size)
    result["scaling"] = bench._scaling(result["sizes"])
    return result


SIZES = [(12_288, 1_000), (12_288, 5_000), (12_288, 20_000)]
TIMES = {
    "numba": (0.9, 3.4, 12.8), "numpy": (2.2, 15.8, 62.3), "torch": (5.2, 23.5, 87.7), "jax": (4.4, 18.6, 60.3),
    "article": (4.5, 32.3, 128), "jax_plain": (4.5, 32.4, 129), "torch_eager": (5.3, 23.6, 88),
}  # fmt: skip


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """The page of a benchmark, three of whose lines end where others do."""
    path = tmp_path_factory.mktemp("bench") / "bench.html"
    path.write_text(page(timed(SIZES, **TIMES)), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["report", "benchmark"])
def test_a_page_is_whole_and_read_by_all(name, chromium, request):
    assert browser.faults(chromium, request.getfixturevalue(name)) == []


def test_all_of_the_documentation_is_whole_and_read_by_all(chromium, site):
    """Contrasts, which take long, are looked at on some pages: all have one stylesheet."""
    found = {}
    for path in sorted(site.glob("*.html")):
        schemes = browser.SCHEMES if path.stem in ("index", "prove", "backends") else ()
        found[path.name] = browser.faults(chromium, path, schemes)
    assert len(found) > 20
    assert {name: faults for name, faults in found.items() if faults} == {}


PLANTED = {
    "<p style='width:1000px'>x</p>": 'too wide',
    "<div style='position:absolute;left:0;width:2000px'>x</div>": "the page is wider",
    "<script>console.error('oh')</script>": "console: oh",
    "<script>nothing.there()</script>": "error: nothing is not defined",
    "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>": "an image without words",
    "<img alt='a cat' src='data:image/png;base64,00'>": "a cat: not shown",
    "<img alt='a dog' src='http://127.0.0.1:9/dog.png'>": "asks http://127.0.0.1:9/dog.png",
    "<svg role=img viewBox='0 0 9 9'></svg>": "a figure without words",
    "<svg role=img viewBox='0 0 400 40'><title>t</title><text x='380' y='20'>tor 8 and more</text></svg>": "is cut off",
    "<svg role=img viewBox='0 0 900 40'><title>t</title><text x='9' y='20'>small</text></svg>": "is tiny",
    "<svg role=img viewBox='0 0 300 40'><title>t</title><text y='20'>a one</text><text y='22'>two</text></svg>":
    "lies on",
    "<p style='color:#bbb;background:#fff'>pale</p>": "color contrast",
    "<p class=planted>dark</p><style>@media(prefers-color-scheme:dark){.planted{color:#333}}</style>": "dark: Elem",
    "<input>": "must have labels",
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_a_fault_is_seen(planted, chromium, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(sheet.sheet("a page", planted).replace("Content-Security-Policy", "none"), encoding="utf-8")
    schemes = browser.SCHEMES if "contrast" in PLANTED[planted] or "dark" in PLANTED[planted] else ()
    assert any(PLANTED[planted] in fault for fault in browser.faults(chromium, path, schemes))


def test_the_threshold_moves_both_errors_and_the_interpolation_the_pictures(chromium, report):
    counts = json.loads(re.search(r'id="counts">(.*?)</script>', report.read_text(encoding="utf-8"))[1])
    with browser.opened(chromium, report, []) as tab:
        for at in 30, 50, 55:
            threshold, *above = counts["above"][at]
            tab.locator("#threshold").fill(str(at))
            cells = tab.locator("#errors td span").all_inner_texts()
            (z, o), (fz, fo) = counts["of"], above
            expected = [
                "cat",
                str(z - fz),
                str(fz),
                f"{fz / z:.1%}",
                "dog",
                str(o - fo),
                str(fo),
                f"{(o - fo) / o:.1%}",
            ]
            assert cells == expected
            assert tab.locator("#at").inner_text() == f"{threshold:.2f}"
            right = z - fz + fo
            assert tab.locator("#right").inner_text() == f"{right} of {z + o}, {right / (z + o):.1%}"
            assert float(tab.locator("#up").get_attribute("y1")) == pytest.approx(fo / o)
        image = tab.locator("[data-lanczos]").first
        before = image.get_attribute("src")
        tab.locator("#interpolation").select_option("lanczos")
        after = image.get_attribute("src")
        assert after != before
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200
        tab.locator("#interpolation").select_option("nearest")
        assert image.get_attribute("src") == before


def test_what_is_pointed_at_tells_its_value(chromium, report):
    from handgrad.run import load_model

    model = load_model(report.parent)
    W = model.parameters.W.reshape(model.size).sum(axis=2)
    with browser.opened(chromium, report, []) as tab:
        tab.locator(".hit").nth(3).hover()
        assert tab.locator(".says").first.inner_text().startswith("after 3 epochs: train 0.")
        picture = tab.locator("[data-values]").first
        box = picture.bounding_box()
        picture.hover(position={"x": 0.5 * box["width"], "y": 0.1 * box["height"]})  # of 5 x 5 the first row, the third
        said = tab.locator(".tells .says").first.inner_text()
        row, column, value = re.fullmatch(r"row (\d), column (\d): ([-+]?\S+)", said).groups()
        assert (row, column) == ("1", "3")
        assert float(value) == pytest.approx(float(W[0, 2]), rel=0.05)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (TIMES, "numba is the fastest at every size: 2.4 to 4.7 times as fast as the next."),
        ({"a": (1, 1, 1), "b": (2, 2, 2)}, "a is the fastest at every size: 2.0 times as fast as b, the next."),
        ({"a": (1, 1, 2), "b": (2, 2, 1)}, "At m = 1,000 and m = 5,000 a is the fastest; at m = 20,000 b is "
         "the fastest."),
        ({"a": (1, 1, 1), "b": (1, 1, 1)}, "a and b are too near to each other to call one the fastest, at every "
         "size."),
        ({"a": (1, 1, 1)}, "Only a was timed, so there is nothing to compare it with."),
        ({}, "No arm was timed."),
    ],
)  # fmt: skip
def test_the_verdict_is_a_sentence(times, said):
    result = timed(SIZES, **times)
    assert said in verdict(result)
    assert f'<p class="lead">{verdict(result)}</p>' in page(result)


def test_an_arm_with_a_long_name_leaves_room_for_the_charts():
    text = page(timed(SIZES, **{"a-folder/" * 9 + "mine.py:Neuron": (2, 9, 30), "numpy": (1, 5, 20)}))
    assert not re.search(r'(width|textLength|x)="-|scale\(-', text)
    assert "mine.py:Neuron" in text


def test_of_one_size_nothing_is_said_of_every_size():
    alike = "a and b are too near to each other to call one the fastest."
    assert verdict(timed(SIZES[:1], a=(1,), b=(1,))) == alike
    assert verdict(timed(SIZES[:1], a=(1,), b=(2,))) == "a is the fastest: 2.0 times as fast as b, the next."


def test_the_page_of_a_benchmark_says_all_that_its_table_says(benchmark):
    text = benchmark.read_text(encoding="utf-8")
    result = timed(SIZES, **TIMES)
    for size in result["sizes"]:
        for cells in bench.cells_of(size, "float32"):
            for word in cells:
                assert f"<span>{word}</span>" in text
    for word in bench.HEADER[1:]:
        assert f"<dt>{word}</dt>" in text
    assert "wrong at m = 1,000: refused: dW is wrong" in text
    assert "sklearn: scikit-learn is not installed" in text
    assert "<pre>handgrad bench --backends &#x27;a,b c.py&#x27;</pre>" in text
    assert "a processor, 2 cores" in text


def test_long_names_are_not_cut_off(chromium, tmp_path):
    scale = chart.Scale.over("share of golden retrievers that were taken for Labrador retrievers", [0, 1])
    path = tmp_path / "page.html"
    path.write_text(sheet.sheet("a page", chart.chart("a chart", scale, scale, [])), encoding="utf-8")
    assert not [fault for fault in browser.faults(chromium, path) if "cut off" in fault]


def words(svg):
    return re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="(\w*)"[^>]*>([^<]*)<', svg)


def test_lines_that_end_together_keep_their_names_apart():
    series = [chart.Series(f"line {i}", [0, 1], [0, 1 + i / 1000], i) for i in range(8)]
    scale = chart.Scale.over("x", [0, 1])
    heights = sorted(float(y) for _, y, kind, _ in words(chart.chart("lines", scale, scale, series)) if kind == "name")
    assert len(heights) == 8
    assert min(np.diff(heights)) >= chart.APART - 0.2


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [(12.288,), (0.5, 2), (5, 25), (1e-3, 1e3), (0.64, 0.69), (3e5, 4e5), (1, 1e12)])
def test_an_axis_has_some_round_numbers_that_lie_on_it(values, log):
    scale = chart.Scale.over("x", values, log=log)
    ticks = scale.ticks()
    assert 3 <= len(ticks) <= 13
    assert all(-1e-9 <= scale.at(tick) <= 1 + 1e-9 for tick in ticks)
    assert len({chart.number(tick) for tick in ticks}) == len(ticks)
    assert all(0 <= scale.at(value) <= 1 for value in values)


def linear(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
SEEN = {
    "by most": np.eye(3),
    "without red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "without green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "without blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""Linear RGB as it is seen (Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color
Vision Deficiency", 2009)."""


def lab(colour, seen):
    xyz = XYZ @ np.clip(np.asarray(seen) @ linear(colour), 0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize(("colours", "paper"), [(sheet.LIGHT, sheet.PAPER[0]), (sheet.DARK, sheet.PAPER[1])])
def test_everybody_tells_the_colours_apart(colours, paper, seen):
    """By 10 of CIE's delta E of 1976, of which 2.3 is just seen; and from the page by 3 to 1, as WCAG asks."""
    for one, other in combinations(colours, 2):
        assert np.linalg.norm(lab(one, SEEN[seen]) - lab(other, SEEN[seen])) > 10, (one, other)
    for colour in colours:
        low, high = sorted(float(XYZ[1] @ linear(c)) for c in (colour, paper))
        assert (high + 0.05) / (low + 0.05) >= 3, colour


def test_numbers_become_colours_and_back():
    values = np.array([[-2.0, -1, 0, 0.5, 1, 3]])
    colours = sheet.diverging(values, 1)[0]
    assert [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colours[[1, 2, 4]]] == [sheet.LIGHT[0], "#ffffff", sheet.LIGHT[1]]
    assert (colours[0] == colours[1]).all()
    assert (colours[5] == colours[4]).all()
