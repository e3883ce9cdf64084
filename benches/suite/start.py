"""A stored token printed: against `cat` of its file, and against whatever else prints a stored token."""

from contextlib import ExitStack

from . import oidc, tools
from .measure import Comparison, Program
from .places import TOKMAN, WORK, private
from .stores import ONE, PROFILE, environment, files, store

NEEDS = ["hyperfine", "strace", "valgrind", "time", "jq", "gh", "oidc-token", "ortie"]

ORTIE = """\
[accounts.bench]
default = true
client-id = "c"
endpoints.authorization = "http://127.0.0.1:9/authorize"
endpoints.token = "http://127.0.0.1:9/token"
storage.read.command = ["cat", "{0}"]
storage.write.command = ["tee", "{0}"]
"""
TOKEN = '{"access_token":"EAAAE0","token_type":"bearer","refresh_token":"r","issued_at":4000000000,"expires_in":3600}'
GH = "github.com:\n    oauth_token: gho_0\n    user: u\n    git_protocol: https\n"


def run(found):
    url = "https://connect.squareup.com"
    one, among = store("one", 1, url, fresh=True), store("among", 10_000, url, fresh=True)
    environ, file = environment(one, url), files(one) / f"{PROFILE}.json"
    token = lambda binary, name, environ=environ: Program(name, [binary, "token", *ONE], environ)
    programs = [Program("cat", ["cat", file], environ), token(TOKMAN, "tokman token")]
    static = tools.static(found)
    if static:
        programs.append(token(static, "tokman token, static"))
    with ExitStack() as stack:
        programs += others(found, stack, environ, file)
        compared = Comparison(programs)
        found.programs(compared, "cat")
    figures(found, programs, compared)
    alone, many = programs[1].instructions(), token(TOKMAN, "", environment(among, url)).instructions()
    if alone:
        found.figure("start.instructions", alone)
        found.figure("start.among", many / alone)
        found.note("instructions of `cat`", f"{programs[0].instructions():,}")
        if static:
            found.note("instructions of the static build", f"{programs[2].instructions():,}")


def others(found, stack, environ, file):
    """What else prints a stored token, as far as it is there."""
    yield Program("jq -r .access_token", ["jq", "-r", ".access_token", file], environ, runs=20)
    if tools.find("ortie"):
        # The cheapest storage that it offers: a file, read by a command without a shell.
        place = private(WORK / "ortie")
        (place / "token.json").write_text(TOKEN)
        (place / "config.toml").write_text(ORTIE.format(place / "token.json"))
        home = environ | {"ORTIE_CONFIG": str(place / "config.toml")}
        yield Program("ortie token show", [tools.find("ortie"), "token", "show"], home)
    if tools.find("gh"):
        place = private(WORK / "gh")
        (place / "hosts.yml").write_text(GH)
        yield Program("gh auth token", ["gh", "auth", "token"], environ | {"GH_CONFIG_DIR": str(place)}, runs=20)
    if tools.find("oidc-token"):
        try:
            agent = stack.enter_context(oidc.Agent(environ))
        except oidc.Refused as refusal:
            found.skip(f"oidc-token: {refusal}")
        else:
            yield Program("oidc-token", ["oidc-token", oidc.ACCOUNT], agent.environ, runs=20)


def figures(found, programs, compared):
    names = [program.name for program in programs]
    for figure, name, to in [("start.glibc", "tokman token", "cat"), ("start.static", "tokman token, static", "cat"),
                             ("start.ortie", "tokman token", "ortie token show")]:
        if name in names and to in names:
            wall, cpu = compared.ratios(name, to)
            found.figure(f"{figure}.wall", wall)
            found.figure(f"{figure}.cpu", cpu)
    calls, peak = programs[1].calls(), programs[1].peak()
    if calls:
        found.figure("start.calls", calls["total"])
        found.figure("start.sockets", calls.get("socket", 0))
        found.figure("start.threads", calls.get("clone", 0) + calls.get("clone3", 0))
    if peak:
        found.figure("start.peak", peak / 1e6)
