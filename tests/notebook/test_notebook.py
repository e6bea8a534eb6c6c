"""In a notebook: cells run again, columns added, tables declared after activate(), previews (design 2, 3, 10)."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

BEGIN = """
import compdb as cdb
from compdb import Key, Mapped

class Lab(cdb.Pipeline):
    "A pipeline."
"""
IMAGE = """
class Image(cdb.Manual, Lab):
    "An image to search."
    image_id: Key[int]
    name: Mapped[str]
"""
SIZE = """
class Size(cdb.Computed, Lab):
    image: Key[Image]
    size: Mapped[int]

    class Letter(cdb.Part):
        place: Key[int]

    def make(self, key):
        name = (Image & key).fetch1("name")
        self.insert1({**key, "size": len(name)})
        self.Letter.insert({**key, "place": i} for i in range(len(name)))
"""
FUTURE = "from __future__ import annotations\n"


class Notebook:
    """A live kernel: run cells one by one, read what each shows."""

    def __init__(self, folder):
        self.client = NotebookClient(
            nbformat.v4.new_notebook(),
            timeout=120,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        )

    def run(self, source):
        """Run one cell and return its outputs: {"text/plain": ..., "text/html": ..., "stream": ...}."""
        cell = nbformat.v4.new_code_cell(source)
        self.client.nb.cells.append(cell)
        self.client.execute_cell(cell, len(self.client.nb.cells) - 1)
        shown = {"stream": ""}
        for output in cell.outputs:
            if output.output_type == "stream":
                shown["stream"] += output.text
            else:
                shown.update(output.get("data", {}))
        return shown

    def value(self, expression):
        """Return what an expression is, through its repr."""
        return eval(self.run(f"print(repr({expression}))")["stream"])


@pytest.fixture
def notebook(sqlite_url, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPDB_URL", sqlite_url)
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = Notebook(tmp_path)
    with notebook.client.setup_kernel():
        notebook.run(BEGIN)
        yield notebook


def test_a_class_cell_run_again_with_an_edited_make(notebook):
    notebook.run(IMAGE)
    notebook.run(SIZE)
    notebook.run("Lab.activate()")
    notebook.run('Image.insert([{"image_id": 1, "name": "moon"}, {"image_id": 2, "name": "star"}])')
    assert notebook.value('Size.populate({"image_id": 1})["success_count"]') == 1

    notebook.run(SIZE.replace("len(name)})", "-len(name)})"))
    assert notebook.value('Size.populate()["success_count"]') == 1
    assert notebook.value('Size.to_dicts(order_by="KEY")') == [
        {"image_id": 1, "size": 4},
        {"image_id": 2, "size": -4},
    ]
    assert notebook.value("len(Size.Letter)") == 8
    notebook.run("Lab.activate()")


def test_the_parents_cell_run_again_keeps_the_children(notebook):
    notebook.run(IMAGE + SIZE)
    notebook.run("Lab.activate()")
    notebook.run('Image.insert1({"image_id": 1, "name": "moon"})')
    notebook.run(IMAGE)
    assert notebook.value('Size.populate()["success_count"]') == 1
    assert notebook.value("Size.row1().image.name") == "moon"


def test_a_column_added_is_drift_that_says_the_fix_and_a_dropped_table_comes_back_with_it(notebook):
    notebook.run(IMAGE)
    notebook.run("Lab.activate()")
    notebook.run(IMAGE + "    note: Mapped[str | None]\n")
    with pytest.raises(CellExecutionError, match="SchemaDrift") as caught:
        notebook.run("Lab.activate()")
    assert "note" in str(caught.value)

    notebook.run("Image.drop(prompt=False)")
    notebook.run("Lab.activate()")
    notebook.run('Image.insert1({"image_id": 1, "name": "moon", "note": "full"})')
    assert notebook.value('Image.fetch1("note")') == "full"


def test_a_table_declared_after_activate_comes_into_being(notebook):
    notebook.run(IMAGE)
    notebook.run("Lab.activate()")
    notebook.run('Image.insert1({"image_id": 1, "name": "moon"})')
    notebook.run(SIZE)
    notebook.run("Lab.activate()")
    assert notebook.value('Size.populate()["success_count"]') == 1


def test_string_annotations_in_cells(notebook):
    notebook.run(FUTURE + IMAGE)
    notebook.run(FUTURE + SIZE)
    notebook.run("Lab.activate()")
    notebook.run('Image.insert1({"image_id": 1, "name": "moon"})')
    assert notebook.value('Size.populate()["success_count"]') == 1


def test_a_lost_column_names_the_cells_to_run(notebook):
    notebook.run(IMAGE)
    notebook.run(SIZE)
    with pytest.raises(CellExecutionError, match=r"(?s)DeclarationError.*Size"):
        notebook.run(IMAGE.replace("image_id", "number"))
    notebook.run("Lab.activate()")


def test_tables_relations_and_new_rows_show_themselves_in_html(notebook):
    notebook.run(IMAGE)
    notebook.run("Lab.activate()")
    notebook.run('Image.insert([{"image_id": 1, "name": "moon"}, {"image_id": 2, "name": "star<b>"}])')
    for cell in ("Image", 'Image & "image_id > 0"', "Image()"):
        shown = notebook.run(cell)
        assert "<table" in shown["text/html"]
        assert "moon" in shown["text/html"]
        assert "star<b>" not in shown["text/html"]
    assert "moon" in notebook.run("print(Image & True)")["stream"]
