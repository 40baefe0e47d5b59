"""README.md and docs/ are true: their code runs, prints what they say, and they build into a site without a warning."""

import importlib.util
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

import documents
import tables
from handgrad.commands import handgrad

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FRAMEWORKS = "numba", "torch", "jax"
ROOMS = "handgrad", "handgrad.testing", "handgrad.look", "handgrad.data"
"""Whose public names are all in the reference."""


def named(path):
    return path.name


@pytest.fixture(params=PAGES, ids=named)
def page(request):
    return request.param


@pytest.fixture(scope="session")
def needed():
    for package in "autograd", "jax", "matplotlib", "numba", "scipy", "sklearn", "torch":
        pytest.importorskip(package)


@pytest.fixture(scope="session")
def digits(needed, tmp_path_factory):
    from handgrad.demo import write_digits

    folder = tmp_path_factory.mktemp("digits") / "photographs"
    write_digits(folder)
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if documents.runs(page)], ids=named)
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(page, tmp_path, digits):
    for line, said, printed in documents.run(page, tmp_path, digits):
        if said is not None:
            assert documents.matches(documents.tokens(said), documents.tokens(printed, tmp_path)), (
                f"{page.name}, line {line}: said\n{said}\nand printed\n{printed}"
            )


def test_code_that_is_not_run_compiles_and_its_commands_exist(page):
    """And so does code that is run."""
    for step in documents.steps(page.read_text(encoding="utf-8")):
        if step.file:
            compile(step.text, f"{page.name}, line {step.line}", "exec")
            continue
        words = shlex.split(step.text, comments=True)
        if "handgrad" in words:
            name, *arguments = words[words.index("handgrad") + 1 :]
            handgrad.commands[name].make_context(name, arguments) if name in handgrad.commands else exit_of(name)
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), step.text
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), step.text


def exit_of(option):
    """--help and --version end click; anything else is an error."""
    assert option in ("--help", "--version")


def test_every_program_is_run_and_most_commands():
    found = [step for page in PAGES for step in documents.steps(page.read_text(encoding="utf-8"))]
    assert not [step.text for step in found if step.file and step.why_not]
    assert len([step for step in found if step.why_not]) < len(found) / 2


@pytest.mark.parametrize("page", [*PAGES, *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "SECURITY", "CHANGELOG"))])
def test_links_lead_to_files(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.split("#")[0]).exists(), target


def test_the_site_builds_offline_without_a_warning_and_names_all_that_is_public(site):
    pages = {path.name: path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    assert set(pages) >= {
        f"{path.stem}.html" for path in [*(ROOT / "docs").glob("*.md"), ROOT / "docs" / "tutorial.py"]
    }
    for name, page in pages.items():
        assert not re.search(r"<(script|img|link)[^>]* (src|href)=\"http", page), f"{name} needs a network"
    for room in ROOMS:
        for name in importlib.import_module(room).__all__:
            if not name.startswith("__"):
                assert f'id="{room}.{name}"' in pages["api.html"], f"{room}.{name}"
    for name in handgrad.commands:
        assert f'id="handgrad-{name}"' in pages["commands.html"]
    assert (site / "searchindex.js").is_file()


def test_a_link_that_leads_nowhere_breaks_the_build(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(ROOT / "docs" / "conf.py", docs)
    (docs / "index.md").write_text("# A page\n\n[another](nowhere.md)\n")
    outcome = documents.built(docs, tmp_path / "site")
    assert outcome.returncode != 0
    assert "nowhere.md" in outcome.stderr


def test_the_readme_is_read_in_one_sitting():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_readmes_one_word_changes_the_backend_and_not_what_is_printed(name, capsys):
    pytest.importorskip(name)
    (swap,) = (
        step
        for step in documents.steps((ROOT / "README.md").read_text(encoding="utf-8"))
        if step.file and "handgrad.backends.numpy" in step.text
    )
    exec(compile(swap.text.replace("backends.numpy", f"backends.{name}"), "swap", "exec"), {})
    assert documents.matches(documents.tokens(swap.said), documents.tokens(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("said", "printed", "same"),
    [
        ("cost 0.1666", "cost 0.1667", True),
        ("cost 0.1666", "cost 0.1686", False),
        ("287 examples", "288 examples", False),
        ("gap 3e-16", "gap 5e-16", True),
        ("500 epochs, 1.16 ms each", "500 epochs, 2.5 ms each", True),
        ("500 epochs, 1.16 ms each", "501 epochs, 1.16 ms each", False),
        ("name  ms/epoch  J\na          1.2  7", "name  ms/epoch  J\na         14.9  7", True),
        ("name  ms/epoch  J\na          1.2  7", "name  ms/epoch  J\na         14.9  8", False),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nb\nc\nde", False),
        ("a", "a\nb", False),
        ("x.py:3 wrong", "FOLDER/x.py:3 wrong", True),
    ],
)
def test_a_changed_output_is_noticed_and_a_time_is_not(said, printed, same):
    assert documents.matches(documents.tokens(said), documents.tokens(printed, "FOLDER")) is same


def test_blocks_are_found_in_their_order_with_what_they_print():
    program = "```python\n# a.py\n1\n```\n\n```\nx\n```\n\n"
    commands = "<!-- not run: long -->\n```console\n$ handgrad demo\ny\n$ pip z\n```\n"
    a, demo, pip = documents.steps(program + commands)
    assert a == ("a.py", "# a.py\n1\n", "x\n", None, 2)
    assert demo == (None, "handgrad demo", "y\n", "long", 12)
    assert pip == (None, "pip z", None, "long", 12)


def test_tables_are_made_anew_and_what_the_machine_decides_is_told_from_what_does_not_come_back(tmp_path, capsys):
    blocks = (
        "```console\n$ echo 2\n{}\n$ echo 5 ms\n{}\n$ echo 7\n...\n```\n\n```python\nprint(3)\n```\n\n```\n{}\n```\n"
    )
    page, folder = tmp_path / "page.md", tmp_path / "page"
    (tmp_path / "digits").mkdir()
    folder.mkdir()
    page.write_text(blocks.format(1, "4 ms", 3) + "<!-- not run: long -->\n```console\n$ echo 1\n2\n```\n")
    assert tables.held_to(page, folder, long=False, write=True) == {"as said", "the machine", "differs"}
    said = capsys.readouterr().out
    assert [line.split("  ")[0] for line in said.splitlines() if "page.md" in line] == [
        "differs", "the machine", "the machine", "as said", "not run",
    ]  # fmt: skip
    assert "    -1\n    +2\n" in said
    assert page.read_text().startswith(blocks.format(2, "5 ms", 3))
    assert tables.verdict("1 s\n", "2\n", "long, and the machine decides") == "the machine"
    assert tables.verdict("1\n", "2\n", "long") == "differs"


def test_the_picture_of_the_house_has_the_rooms_of_the_contract_in_their_order():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    order = {room: i for i, layer in enumerate(contract["layers"]) for room in layer.split(" | ")}
    picture = re.search(r"```\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    layers = [re.findall(r"\w+", re.split(r"\s{3,}", line.strip())[0]) for line in picture.splitlines()]
    drawn = [order[room] for layer in layers for room in layer]
    assert len(drawn) > 40
    assert drawn == sorted(drawn)
