"""Refreshes every token file of a directory, 64 at once, as a script of one's own does it: nothing is fsynced, and
nobody else is looked out for. refresh.py DIRECTORY ADDRESS [AUTHORITY]"""

import asyncio
import json
import ssl
import sys
from pathlib import Path

import aiohttp

WORKERS = 64


async def work(session, address, left):
    for path in left:
        record = json.loads(path.read_bytes())
        body = {"client_id": "c", "client_secret": "s", "grant_type": "refresh_token", "refresh_token": record["refresh_token"]}
        async with session.post(f"{address}/oauth2/token", json=body) as answer:
            answer.raise_for_status()
            record |= await answer.json()
        path.write_text(json.dumps(record, indent=2))


async def main(directory, address, authority=None):
    trusted = ssl.create_default_context(cafile=authority) if authority else True
    connector = aiohttp.TCPConnector(limit=WORKERS, ssl=trusted)
    left = iter(sorted(Path(directory).glob("*.json")))
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(work(session, address, left) for _ in range(WORKERS)))


asyncio.run(main(*sys.argv[1:]))
