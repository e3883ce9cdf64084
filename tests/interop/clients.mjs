// The applications that server.mjs knows and drive.mjs acts for.

export const redirectUri = "http://127.0.0.1:8917/callback";

// What has to be form-encoded before it can go in the header (RFC 6749 §2.3.1), and once more in a body.
const secret = "s/cret+with=every&thing%20: ?~";

export const clients = [
  { id: "basic", auth: "client_secret_basic", setting: "basic", secret, credentials: true },
  { id: "post", auth: "client_secret_post", setting: "post", secret, credentials: true },
  { id: "public", auth: "none", setting: "none" },
  { id: "strict", auth: "none", setting: "none" },
];
