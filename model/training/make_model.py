"""Makes the whole model folder from nothing: every script of the README in its order.

    python make_model.py --work DIR [--model FOLDER] [--minutes 439]

FOLDER is the folder that is written: the one above this by default. The minutes, of processor time, are shared out among the
trainers. Goes on where it was stopped: a step that is done is not done again, and the trainers go on from their checkpoints in DIR.
DIR/journal.jsonl has a line for each run of a step: its command with its seed, when it began, its seconds, and whether it came to its end.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
# seeds are the scripts' own, given here so that the journal has them; minutes are shares of all
STEPS = [
    ("tokenizers", "prompts.py", 0),
    ("encoder", "train_autoencoder.py --work {work} --minutes {minutes}", 9),
    ("latents", "encode_lattice.py --work {work}", 0),
    ("decoder", "train_decoder.py --work {work} --minutes {minutes} --seed 5", 105),
    ("text", "pretrain_text.py --work {work} --minutes {minutes}", 4),
    ("transformer", "train_transformer.py --work {work} --minutes {minutes} --seed 7 --helper", 225),
    ("plain model", "export.py --autoencoder {work} --transformer {work}/transformer.pt", 0),
    ("teacher", None, 0),
    ("speech", "train_text.py --work {work} --teacher {work}/teacher --minutes {minutes} --seed 18", 60),
    ("spoken model", "export.py --text {work}/speech.pt", 0),
    ("neon", "train_adapter.py lora --work {work} --minutes {minutes}", 27),
    ("mood", "train_adapter.py ip-adapter --work {work} --minutes {minutes}", 9),
]
TOTAL = sum(minutes for _, _, minutes in STEPS)
PARTS = ["transformer", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"]


def keep_teacher(work, model):
    """The plain model as it is now, for the text encoders that follow are trained by it."""
    for part in PARTS:
        (work / "teacher" / part).mkdir(parents=True, exist_ok=True)
        for file in (model / part).iterdir():
            (work / "teacher" / part / file.name).write_bytes(file.read_bytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=HERE.parent)
    parser.add_argument("--minutes", type=float, default=TOTAL)
    args = parser.parse_args()
    work, model = args.work.resolve(), args.model.resolve()
    work.mkdir(parents=True, exist_ok=True)
    journal = work / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    done = {line["step"] for line in lines if line["ended"]}
    for name, command, minutes in STEPS:
        if name in done:
            continue
        words = command and command.format(work=work, minutes=round(args.minutes * minutes / TOTAL, 2)).split()
        began, started = time.time(), datetime.now(UTC).isoformat(timespec="seconds")
        print(f"{name}: {' '.join(words) if words else 'copies the model as it is now'}", flush=True)
        try:
            if words:
                code = subprocess.run([sys.executable, *words], cwd=HERE, env=dict(os.environ, MODEL_FOLDER=str(model))).returncode
            else:
                keep_teacher(work, model)
                code = 0
        except KeyboardInterrupt:
            code = "interrupted"
        with open(journal, "a") as out:
            out.write(json.dumps(dict(step=name, command=words and " ".join(words), model=str(model), began=started, seconds=round(time.time() - began), ended=code == 0)) + "\n")
        if code:
            sys.exit(f"'{name}' ended with {code}; the same command goes on from there.")


if __name__ == "__main__":
    main()
