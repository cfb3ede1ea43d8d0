// OAuth clients of Node, each as its documentation tells to use it: get a token, open the gate.
//
//   NODE_EXTRA_CA_CERTS=ca.pem node clients.mjs CLIENT demo.json
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const [, , name, file] = process.argv;
const demo = JSON.parse(readFileSync(file, "utf8"));

async function opensTheGate(token) {
  const answer = await fetch(demo.gateway + demo.path, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { message: "hello world!" });
}

async function openidClient(authentication) {
  const client = await import("openid-client");
  const configuration = await client.discovery(new URL(demo.gateway), demo.client_id, demo.client_secret, authentication(client));
  const tokens = await client.clientCredentialsGrant(configuration, { scope: demo.scope });
  assert.equal(tokens.token_type, "bearer"); // openid-client writes it in lower case
  await opensTheGate(tokens.access_token);
}

const clients = {
  // Form-encodes id and secret inside Basic, as RFC 6749 §2.3.1 says and few do.
  "openid-client-basic": () => openidClient((client) => client.ClientSecretBasic(demo.client_secret)),
  "openid-client-post": () => openidClient((client) => client.ClientSecretPost(demo.client_secret)),

  "simple-oauth2": async () => {
    const { ClientCredentials } = await import("simple-oauth2");
    const url = new URL(demo.token_url);
    const client = new ClientCredentials({
      client: { id: demo.client_id, secret: demo.client_secret },
      auth: { tokenHost: url.origin, tokenPath: url.pathname },
    });
    const { token } = await client.getToken({ scope: demo.scope });
    await opensTheGate(token.access_token);
  },

  // A resource server that trusts our published keys.
  jose: async () => {
    const { createRemoteJWKSet, jwtVerify } = await import("jose");
    const answer = await fetch(demo.token_url, {
      method: "POST",
      headers: { authorization: "Basic " + Buffer.from(`${demo.client_id}:${demo.client_secret}`).toString("base64") },
      body: new URLSearchParams({ grant_type: "client_credentials", scope: demo.scope }),
    });
    const { access_token } = await answer.json();
    const keys = createRemoteJWKSet(new URL(demo.gateway + "/.well-known/jwks.json"));
    const { payload } = await jwtVerify(access_token, keys, {
      issuer: demo.gateway,
      typ: "at+jwt",
      requiredClaims: ["aud", "exp", "iat", "jti", "sub", "client_id", "scope"], // RFC 9068 §2.2
    });
    assert.equal(payload.client_id, demo.client_id);
    await opensTheGate(access_token);
  },
};

assert.ok(clients[name], `no client is called ${name}; there are ${Object.keys(clients).join(", ")}`);
await clients[name]();
