"""What OpenAI's Python package makes of a server: one JSON object per case on standard output."""

import asyncio
import base64
import json
import sys

import openai

url, key, scene = sys.argv[1:4]
quick = {"num_inference_steps": 1}
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=100)


def say(case, **facts):
    print(json.dumps({"case": case, **facts}), flush=True)


def kind(b64):
    data = base64.b64decode(b64)
    return "png" if data[:4] == b"\x89PNG" else "jpeg" if data[:2] == b"\xff\xd8" else data[8:12].decode("latin1")


def edit(**fields):
    with open(scene, "rb") as image:
        options = {"image": image, "prompt": "make the background green", "extra_body": quick}
        return client.images.edit(**{**options, **fields})


one = edit()
say("one", kind=kind(one.data[0].b64_json), size=one.size, format=one.output_format)

with open(scene, "rb") as a, open(scene, "rb") as b:
    several = edit(image=[a, b], n=2, size="1536x1024", output_format="jpeg", extra_body={**quick, "seed": 7})
say("several", kinds=[kind(item.b64_json) for item in several.data], seeds=[item.seed for item in several.data], size=several.size)

by_url = edit(response_format="url")
say("url", url=by_url.data[0].url, b64=by_url.data[0].b64_json)

lora = {**quick, "lora": [{"model": "retouch:neon@1", "weight": 0.8}]}
say("lora", same=edit(extra_body={**lora, "seed": 1}).data[0].b64_json == edit(extra_body={**quick, "seed": 1}).data[0].b64_json)

events = edit(stream=True, partial_images=2, extra_body={"num_inference_steps": 3})
say("stream", types=[event.type for event in events])

for case, fields in {
    "many": {"n": 11},
    "steps": {"extra_body": {"num_inference_steps": 99}},
    "model": {"model": "no:such@1"},
}.items():
    try:
        edit(**fields)
        say(case, error=None)
    except openai.APIStatusError as error:
        say(case, error=type(error).__name__, status=error.status_code, code=error.code, param=error.param, message=error.message)

say("models", ids=[model.id for model in client.models.list()])


async def at_once():
    asynchronous = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    made = [asynchronous.images.generate(prompt="a red car", extra_body={**quick, "seed": seed}) for seed in range(10)]
    say("ten", different=len({answer.data[0].b64_json for answer in await asyncio.gather(*made)}))


asyncio.run(at_once())
try:
    client.with_options(timeout=1.5).images.generate(prompt="a red car", n=10, extra_body={"num_inference_steps": 50})
    say("left", error=None)
except openai.APITimeoutError as error:
    say("left", error=type(error).__name__)
