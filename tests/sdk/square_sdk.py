"""Square's Python SDK against the emulator, as an application uses it. Run by tests/sdk/run."""

import os
import sys
import urllib.error
import urllib.parse
import urllib.request

from square import Square
from square.core.api_error import ApiError

BASE = os.environ["TOKMAN_SQUARE_BASE_URL"]
CLIENT_ID = os.environ["TOKMAN_SQUARE_CLIENT_ID"]
CLIENT_SECRET = os.environ["TOKMAN_SQUARE_CLIENT_SECRET"]
REDIRECT_URI = "http://localhost:8917/callback"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The code is in the address that the browser would be sent to."""

    def redirect_request(self, *_args):
        return None


def authorize():
    """Consents and gives back the code."""
    query = urllib.parse.urlencode(
        {
            "client_id": CLIENT_ID,
            "scope": "MERCHANT_PROFILE_READ PAYMENTS_READ",
            "state": "state-of-the-python-sdk",
            "session": "false",
            "redirect_uri": REDIRECT_URI,
        }
    )
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(f"{BASE}/oauth2/authorize?{query}")
        sys.exit(f"authorize: expected a redirect, got {answer.status}")
    except urllib.error.HTTPError as redirect:
        assert redirect.code in (302, 303), f"authorize: {redirect.code} {redirect.read()!r}"
        parameters = urllib.parse.parse_qs(urllib.parse.urlsplit(redirect.headers["Location"]).query)
    assert parameters["state"] == ["state-of-the-python-sdk"], parameters
    return parameters["code"][0]


def client(token="unused"):
    return Square(token=token, base_url=BASE)


def main():
    application = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    first = client().o_auth.obtain_token(
        grant_type="authorization_code", code=authorize(), redirect_uri=REDIRECT_URI, **application
    )
    assert first.access_token and first.refresh_token and first.expires_at and first.merchant_id, first
    assert first.token_type == "bearer", first

    second = client().o_auth.obtain_token(
        grant_type="refresh_token", refresh_token=first.refresh_token, **application
    )
    assert second.access_token and second.access_token != first.access_token, "refresh gave no new access token"
    assert second.merchant_id == first.merchant_id, second

    status = client(second.access_token).o_auth.retrieve_token_status()
    assert status.client_id == CLIENT_ID and status.merchant_id == first.merchant_id, status
    assert "PAYMENTS_READ" in status.scopes, status

    # The SDK sends its own bearer token here; RevokeToken wants the application's secret.
    revoked = client().o_auth.revoke_token(
        client_id=CLIENT_ID,
        access_token=second.access_token,
        request_options={"additional_headers": {"Authorization": f"Client {CLIENT_SECRET}"}},
    )
    assert revoked.success is True, revoked

    try:
        after = client(second.access_token).o_auth.retrieve_token_status(request_options={"max_retries": 0})
    except ApiError as refusal:
        assert refusal.status_code == 401, refusal
        assert refusal.errors and refusal.errors[0].category == "AUTHENTICATION_ERROR", refusal
    else:
        sys.exit(f"a revoked token still works: {after}")
    print("python: obtain, refresh, status, revoke")


main()
