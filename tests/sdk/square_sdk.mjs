// Square's Node SDK against the emulator, as an application uses it. Run by tests/sdk/run.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

// The SDK is installed in a directory of its own, away from this file.
const require = createRequire(join(process.env.SDK_DIR, "package.json"));
const { SquareClient, SquareError } = require("square");

const base = process.env.TOKMAN_SQUARE_BASE_URL;
const clientId = process.env.TOKMAN_SQUARE_CLIENT_ID;
const clientSecret = process.env.TOKMAN_SQUARE_CLIENT_SECRET;
const redirectUri = "http://localhost:8917/callback";

/** Consents and gives back the code: it is in the address that the browser would be sent to. */
async function authorize() {
  const query = new URLSearchParams({
    client_id: clientId,
    scope: "MERCHANT_PROFILE_READ PAYMENTS_READ",
    state: "state-of-the-node-sdk",
    session: "false",
    redirect_uri: redirectUri,
  });
  const answer = await fetch(`${base}/oauth2/authorize?${query}`, { redirect: "manual" });
  assert.ok([302, 303].includes(answer.status), `authorize: ${answer.status} ${await answer.text()}`);
  const parameters = new URL(answer.headers.get("location")).searchParams;
  assert.equal(parameters.get("state"), "state-of-the-node-sdk");
  return parameters.get("code");
}

const client = (token = "unused") => new SquareClient({ token, baseUrl: base });

const first = await client().oAuth.obtainToken({
  clientId,
  clientSecret,
  grantType: "authorization_code",
  code: await authorize(),
  redirectUri,
});
assert.ok(first.accessToken && first.refreshToken && first.expiresAt && first.merchantId);
assert.equal(first.tokenType, "bearer");

const second = await client().oAuth.obtainToken({
  clientId,
  clientSecret,
  grantType: "refresh_token",
  refreshToken: first.refreshToken,
});
assert.ok(second.accessToken);
assert.notEqual(second.accessToken, first.accessToken);
assert.equal(second.merchantId, first.merchantId);

const status = await client(second.accessToken).oAuth.retrieveTokenStatus();
assert.equal(status.clientId, clientId);
assert.equal(status.merchantId, first.merchantId);
assert.ok(status.scopes.includes("PAYMENTS_READ"));

// The SDK sends its own bearer token here; RevokeToken wants the application's secret.
const revoked = await client().oAuth.revokeToken(
  { clientId, accessToken: second.accessToken },
  { headers: { Authorization: `Client ${clientSecret}` } },
);
assert.equal(revoked.success, true);

await assert.rejects(
  () => client(second.accessToken).oAuth.retrieveTokenStatus({ maxRetries: 0 }),
  (refusal) => refusal instanceof SquareError && refusal.statusCode === 401,
  "a revoked token still works",
);
console.log("node: obtain, refresh, status, revoke");
