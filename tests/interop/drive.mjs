// Tokman against server.mjs, as each of its applications. One line a step; the first step that fails ends it all.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Browser } from "./browser.mjs";
import { clients, redirectUri } from "./clients.mjs";

const work = process.env.PROVIDER_DIR;
const tokman = process.env.TOKMAN;
const person = "alice";
let passed = 0;

/** The provider, and its issuer. */
async function start() {
  const server = spawn(process.execPath, [fileURLToPath(new URL("server.mjs", import.meta.url))], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.on("exit", () => server.kill());
  const ended = new Promise((_, fail) => server.on("exit", (code) => fail(new Error(`the provider ended: ${code}`))));
  ended.catch(() => {});
  for await (const line of createInterface(server.stdout)) {
    if (line.startsWith("http://127.0.0.1:")) return line;
  }
  return ended;
}

/** One application on a machine of its own. */
class Machine {
  constructor(client, issuer, dir) {
    Object.assign(this, { client, issuer, dir });
  }

  static async with(client, issuer, { name = client.id, scopes = ["openid", "offline_access"], lines = [] } = {}) {
    const machine = new Machine({ ...client, name }, issuer, join(work, "machines", name));
    await mkdir(machine.dir, { recursive: true, mode: 0o700 });
    const config = ["[provider.acme]", 'kind = "oauth2"', `issuer = "${issuer}"`, `client_id = "${client.id}"`];
    config.push(`client_auth = "${client.setting}"`, `scopes = ${JSON.stringify(scopes)}`, ...lines);
    if (client.secret) {
      const file = join(machine.dir, "secret");
      await writeFile(file, client.secret, { mode: 0o600 });
      config.push(`client_secret = { file = "${file}" }`);
    }
    await writeFile(join(machine.dir, "config.toml"), `${config.join("\n")}\n`, { mode: 0o600 });
    return machine;
  }

  /** Starts tokman; what it says on stderr goes to `heard` as it comes. */
  run(args, { stdin = "", env: more = {}, heard } = {}) {
    const env = { PATH: process.env.PATH, HOME: this.dir, TOKMAN_CONFIG_DIR: this.dir, ...more };
    const child = spawn(tokman, args, { env, timeout: 60_000 });
    const result = { args, stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text) => (result.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => {
      result.stderr += text;
      heard?.(result.stderr);
    });
    child.stdin.on("error", () => {}).end(stdin);
    return new Promise((done, fail) => {
      child.on("error", fail).on("close", (code, signal) => done({ ...result, code: code ?? signal }));
    });
  }

  /** Runs tokman on `acme` and asserts the exit code, and the words on stderr. */
  async tokman(args, code, { words = [], ...io } = {}) {
    const result = await this.run([...args, "-p", "acme"], io);
    assert.equal(result.code, code, `tokman ${args.join(" ")}: exit ${result.code}\n${result.stdout}${result.stderr}`);
    for (const word of words) assert.ok(result.stderr.includes(word), `'${word}' is not in:\n${result.stderr}`);
    return result;
  }

  async json(args, io) {
    return JSON.parse((await this.tokman(args, 0, io)).stdout);
  }

  async stored() {
    return JSON.parse(await readFile(join(this.dir, "tokens/acme/default.json"), "utf8"));
  }

  async remote() {
    const [shown] = await this.json(["status", "--remote", "-o", "json"]);
    return shown.remote;
  }

  step(what) {
    passed += 1;
    console.log(`${this.client.name}: ${what}`);
  }
}

/** A person logs in, consents, and is sent back; or leaves at the form that is named. */
async function consent(address, { abort } = {}) {
  const browser = new Browser();
  let page = await browser.open(address, redirectUri);
  page = await browser.submit(page, { login: person, password: "any" }, redirectUri);
  if (abort) {
    const [, away] = page.body.match(/href="([^"]*\/abort)"/);
    return (await browser.open(new URL(away, page.address).href, redirectUri)).left;
  }
  page = await browser.submit(page, {}, redirectUri);
  assert.ok(page.left, `the login ended at ${page.address} (${page.status}):\n${page.body}`);
  return page.left;
}

/** The same on the device that shows the code's form. */
async function approve(address, code, { abort } = {}) {
  const browser = new Browser();
  let page = await browser.submit(await browser.open(address), { user_code: code });
  page = await browser.submit(page, abort ? { abort: "yes" } : {});
  if (abort) return;
  page = await browser.submit(page, { login: person, password: "any" });
  page = await browser.submit(page, {});
  assert.match(page.body, /Sign-in Success/);
}

async function logIn(machine) {
  const printed = await machine.tokman(["obtain", "--print-url"], 0);
  const address = printed.stdout.trim();
  const query = new URL(address).searchParams;
  assert.equal(query.get("redirect_uri"), redirectUri);
  assert.equal(query.get("code_challenge_method"), "S256");
  const back = await consent(address);
  const sent = new URL(back).searchParams;
  assert.equal(sent.get("iss"), machine.issuer);
  assert.equal(sent.get("state"), query.get("state"));
  return back;
}

async function login(machine) {
  const refused = await machine.tokman(["obtain", "--print-url"], 0);
  const back = await consent(refused.stdout.trim(), { abort: true });
  await machine.tokman(["obtain", "--code", "-"], 5, { stdin: back, words: ["access_denied"] });
  machine.step("a consent that is refused is exit 5");

  const nameless = new URL(await logIn(machine));
  nameless.searchParams.delete("iss");
  await machine.tokman(["obtain", "--code", "-"], 6, { stdin: nameless.href, words: ["RFC 9207"] });
  machine.step("a redirect without its issuer is exit 6");

  const redirected = await logIn(machine);
  const token = await machine.json(["obtain", "--code", "-"], { stdin: redirected });
  assert.ok(token.access_token && token.refresh_token && token.id_token && token.expires_in > 0);
  assert.equal(token.token_type.toLowerCase(), "bearer");
  assert.equal((await machine.stored()).refresh_token, token.refresh_token);
  const [shown] = await machine.json(["status", "-o", "json"]);
  assert.deepEqual([shown.key, shown.account, shown.state], ["acme/default", person, "fresh"]);
  machine.step("login");

  const printed = await machine.tokman(["token", "-o", "header"], 0);
  const [name, value] = printed.stdout.trim().split(": ");
  const answer = await fetch(`${machine.issuer}/me`, { headers: { [name]: value } });
  assert.deepEqual([answer.status, (await answer.json()).sub], [200, person]);
  machine.step("the access token works");
}

async function rotations(machine) {
  const seen = new Set([(await machine.stored()).refresh_token]);
  for (let count = 1; count <= 10; count += 1) {
    const before = (await machine.stored()).access_token;
    const token = await machine.json(["refresh"]);
    assert.notEqual(token.access_token, before);
    assert.ok(token.refresh_token && !seen.has(token.refresh_token), "the refresh token is not new");
    assert.equal((await machine.stored()).refresh_token, token.refresh_token);
    seen.add(token.refresh_token);
  }
  machine.step("ten rotations");

  const before = seen.size;
  const answers = await Promise.all(Array.from({ length: 5 }, () => machine.tokman(["refresh"], 0)));
  for (const { stdout } of answers) seen.add(JSON.parse(stdout).refresh_token);
  assert.ok(seen.size > before && seen.has((await machine.stored()).refresh_token));
  machine.step("five refreshes at once: nobody spends a refresh token twice");

  const narrow = await machine.json(["refresh", "--scope", "openid"]);
  assert.equal(narrow.scope, "openid");
  assert.ok((await machine.json(["refresh"])).access_token);
  machine.step("a narrower access token, and a refresh after it");
}

async function findings(machine) {
  assert.equal(await machine.remote(), "active");
  machine.step("introspection: active");
}

async function ending(machine) {
  const { refresh_token: refresh } = await machine.stored();
  await machine.tokman(["revoke", "--keep"], 0);
  assert.equal(await machine.remote(), "inactive");
  machine.step("introspection after the revocation: inactive");
  await machine.tokman(["refresh"], 5, { words: ["the grant of acme/default ended"] });
  machine.step("a refresh after the revocation is exit 5, and asks nobody");
  await machine.tokman(["revoke"], 0, { words: ["acme/default is forgotten here"] });
  await machine.tokman(["token"], 4);
  await machine.tokman(["refresh"], 4);
  assert.deepEqual(await machine.json(["status", "-o", "json"]), []);
  machine.step("a second revocation, and nothing is stored");
  await machine.tokman(["obtain", "--refresh-token", "-"], 5, { stdin: refresh, words: ["invalid_grant"] });
  machine.step("the refresh token is dead at the provider");
}

/** Tokman waits for the code to be entered, which this does. */
async function onDevice(machine, code, options) {
  let entered;
  const heard = (stderr) => {
    const found = stderr.match(/ {4}(http\S+)\n[\s\S]* {4}([A-Z0-9-]+)\n[\s\S]*With the code in it: (\S+)\n[\s\S]*Waiting/);
    if (found) entered ??= options.complete ? approve(found[3], found[2], options) : approve(found[1], found[2], options);
  };
  const result = await machine.tokman(["obtain", "--device"], code, { heard, words: ["Waiting", ...(options.words ?? [])] });
  assert.ok(entered, `no address and code in:\n${result.stderr}`);
  await entered;
  return result;
}

async function device(machine) {
  await onDevice(machine, 5, { abort: true, words: ["access_denied"] });
  await machine.tokman(["token"], 4);
  machine.step("a device that is refused is exit 5");
  for (const complete of [false, true]) {
    const token = JSON.parse((await onDevice(machine, 0, { complete })).stdout);
    const stored = await machine.stored();
    assert.ok(token.access_token && token.refresh_token);
    assert.equal(stored.access_token, token.access_token);
    assert.equal(stored.tokman.grant, "urn:ietf:params:oauth:grant-type:device_code");
    const next = await machine.json(["refresh"]);
    assert.notEqual(next.refresh_token, token.refresh_token);
    await machine.tokman(["revoke"], 0, { words: ["acme/default is forgotten here"] });
    machine.step(`a device login by the ${complete ? "complete address" : "code"}, a refresh and a revocation`);
  }
}

async function reuse(machine) {
  const spent = await machine.json(["obtain", "--code", "-"], { stdin: await logIn(machine) });
  await machine.tokman(["refresh"], 0);
  const other = await Machine.with(machine.client, machine.issuer, { name: `${machine.client.name}-thief` });
  await other.tokman(["obtain", "--refresh-token", "-"], 5, { stdin: spent.refresh_token, words: ["invalid_grant"] });
  await machine.tokman(["refresh"], 5, { words: ["invalid_grant"] });
  await machine.tokman(["remove"], 0);
  machine.step("a refresh token used twice ends the login: exit 5 for both");
}

async function wrongSecret(machine) {
  const { refresh_token: refresh } = await machine.stored();
  const env = { TOKMAN_ACME_CLIENT_SECRET: "not-the-secret" };
  await machine.tokman(["refresh"], 6, { env, words: ["invalid_client"] });
  assert.equal((await machine.stored()).refresh_token, refresh);
  await machine.tokman(["refresh"], 0);
  machine.step("a wrong client secret is exit 6, and the grant is kept");
}

async function credentials({ client, issuer }) {
  const machine = await Machine.with(client, issuer, { name: `${client.id}-service`, scopes: ["read"] });
  const first = await machine.json(["obtain", "--client-credentials"]);
  assert.deepEqual([first.scope, first.refresh_token], ["read", undefined]);
  assert.equal(await machine.remote(), "active");
  const second = await machine.json(["refresh"]);
  assert.notEqual(second.access_token, first.access_token);
  assert.equal((await machine.stored()).access_token, second.access_token);
  assert.equal((await machine.stored()).tokman.grant, "client_credentials");
  machine.step("client credentials, and a refresh mints again");
  await machine.tokman(["revoke", "--keep"], 0);
  assert.equal(await machine.remote(), "inactive");
  await machine.tokman(["remove"], 0);
  machine.step("a minted token is revoked");

  const bare = new Machine({ name: `${client.id}-ci` }, issuer, join(work, "machines", `${client.id}-ci`));
  await mkdir(bare.dir, { recursive: true, mode: 0o700 });
  const env = { TOKMAN_ACME_BASE_URL: issuer, TOKMAN_ACME_CLIENT_ID: client.id };
  Object.assign(env, { TOKMAN_ACME_CLIENT_SECRET: client.secret, TOKMAN_ACME_CLIENT_AUTH: client.setting });
  const minted = await bare.json(["obtain", "--client-credentials", "--scope", "read"], { env });
  assert.equal((await bare.tokman(["token"], 0, { env })).stdout, `${minted.access_token}\n`);
  bare.step("client credentials from the environment alone");
}

/** A provider that gives a refresh token as OpenID Connect Core §11 has it: after prompt=consent only. */
async function strict(client, issuer) {
  const plain = await Machine.with(client, issuer, { name: "strict-plain" });
  const token = await plain.json(["obtain", "--code", "-"], { stdin: await logIn(plain) });
  assert.equal(token.refresh_token, undefined);
  await plain.tokman(["token"], 0);
  await plain.tokman(["refresh"], 5, { words: ["prompt=consent"] });
  plain.step("no refresh token without prompt=consent: a refresh is exit 5, and says so");
  const lines = [`authorization_endpoint = "${issuer}/auth?prompt=consent"`];
  const machine = await Machine.with(client, issuer, { lines });
  const obtained = await machine.json(["obtain", "--code", "-"], { stdin: await logIn(machine) });
  const next = await machine.json(["refresh"]);
  assert.ok(next.refresh_token && next.refresh_token !== obtained.refresh_token);
  machine.step("an authorization endpoint with prompt=consent in it: a refresh token");
}

async function application(client, issuer) {
  const machine = await Machine.with(client, issuer);
  await login(machine);
  await rotations(machine);
  await findings(machine);
  if (client.secret) await wrongSecret(machine);
  await ending(machine);
  await reuse(machine);
  await device(machine);
  if (client.credentials) await credentials(machine);
  else {
    await machine.tokman(["obtain", "--client-credentials"], 6, { words: ["grant type is not allowed"] });
    machine.step("client credentials are refused: exit 6");
  }
}

const issuer = await start();
await Promise.all(clients.map((client) => (client.id === "strict" ? strict : application)(client, issuer)));
console.log(`interop: ${passed} passed`);
process.exit(0);
