"""`dvc plots` as a person without the internet sees it: the page opens, asks for nothing from elsewhere, and shows every chart of dvc.yaml."""

import shutil

import pytest
from browser import browser
from chain import REPOSITORY, call, write_yaml

from pipeline.core.config import read_yaml

CURVE, EXAM = "step,loss,val_loss\n1,6.0,\n2,5.0,5.5\n3,{},4.5\n", "bar,rate\npeople: blink,{}\npeople: fade,0.25\n"
SIZES = "type,bits_per_weight,bits_per_byte\nQ8_0,8.5,{}\nF16,16,1.2\n"


def attributes(chart, tag: str, name: str) -> list[str]:
    return chart.locator(tag).evaluate_all(f"all => all.map(one => one.getAttribute('{name}'))")


def write_figures(root, loss, bits, rate):
    figures = {
        "metrics/train.csv": CURVE.format(loss),
        "reports/quantization.csv": SIZES.format(bits),
        "reports/exam.csv": EXAM.format(rate),
    }
    for file, text in figures.items():
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(text)


@pytest.mark.slow
def test_the_charts_are_drawn_without_the_internet(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    call(root, "git", "init", "-q")
    call(root, "dvc", "init", "-q")
    for file in ("config", "plots.html"):
        shutil.copy(REPOSITORY / ".dvc" / file, root / ".dvc")
    write_yaml(root / "dvc.yaml", {"plots": read_yaml(REPOSITORY / "dvc.yaml")["plots"]})
    write_figures(root, 4.0, 1.25, 0.5)
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "before")
    write_figures(root, 3.0, 1.125, 0.75)
    call(root, "dvc", "plots", "diff", "HEAD")
    with browser(tmp_path) as page:
        asked, faults = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((root / "dvc_plots/index.html").as_uri())
        page.screenshot(path=tmp_path / "plots.png", full_page=True)
        assert (len(asked), faults) == (1, []), "it is the page and nothing else"
        loss, sizes, exam = page.locator("svg").all()
        assert [len(points.split()) for points in attributes(loss, "polyline", "points")] == [3, 2, 3, 2]
        assert {"HEAD: loss", "HEAD: val_loss", "workspace: loss", "workspace: val_loss", "step"} <= set(
            loss.locator("text").all_text_contents()
        )
        assert (
            sizes.locator("circle").count() == 4
            and "workspace: 1.125 at bits_per_weight 8.5, Q8_0" in sizes.locator("title").all_text_contents()
        )
        assert {"people: blink", "people: fade", "0.5", "0.75", "0.25"} <= set(exam.locator("text").all_text_contents())
        wide = sorted(map(float, attributes(exam, "rect", "width")))
        assert [width / wide[0] for width in wide] == pytest.approx([1, 1, 2, 3])
