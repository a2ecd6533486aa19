"""The facts of the model page, for the test that holds the API to them.

    python model_page.py PAGE.md > ../model-page.json

PAGE.md is https://runware.ai/docs/models/flux-1-kontext-dev.md. Only names, types, bounds, defaults, allowed values and
anchors are taken. Integers beyond 2^53 are written as strings.
"""

import json
import re
import sys

page = open(sys.argv[1], encoding="utf-8").read()
request, response = page.split("## Request Parameters")[1].split("## Response Parameters")


def value(kind, text):
    text = text.strip("`")
    if kind == "boolean":
        return text == "true"
    if kind in ("integer", "float", "string") and re.fullmatch(r"-?\d+(\.\d+)?", text):
        number = float(text) if "." in text else int(text)
        return str(number) if abs(number) > 2**53 else number
    return text


def parameter(block):
    name, anchor = re.match(r"\[([^\]]+)\]\([^#]+#([^)]+)\)", block).groups()
    bullets = dict(re.findall(r"^- \*\*([\w ]+)\*\*: (.+)$", block, re.M))
    kind = bullets["Type"].strip("`")
    path = bullets.get("Path", f"`{name}`").strip("`")
    # The path of an object is that of its first property.
    if re.match(r"object|array of objects", kind):
        path = name
    facts = {"path": path, "type": re.sub(r" \(\d+ properties\)", "", kind), "anchor": anchor}
    if bullets.get("Required") == "true":
        facts["required"] = True
    for bullet, key in (("Min", "min"), ("Max", "max"), ("Step", "step"), ("Default", "default"), ("Value", "value")):
        if bullet in bullets:
            facts[key] = value(kind, bullets[bullet])
    for bullet, key in (("Format", "format"), ("Paired with", "pairedWith")):
        if bullet in bullets:
            facts[key] = bullets[bullet].strip("`")
    if "**Allowed values**" in block:
        text = block.split("**Allowed values**:")[1].split("**Learn more**")[0]
        listed = re.findall(r"^- `([^`]+)`", text, re.M) or re.findall(r"`([^`]+)`", text)
        facts["values"] = listed
    return facts


def parameters(text):
    return [parameter(block) for block in re.split(r"^#{3,4} (?=\[)", text, flags=re.M)[1:]]


json.dump(
    {
        "source": "https://runware.ai/docs/models/flux-1-kontext-dev",
        "dimensions": re.findall(r"\| `(\d+x\d+)` \|$", page, re.M),
        "ipAdapterModels": re.findall(r"^\| (runware:55@\d+) \|", page, re.M),
        "request": parameters(request),
        "response": parameters(response),
    },
    sys.stdout,
    indent=2,
)
print()
