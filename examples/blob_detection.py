"""Find bright spots in a picture of the sky, with three settings of the detector.

What you will learn: declare tables (what a person enters, the settings to try, what is computed and its parts), activate them
on a database, insert an image, populate what follows from it, and ask for a part of the result.

    python examples/blob_detection.py [folder]

The database and a picture of the detections go to `folder`, or to a fresh one that is named at the end. With
`COMPDB_URL=postgresql+psycopg://...` (or `mysql+pymysql://...`) in the environment the same file runs on a server.
"""

import os
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from skimage import color, data
from skimage.feature import blob_doh

import compdb as cdb
from compdb import Key, Mapped

matplotlib.use("Agg")
from matplotlib import pyplot as plt


class Lab(cdb.Pipeline):
    """Bright spots in images: one pipeline, one set of tables, one DAG."""


class Image(cdb.Manual, Lab):
    """An image to search."""

    image_id: Key[int]
    image_name: Mapped[str]
    pixels: Mapped[np.ndarray]  # stored as msgpack + numpy


class BlobParamSet(cdb.Lookup, Lab):
    """Detector settings to try."""

    blob_paramset: Key[int]
    min_sigma: Mapped[float]
    max_sigma: Mapped[float]
    threshold: Mapped[float]
    contents = [(1, 2.0, 6.0, 0.001), (2, 3.0, 8.0, 0.002), (3, 4.0, 20.0, 0.01)]


class Detection(cdb.Computed, Lab):
    """Blobs found in one image with one parameter set."""

    image: Key[Image]  # -> Image: its key attributes become ours
    params: Key[BlobParamSet]  # -> BlobParamSet
    nblobs: Mapped[int]

    class Blob(cdb.Part):
        """One blob."""

        blob_id: Key[int]  # a part may add a dimension
        x: Mapped[float]
        y: Mapped[float]
        r: Mapped[float]

    def make(self, key):
        pixels = (Image & key).fetch1("pixels")
        p = (BlobParamSet & key).fetch1()
        blobs = blob_doh(pixels, min_sigma=p["min_sigma"], max_sigma=p["max_sigma"], threshold=p["threshold"])
        self.insert1({**key, "nblobs": len(blobs)})
        self.Blob.insert({**key, "blob_id": i, "x": x, "y": y, "r": r} for i, (x, y, r) in enumerate(blobs))


class SelectDetection(cdb.Manual, Lab):
    """The parameter set a person preferred for each image."""

    image: Key[Image]
    detection: Mapped[Detection]  # secondary foreign key: adds blob_paramset, shares image_id


def draw(path: Path) -> None:
    """Save a picture of every detection: the image, and a circle around each blob."""
    detections = Detection.keys(order_by="KEY")
    figure, panels = plt.subplots(1, len(detections), figsize=(6 * len(detections), 5.8), layout="constrained")
    for panel, key in zip(panels, detections, strict=True):
        row, column, radius = (Detection.Blob & key).to_arrays("x", "y", "r")  # x counts rows, y columns
        panel.imshow((Image & key).fetch1("pixels"), cmap="gray", vmax=0.7)
        for centre_x, centre_y, r in zip(column, row, radius, strict=True):
            panel.add_patch(plt.Circle((centre_x, centre_y), r, fill=False, color="tab:orange", linewidth=0.8))
        p = (BlobParamSet & key).fetch1()
        panel.set_title(
            f"paramset {key['blob_paramset']}: sigma {p['min_sigma']:g} to {p['max_sigma']:g}, "
            f"threshold {p['threshold']:g}\n{len(row)} blobs"
        )
        panel.set_axis_off()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Find the spots, show them, and draw them."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="blob_detection_"))
    folder.mkdir(parents=True, exist_ok=True)
    Lab.activate(os.environ.get("COMPDB_URL") or f"sqlite:///{folder / 'blobs.db'}")  # tables exist, lookups are filled

    Image.insert1(
        {"image_id": 1, "image_name": "Hubble deep field", "pixels": color.rgb2gray(data.hubble_deep_field())},
        skip_duplicates=True,
    )
    Detection.populate(display_progress=True)

    print(Detection.preview())
    print(Detection & "nblobs < 300")

    SelectDetection.insert1({"image_id": 1, "blob_paramset": 3}, skip_duplicates=True)
    print(Detection.Blob & SelectDetection)

    draw(folder / "detections.png")
    print(f"Saved {folder / 'detections.png'}")


if __name__ == "__main__":
    main()
