"""oidc-agent with one account, which got its token from a provider of ours: so `oidc-token` has one to print."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

ACCOUNT = "bench"


class Refused(Exception):
    """Why there is no agent."""


class Provider(BaseHTTPRequestHandler):
    """Discovery, and a token for whoever asks."""

    def do_GET(self):
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.answer({"issuer": url, "token_endpoint": f"{url}/token", "authorization_endpoint": f"{url}/authorize",
                     "scopes_supported": ["openid", "offline_access"], "response_types_supported": ["code"],
                     "grant_types_supported": ["authorization_code", "refresh_token"]})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer({"access_token": "a" * 64, "token_type": "Bearer", "expires_in": 86400, "refresh_token": "r"})

    def answer(self, body):
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Agent:
    """An agent of our own; its account is in its memory only."""

    def __init__(self, environ):
        self.server = HTTPServer(("127.0.0.1", 0), Provider)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        said = subprocess.run(["oidc-agent", "--quiet", "--json"], env=environ, capture_output=True, text=True)
        try:
            agent = json.loads(said.stdout)
        except ValueError:
            self.server.shutdown()
            raise Refused("oidc-agent does not start") from None
        self.environ = environ | {"OIDC_SOCK": agent["socket"], "OIDCD_PID": str(agent["dpid"])}
        issuer = f"http://127.0.0.1:{self.server.server_port}"
        argv = ["oidc-gen", ACCOUNT, "--prompt=none", "--no-save", "--manual", "--iss", issuer, "--client-id", "c",
                "--client-secret", "s", "--rt", "r", "--scope", "openid offline_access", "--flow=refresh",
                "--redirect-uri", "http://localhost:4242", "--confirm-default", "--pw-cmd", "echo x"]
        try:
            made = subprocess.run(argv, env=self.environ, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
            why = made.stderr.strip() if made.returncode else None
        except subprocess.TimeoutExpired:
            why = "oidc-gen does not end"
        if why:
            self.__exit__()
            raise Refused(why)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["oidc-agent", "-k"], env=self.environ, stdout=subprocess.DEVNULL)
        self.server.shutdown()
