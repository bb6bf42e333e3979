"""Reports in Chromium, which Playwright drives."""

import shutil

import pytest
from report_examples import ATTACK, example_report

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
]

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def report_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("browser") / "report.html"
    example_report(file.parent).write(file)
    return file


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def messages():
    """Return warnings and errors of the console."""
    return []


@pytest.fixture(scope="module")
def page(browser, report_file, messages):
    """Return the report on a phone in dark mode, with everything unfolded."""
    page = browser.new_page(viewport=PHONE, color_scheme="dark")
    page.set_default_timeout(120_000)  # in milliseconds; other tests run at the same time
    page.on("console", lambda message: messages.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: messages.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(report_file.as_uri())
    page.evaluate("document.querySelectorAll('section > details').forEach(one => { one.open = true; })")
    wait_until(page, "document.querySelectorAll('.chart:not(:has(svg.main-svg))').length === 0")
    return page


def wait_until(page, condition: str) -> None:
    """Wait for a condition; the policy of the page does not allow `wait_for_function`."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(condition)


def test_every_chart_is_drawn_without_errors(page, messages):
    charts = page.evaluate(
        "[...document.querySelectorAll('.chart')].map(one => [one.getAttribute('aria-label'), "
        "one.querySelectorAll('.trace, .points path, .point').length])"
    )
    assert len(charts) >= 20
    assert not [label for label, shapes in charts if not shapes]
    assert messages == []


def test_texts_of_a_dataset_do_not_run(page):
    assert ATTACK in page.content().replace("&lt;", "<").replace("&gt;", ">")
    assert page.title().startswith("Report: ")
    assert page.locator("main img, main iframe").count() == 0


def test_the_page_fits_on_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    wide = "[...document.querySelectorAll('.chart svg.main-svg')].filter(one => one.clientWidth > innerWidth).length"
    assert page.evaluate(wide) == 0


def test_charts_have_the_colors_of_the_mode(page):
    color = "getComputedStyle(document.querySelector('.chart .xtitle')).fill"
    dark = page.evaluate(color)
    page.emulate_media(color_scheme="light")
    wait_until(page, f"{color} !== '{dark}'")
    page.emulate_media(color_scheme="dark")
    wait_until(page, f"{color} === '{dark}'")


SORT = """() => {
  const keys = (table, column) => [...table.tBodies[0].rows].map(row => row.cells[column].dataset.key)
    .filter(one => one !== '' && one !== 'null');
  const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  const sorted = (list, sign) => list.every((one, i) => i === 0 || sign * compare(list[i - 1], one) <= 0);
  const result = [];
  for (const table of document.querySelectorAll('table')) [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = head.querySelector('button');
    button.click();
    const up = head.getAttribute('aria-sort') === 'ascending' && sorted(keys(table, column), 1);
    button.click();
    const down = head.getAttribute('aria-sort') === 'descending' && sorted(keys(table, column), -1);
    result.push([table.caption.textContent, up && down]);
  });
  return result;
}"""


def test_every_table_can_be_sorted_by_every_column(page):
    columns = page.evaluate(SORT)
    assert len(columns) > 40
    assert not [caption for caption, is_sorted in columns if not is_sorted]


def test_the_page_can_be_used_with_the_keyboard(page):
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav') !== null")
    page.locator("th button").first.focus()
    before = page.evaluate("document.activeElement.parentElement.getAttribute('aria-sort')")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.getAttribute('aria-sort')") != before
    page.locator("td summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("td details[open]").count() == 1
