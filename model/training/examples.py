"""Draws the example scenes: python examples.py FOLDER"""
import sys
from pathlib import Path

from PIL import Image

from world import Scene, Thing, render

LEFT, MIDDLE, RIGHT = "left", "middle", "right"
SCENES = {
    "scene-car": (1024, 1024, Scene(("day", "grass"), ((("ground", LEFT), Thing("car", "red", "large")), (("ground", RIGHT), Thing("tree", "green", "large")),
                                                       (("sky", MIDDLE), Thing("balloon", "yellow", "large"))))),
    "evening": (1024, 1024, Scene(("sunset", "sand"), ())),
    "scene-house": (1248, 832, Scene(("day", "snow"), ((("ground", MIDDLE), Thing("house", "orange", "large")), (("sky", RIGHT), Thing("kite", "purple", "large"))))),
}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (width, height, scene) in SCENES.items():
        Image.fromarray(render(scene, width, height)).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
