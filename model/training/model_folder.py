"""Where the model lies that the scripts read and write: the folder above this one, or MODEL_FOLDER of the environment."""
import os
from pathlib import Path

MODEL = Path(os.environ.get("MODEL_FOLDER") or Path(__file__).resolve().parent.parent).resolve()
