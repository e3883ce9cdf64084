"""Stores full of tokens, and the environment that leads tokman to them."""

import json
import os
import shutil

from .places import WORK, private

# What a client posts that has nothing but a refresh token; tokman's is the same but for the tokens' length.
BODY = json.dumps({"client_id": "c", "client_secret": "s", "grant_type": "refresh_token", "refresh_token": "r"})
PROFILE = "m0000000"
ONE = ["-p", "square", "-n", PROFILE]


def record(profile, url, number, fresh=False):
    """A stored token of Square's: long due, or good for long."""
    expires_at = "2099-01-01T00:00:00Z" if fresh else "2026-01-31T00:00:00Z"
    return {
        "access_token": f"EAAAE{number:0>59}",
        "token_type": "bearer",
        "expires_at": expires_at,
        "merchant_id": f"M{number:0>12}",
        "refresh_token": f"EQAAE{number:0>59}",
        "tokman": {
            "version": 1, "provider": "square", "profile": profile, "kind": "square", "grant": "authorization_code",
            "client_id": "c", "base_url": url, "account": f"M{number:0>12}",
            "obtained_at": "2025-12-01T00:00:00Z", "refreshed_at": "2026-01-01T00:00:00Z",
            "expires_at": expires_at, "refresh_token_expires_at": None, "scopes": [], "generation": 1,
        },
    }


def store(name, count, url, fresh=False, under=WORK):
    """A config directory with so many tokens; all of it is on the disk when this returns."""
    config = under / name
    shutil.rmtree(config, ignore_errors=True)
    tokens = private(private(private(config) / "tokens") / "square")
    for number in range(count):
        profile = f"m{number:0>7}"
        handle = os.open(tokens / f"{profile}.json", os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(handle, json.dumps(record(profile, url, number, fresh), indent=2).encode())
        os.close(handle)
    os.sync()
    return config


def files(config):
    return config / "tokens/square"


def environment(config, url, authority=None):
    trusted = {"SSL_CERT_FILE": str(authority)} if authority else {}
    return trusted | {
        "PATH": os.environ["PATH"],
        "HOME": str(config),
        "TOKMAN_CONFIG_DIR": str(config),
        "TOKMAN_SQUARE_CLIENT_ID": "c",
        "TOKMAN_SQUARE_CLIENT_SECRET": "s",
        "TOKMAN_SQUARE_BASE_URL": url,
    }


def curl(url, *options):
    """The same post, and nothing else."""
    return ["curl", "-q", "-sS", "-o", "/dev/null", *options, "-H", "content-type: application/json", "-d", BODY,
            f"{url}/oauth2/token"]
