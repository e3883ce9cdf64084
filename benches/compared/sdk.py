"""One refresh by Square's official SDK, as a user's script does it: sdk.py ADDRESS AUTHORITY"""

import ssl
import sys

import httpx
from square import Square

address, authority = sys.argv[1:]
client = Square(base_url=address, httpx_client=httpx.Client(verify=ssl.create_default_context(cafile=authority)))
answer = client.o_auth.obtain_token(client_id="c", client_secret="s", grant_type="refresh_token", refresh_token="r")
print(answer.access_token)
