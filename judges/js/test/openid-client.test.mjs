import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as client from 'openid-client';

import { app, consent, received, redirect } from './simulator.mjs';

redirect();

const issuer = new URL('https://www.facebook.com');
const tokenEndpoint = 'https://graph.facebook.com/v27.0/oauth/access_token';

test('openid-client exchanges a code and verifies the ID token', async () => {
  const discovered = await client.discovery(issuer, app.id, app.secret);
  assert.equal(discovered.serverMetadata().token_endpoint, undefined); // at Facebook, too
  const config = new client.Configuration({ ...discovered.serverMetadata(), token_endpoint: tokenEndpoint }, app.id, app.secret);
  client.enableNonRepudiationChecks(config); // fetches the keys and verifies the signature

  const [verifier, nonce, state] = [client.randomPKCECodeVerifier(), client.randomNonce(), client.randomState()];
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: app.callback, scope: 'openid email', nonce, state,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  });
  const tokens = await client.authorizationCodeGrant(config, received(await consent(url)),
    { pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true });
  assert.equal(tokens.claims().email, 'ada@example.com');

  const me = await client.fetchProtectedResource(config, tokens.access_token, new URL('https://graph.facebook.com/v27.0/me?fields=id,name'), 'GET');
  assert.equal((await me.json()).id, tokens.claims().sub);
});

test('openid-client logs in with the response type id_token, which discovery offers', async () => {
  const config = await client.discovery(issuer, app.id);
  client.useIdTokenResponseType(config);
  const [nonce, state] = [client.randomNonce(), client.randomState()];
  const url = client.buildAuthorizationUrl(config, { redirect_uri: app.callback, scope: 'openid', nonce, state });
  const claims = await client.implicitAuthentication(config, await consent(url), nonce, { expectedState: state });
  assert.equal(claims.name, 'Ada Admin');
});

test('openid-client gets no ID token for a later login without openid', async () => {
  const metadata = { issuer: issuer.href.replace(/\/$/, ''), authorization_endpoint: 'https://www.facebook.com/v27.0/dialog/oauth', token_endpoint: tokenEndpoint };
  const config = new client.Configuration(metadata, app.id, app.secret);
  const url = client.buildAuthorizationUrl(config, { redirect_uri: app.callback, scope: 'email', state: 's-1' });
  const tokens = await client.authorizationCodeGrant(config, received(await consent(url)), { expectedState: 's-1' });
  assert.equal(tokens.id_token, undefined);
});
