import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AuthorizationCode, ClientCredentials } from 'simple-oauth2';

import { app, base, consent } from './simulator.mjs';

const config = {
  client: { id: app.id, secret: app.secret },
  auth: { tokenHost: base, tokenPath: '/v27.0/oauth/access_token', authorizePath: '/v27.0/dialog/oauth' },
  options: { authorizationMethod: 'body' },
};

test('simple-oauth2 logs in', async () => {
  const client = new AuthorizationCode(config);
  const back = await consent(client.authorizeURL({ redirect_uri: app.callback, scope: ['email', 'public_profile'], state: 's-1' }));
  assert.equal(back.searchParams.get('state'), 's-1');
  const accessToken = await client.getToken({ code: back.searchParams.get('code'), redirect_uri: app.callback });
  assert.equal(accessToken.expired(), false);
  assert.equal(accessToken.token.refresh_token, undefined);
  const me = await (await fetch(`${base}/v27.0/me?fields=id,name,email`, { headers: { Authorization: `Bearer ${accessToken.token.access_token}` } })).json();
  assert.equal(me.email, 'ada@example.com');
});

test('simple-oauth2 gets an app token, which debug_token takes', async () => {
  const { token } = await new ClientCredentials({ ...config, auth: { tokenHost: base, tokenPath: config.auth.tokenPath } }).getToken({});
  const query = new URLSearchParams({ input_token: 'EAAspoilt', access_token: token.access_token });
  const { data } = await (await fetch(`${base}/v27.0/debug_token?${query}`)).json();
  assert.equal(data.is_valid, false);
});

test('simple-oauth2 with its default, HTTP Basic, is refused', async () => {
  const client = new AuthorizationCode({ ...config, options: {} });
  const back = await consent(client.authorizeURL({ redirect_uri: app.callback, scope: 'email', state: 's' }));
  await assert.rejects(client.getToken({ code: back.searchParams.get('code'), redirect_uri: app.callback }),
    (err) => err.data.payload.error.message === 'Missing client_id parameter.');
});
