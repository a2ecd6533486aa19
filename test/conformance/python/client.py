"""
One call of Runware's Python SDK (`runware` from PyPI), unmodified but for the URL: client.py URL KEY CASE FACTS.
FACTS is JSON. Prints JSON: what the SDK returned, or the error that it raised.
"""

import asyncio
import dataclasses
import json
import sys
import warnings

import runware
from runware import IAcceleratorOptions, IImageInference, IInputs, Runware

try:
    from runware import IIpAdapter
except ImportError:
    from runware.types import IIpAdapter

warnings.simplefilter("ignore")
url, key, case, facts = *sys.argv[1:4], json.loads(sys.argv[4])
base = {"model": "retouch:mini@1", "positivePrompt": "a red car", "steps": 1, "width": 1024, "height": 1024}


def request(**fields):
    return IImageInference(**{**base, **fields})


async def inputs(client):
    return await client.imageInference(request(inputs=IInputs(referenceImages=[reference()])))


def reference():
    """The old SDK takes only objects here, and sends them; the new one takes either."""
    types = runware.types
    return facts["image"] if facts["version"] != "0.4.33" else types.IInputReference(image=facts["image"])


async def references(client):
    return await client.imageInference(request(inputs=IInputs(references=[facts["image"]])))


async def top_level(client):
    return await client.imageInference(request(referenceImages=[facts["image"]]))


async def polled(client):
    task = await client.imageInference(request(deliveryMethod="async"))
    uuid = task[0].taskUUID if isinstance(task, list) else task.taskUUID
    return await client.getResponse(uuid)


async def polled_many(client):
    task = await client.imageInference(request(deliveryMethod="async", numberResults=4))
    uuid = task[0].taskUUID if isinstance(task, list) else task.taskUUID
    # The old SDK leaves numberResults out of async tasks.
    return await client.getResponse(uuid, numberResults=1 if facts["version"] == "0.4.33" else 4)


async def many(client):
    return await client.imageInference(request(numberResults=4))


async def sync_webhook(client):
    return await client.imageInference(
        request(deliveryMethod="sync", numberResults=2, webhookURL=facts["webhook"])
    )


async def webhook(client):
    return await client.imageInference(
        request(deliveryMethod="async", numberResults=2, webhookURL=facts["webhook"])
    )


async def adapter(client):
    guide = IIpAdapter(model=facts["adapter"], guideImage=facts["image"], weight=0.5)
    return await client.imageInference(request(ipAdapters=[guide]))


async def cache(client):
    options = IAcceleratorOptions(fbcache=True, cacheDistance=0.25, cacheStartStep=0, cacheStopStep=2)
    return await client.imageInference(request(steps=3, acceleratorOptions=options))


async def main():
    client = Runware(api_key=key, url=url)
    await client.connect()
    return await globals()[case](client)


def plain(value):
    if isinstance(value, list):
        return [plain(item) for item in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)


try:
    print(json.dumps({"value": plain(asyncio.run(asyncio.wait_for(main(), 100)))}))
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
