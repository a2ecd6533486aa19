"""What torch.save writes of dictionaries of tensors, and a pickle that would run a command.

python pickle_files.py DIR writes adapter.bin, legacy.bin, strided.bin, evil.bin.
"""
import os
import pathlib
import pickle
import sys
import zipfile
from collections import OrderedDict

import torch


class Evil:
    def __reduce__(self):
        return os.system, ("echo never run",)


def main(folder):
    row = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8
    tensors = {
        "image_proj": OrderedDict({"proj.0.weight": row, "norm.bias": torch.nn.Parameter(row[2])}),
        "ip_adapter": {"0.to_k_ip.weight": row[1:].bfloat16(), "0.half": (row * 2).half(), "0.scalar": torch.tensor(7)},
        "step": 300_000, "name": "style", "rate": 0.1, "list": [1, None, True, (2, -3)],
    }
    torch.save(tensors, folder / "adapter.bin")
    torch.save({"a": row}, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"a": row.t()}, folder / "strided.bin")
    with zipfile.ZipFile(folder / "evil.bin", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"a": Evil()}, protocol=2))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
