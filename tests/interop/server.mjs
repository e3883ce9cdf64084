// The certified provider `oidc-provider` on 127.0.0.1, for drive.mjs. Prints its issuer and runs until it is ended.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { clients, redirectUri } from "./clients.mjs";

// The provider is installed in a directory of its own, away from this file.
const require = createRequire(join(process.env.PROVIDER_DIR, "package.json"));
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: clients.map(({ id, auth, secret, credentials }) => ({
    client_id: id,
    ...(secret && { client_secret: secret }),
    token_endpoint_auth_method: auth,
    redirect_uris: [redirectUri],
    response_types: ["code"],
    grant_types: [
      "authorization_code",
      "refresh_token",
      "urn:ietf:params:oauth:grant-type:device_code",
      ...(credentials ? ["client_credentials"] : []),
    ],
  })),
  scopes: ["openid", "offline_access", "read"],
  pkce: { required: () => true },
  // "strict" gets a refresh token as OpenID Connect Core §11 has it: for offline_access alone.
  issueRefreshToken: (_, client, source) => client.clientId !== "strict" || source.scopes.has("offline_access"),
  rotateRefreshToken: true,
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
    clientCredentials: { enabled: true },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
provider.on("server_error", (_, error) => console.error(error));
server.on("request", provider.callback());
console.log(issuer);
