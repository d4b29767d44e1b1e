"""A Report in a real JupyterLab, in headless Chromium: `make test-browser`."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SCREENSHOT = Path(__file__).parents[2] / "build" / "jupyterlab.png"
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--window-size=1400,2200"]

CELLS = [
    """import keras
from keras import layers
import tostoolkit as tos
block = keras.Sequential([keras.Input((16,)), layers.Dense(32, name="wide"),
                          layers.Dense(16, name="narrow")], name="block")
model = keras.Sequential([keras.Input((16,)), block, layers.Dense(4, name="head")], name="nested")
report = tos.transistor_ops(model)
report""",
    "report.interactive()",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a running JupyterLab whose folder holds one notebook, not yet run."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    nbformat.write(notebook, folder / "report.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
         "--ServerApp.port_retries=0", "--IdentityProvider.token=t",
         "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
         f"--LabApp.workspaces_dir={folder / 'workspaces'}"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"JUPYTER_CONFIG_DIR": str(folder / "config")})
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for_server(address, server)
        yield f"{address}/lab/tree/report.ipynb?token=t&reset"
    finally:
        server.terminate()
        server.wait(20)


def _wait_for_server(address, server):
    for _ in range(120):
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended: {server.stdout.read()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{address}/api/status?token=t", timeout=2) as answer:
                json.load(answer)
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError("JupyterLab did not answer within a minute")


@pytest.fixture(scope="module")
def page(lab, tmp_path_factory):
    """The notebook, run from top to bottom in the browser."""
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options)
    try:
        driver.get(lab)
        wait = WebDriverWait(driver, 120)
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, ".jp-CodeCell"))
        wait.until(lambda d: d.execute_script(
            "const w = window.jupyterapp.shell.currentWidget;"
            "return w && w.sessionContext && w.sessionContext.session && "
            "w.sessionContext.session.kernel && w.sessionContext.session.kernel.status"
        ) == "idle")
        driver.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, "table.dataTable tbody tr td"))
        yield driver
        SCREENSHOT.parent.mkdir(exist_ok=True)
        driver.save_screenshot(str(SCREENSHOT))
    finally:
        driver.quit()


def test_report_shows_bars_units_and_columns(page):
    output = page.find_element(By.CSS_SELECTOR, ".jp-RenderedHTMLCommon")
    assert "nested:" in output.text
    assert "1.09 k MACs" in output.text
    bars = [cell for cell in output.find_elements(By.CSS_SELECTOR, "table td")
            if "gradient" in cell.value_of_css_property("background-image")]
    assert bars


def test_nested_model_is_folded_and_unfolds(page):
    output = page.find_element(By.CSS_SELECTOR, ".jp-RenderedHTMLCommon")
    page.execute_script("arguments[0].scrollIntoView()", output)
    outer, inner = output.find_elements(By.CSS_SELECTOR, "details")
    wide = inner.find_element(By.XPATH, ".//th[contains(., 'wide')]")
    assert not wide.is_displayed()
    outer.find_element(By.TAG_NAME, "summary").click()
    assert inner.is_displayed()
    assert not wide.is_displayed()
    inner.find_element(By.TAG_NAME, "summary").click()
    assert wide.is_displayed()
    for column in ("dtype", "phase"):
        assert output.find_elements(By.XPATH, f".//details//th[normalize-space()='{column}']")


def test_layers_sort_by_a_click(page):
    table = next(t for t in page.find_elements(By.CSS_SELECTOR, "table.dataTable")
                 if t.find_elements(By.CSS_SELECTOR, "tbody tr td"))
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", table)
    table.find_element(By.CSS_SELECTOR, "tbody tr td").click()  # the cell becomes the active one
    headers = {h.text: h for h in table.find_elements(By.CSS_SELECTOR, "thead th")}
    assert {"dtype", "phase", "cost (MTO)", "weight (kB)"} <= set(headers)

    def first():
        return table.find_element(By.CSS_SELECTOR, "tbody tr td").text

    assert first() == "block/wide"  # the dearest first
    for column, expected in [("layer", "block/narrow"), ("cost (MTO)", "head"),
                             ("cost (MTO)", "block/wide")]:
        headers[column].find_element(By.CSS_SELECTOR, ".dt-column-order").click()
        WebDriverWait(page, 10).until(lambda _, expected=expected: first() == expected)
