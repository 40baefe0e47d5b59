"""How the documentation is built: by Sphinx, from Markdown (MyST), docstrings, `--help`, and the tutorial's cells."""

import re

import click
from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.util.docutils import SphinxDirective

import handgrad
from handgrad.commands import handgrad as commands

project = "handgrad"
author = "the handgrad developers"
copyright = f"2026, {author}"
release = handgrad.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown", ".py": "percent"}
exclude_patterns = ["conf.py"]
suppress_warnings = ["misc.highlighting_failure"]
"""Output stands in blocks without a language; nothing in it is to be highlighted."""

html_theme = "furo"
html_title = f"handgrad {release}"
html_static_path = ["static"]
html_css_files = ["handgrad.css"]
html_show_sourcelink = html_copy_source = False
highlight_language = "text"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

default_role = "py:obj"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"npt.ArrayLike": "ArrayLike"}
python_maximum_signature_line_length = 88
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Args", "params_style")]

CELL = re.compile(r"^# %%( \[markdown\])?\n(.*?)(?=^# %%|\Z)", re.DOTALL | re.MULTILINE)


class PercentParser(MystParser):
    """A program in cells, as Markdown; the comment that ends a cell of code is what it prints, as a test sees to."""

    supported = ("percent",)

    def parse(self, inputstring, document):
        pages = []
        for text, cell in CELL.findall(inputstring):
            if text:
                pages.append(re.sub(r"^# ?", "", cell, flags=re.MULTILINE))
                continue
            code, printed = re.fullmatch(
                r"(.*?)((?:^#[^\n]*\n)*)", f"{cell.strip()}\n", re.DOTALL | re.MULTILINE
            ).groups()
            pages.append(f"```python\n{code}```")
            if printed:
                pages.append(f"```\n{re.sub('^# ?', '', printed, flags=re.MULTILINE)}```")
        super().parse("\n\n".join(pages), document)


class Commands(SphinxDirective):
    """What `--help` says of every command, a section each."""

    def run(self):
        sections = []
        for name, command in sorted(commands.commands.items()):
            context = click.Context(command, info_name=f"handgrad {name}", terminal_width=100, max_content_width=100)
            section = nodes.section("", nodes.title("", f"handgrad {name}"), ids=[f"handgrad-{name}"])
            said = command.get_help(context)
            section += nodes.literal_block(said, said, language="text")
            sections.append(section)
        return sections


def at_home(_app, _path, _page, content):
    """In what is included from the root, links to files lead to the pages here."""
    pages = {"SECURITY.md": "security.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}

    def home(link):
        target = link[1].removeprefix("docs/")
        return f"]({pages.get(target, target if link[1] != target else f'../{target}')})"

    content[0] = re.sub(r"\]\(((?!\w+:|#)[^)]+)\)", home, content[0])


def plain(_app, _what, _name, _object, _options, lines):
    """In docstrings, |x| is a size, and a name may end in _: both mean something else to docutils."""
    literal = None  # the indent of the line whose :: began a literal block
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line and indent <= literal:
            literal = None
        if literal is None and not line.lstrip().startswith(">>>"):
            lines[i] = re.sub(r"(``.*?``|\\.)|(?<=\w)_(?!\w)|\|", lambda found: found[1] or "\\" + found[0], line)
            literal = indent if line.endswith("::") else None


def accessible(_app, _page, _template, context, _document):
    """What Sphinx and the theme lack for who reads by ear or by keyboard: a level, lists, code that scrolls."""
    tree, body = (context.get(name, "") for name in ("furo_navigation_tree", "body"))
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    arguments = re.compile(r"<dl>\n(<dd>.*?)</dl>", re.DOTALL)
    body = arguments.sub(lambda dl: f"""<dl role="list">{dl[1].replace("<dd>", '<dd role="listitem">')}</dl>""", body)
    context["body"] = body.replace("<pre>", '<pre tabindex="0">')


def setup(app):
    """Adds what is said above."""
    app.add_source_parser(PercentParser)
    app.add_directive("commands", Commands)
    app.connect("include-read", at_home)
    app.connect("autodoc-process-docstring", plain, priority=900)  # after Napoleon
    app.connect("html-page-context", accessible, priority=900)  # after the theme
