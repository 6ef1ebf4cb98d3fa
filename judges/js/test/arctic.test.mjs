import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Facebook, UnexpectedErrorResponseBodyError, generateState } from 'arctic';

import { app, consent, redirect } from './simulator.mjs';

redirect();

test('arctic logs in, and its documentation\'s profile call is answered', async () => {
  const facebook = new Facebook(app.id, app.secret, app.callback);
  const state = generateState();
  const back = await consent(facebook.createAuthorizationURL(state, ['email', 'public_profile']));
  assert.equal(back.searchParams.get('state'), state);
  const tokens = await facebook.validateAuthorizationCode(back.searchParams.get('code'));
  assert.ok(tokens.accessTokenExpiresAt() > new Date());

  const query = new URLSearchParams({ access_token: tokens.accessToken(), fields: ['id', 'name', 'picture', 'email'].join(',') });
  const user = await (await fetch(`https://graph.facebook.com/me?${query}`)).json();
  assert.equal(user.name, 'Ada Admin');
  assert.equal(user.email, 'ada@example.com');
  assert.match((await fetch(user.picture.data.url)).headers.get('content-type'), /^image\//);

  // Facebook's error is an object, which arctic has an error of its own for
  await assert.rejects(facebook.validateAuthorizationCode(back.searchParams.get('code')), (err) =>
    err instanceof UnexpectedErrorResponseBodyError && err.data.error.error_subcode === 36009);
});
