"""Hooks of mkdocs: formulas as MathML, files and links outside docs/, and ranks of pages in the search.

The Markdown files have the relative links and the formulas of GitHub, so they can be read there too.
"""

import html
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages of the site that are files beside docs/."""

BOOSTS = {"tutorial": 3.0, "how-to": 3.0, "decisions": 0.2}
"""Factors of the ranks of pages in the search, by folder: guides come first, decision records last."""

_FORMULA = re.compile(
    r'(?:<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>|\$<code>(?P<code>.*?)</code>\$)'
    r"(?P<mark>[.,;:)]*)",
    re.DOTALL,
)
_LINK = re.compile(r"(?P<start>\]\()(?P<path>(?!\w+:)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages beside docs/, and the figures of the benchmarks."""
    figures = (path.relative_to(ROOT).as_posix() for path in ROOT.glob("benchmarks/results/*/*.[ps][nv]g"))
    for path in (*PAGES, *figures):
        files.append(File(path, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Set the rank in the search, and replace relative links that leave docs/ by links to site or repository."""
    source = Path(page.file.abs_src_path or "")
    page.meta["search"] = {"boost": BOOSTS.get(source.parent.name, 1.0)}

    def replaced(link: re.Match[str]) -> str:
        target = (source.parent / link["path"]).resolve()
        if not target.is_relative_to(ROOT):
            raise PluginError(f"{page.file.src_uri} has a link to {link['path']}, which is outside of the repository.")
        path = target.relative_to(ROOT).as_posix()
        uri = path.removeprefix("docs/")
        if files.get_file_from_path(uri):
            new = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
        elif target.exists():
            new = f"{config.extra['repository']}/{'tree' if target.is_dir() else 'blob'}/main/{path}"
        else:
            return link[0]  # reported by mkdocs
        return f"{link['start']}{new}{link['anchor'] or ''})"

    return _LINK.sub(replaced, markdown)


def on_page_content(html_text: str, **_: object) -> str:
    """Replace formulas in LaTeX by MathML, which browsers show without a script."""
    return _FORMULA.sub(_as_mathml, html_text)


def _as_mathml(formula: re.Match[str]) -> str:
    tex = html.unescape(formula["tex"] or formula["code"])
    is_block = formula["tag"] == "div"
    # latex2mathml has align* in place of aligned, which is the same inside of a formula.
    mathml = convert(tex.replace("{aligned}", "{align*}"), display="block" if is_block else "inline")
    if "\\" in mathml or "<mi>&</mi>" in mathml:
        raise PluginError(f"latex2mathml does not know a part of the formula {tex}. Write it with other commands.")
    # A full stop after a formula stays on its line.
    return mathml if is_block else f'<span class="formula">{mathml}{formula["mark"]}</span>'
