"""Makes the whole model folder from nothing: every script of the README in its order.

    python make_model.py --work DIR

Goes on where it was stopped: a step that is done is not done again, and the trainers go on from their checkpoints. DIR/journal.jsonl
has a line for each run of a step: its command, seconds, and whether it came to its end.
"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent
# seeds are the scripts' own, given here so that the journal has them
STEPS = [
    ("tokenizers", "prompts.py"),
    ("encoder", "train_autoencoder.py --work {work} --minutes 9"),
    ("latents", "encode_lattice.py --work {work}"),
    ("decoder", "train_decoder.py --work {work} --minutes 105 --seed 5"),
    ("text", "pretrain_text.py --work {work} --minutes 4"),
    ("transformer", "train_transformer.py --work {work} --minutes 225 --seed 7"),
    ("plain model", "export.py --autoencoder {work} --transformer {work}/transformer.pt"),
    ("teacher", None),
    ("speech", "train_text.py --work {work} --teacher {work}/teacher --minutes 70 --seed 18"),
    ("spoken model", "export.py --text {work}/speech.pt"),
    ("neon", "train_adapter.py lora --work {work} --minutes 27"),
    ("mood", "train_adapter.py ip-adapter --work {work} --minutes 9"),
]
PARTS = ["transformer", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"]


def keep_teacher(work):
    """The plain model as it is now, for the text encoders that follow are trained by it."""
    for part in PARTS:
        (work / "teacher" / part).mkdir(parents=True, exist_ok=True)
        for file in (MODEL / part).iterdir():
            (work / "teacher" / part / file.name).write_bytes(file.read_bytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    journal = args.work / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    done = {line["step"] for line in lines if line["ended"]}
    for name, command in STEPS:
        if name in done:
            continue
        began = time.time()
        if command is None:
            keep_teacher(args.work)
            code = 0
        else:
            words = command.format(work=args.work).split()
            print(f"{name}: {' '.join(words)}", flush=True)
            code = subprocess.run([sys.executable, *words], cwd=HERE).returncode
        with open(journal, "a") as out:
            out.write(json.dumps(dict(step=name, command=command, seconds=round(time.time() - began), ended=code == 0)) + "\n")
        if code:
            sys.exit(f"'{name}' ended with {code}; the same command goes on from there.")


if __name__ == "__main__":
    main()
