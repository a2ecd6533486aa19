"""Draws the example pictures: python examples.py FOLDER"""
import sys
from pathlib import Path

from PIL import Image

from data import Scene, Thing, render

SCENES = {
    "scene-car": Scene(1024, 1024, "blue", "yellow", 640, (
        Thing("car", "red", 330, 760, 360), Thing("tree", "green", 780, 560, 340))),
    "scene-house": Scene(1024, 1024, "pink", "green", 660, (
        Thing("house", "purple", 640, 600, 380), Thing("star", "yellow", 220, 230, 230))),
    "scene-heart": Scene(1024, 1024, "white", None, 0, (Thing("heart", "red", 512, 520, 300),)),
    "scene-circle": Scene(1248, 832, "blue", None, 0, (
        Thing("circle", "orange", 360, 420, 300), Thing("square", "white", 900, 430, 280))),
}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        Image.fromarray(render(scene)).quantize(64, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
