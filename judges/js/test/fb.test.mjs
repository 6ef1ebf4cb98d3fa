import assert from 'node:assert/strict';
import { test } from 'node:test';

import fb from 'fb';

import { app, base, consent, page, proxy, redirect, scope } from './simulator.mjs';

const { Facebook } = fb;

redirect(); // for the browser

test('fb logs in, pages, batches, posts and deletes', async (t) => {
  const FB = new Facebook({ appId: app.id, appSecret: app.secret, version: 'v27.0', redirectUri: app.callback, proxy: await proxy(t) });
  const back = await consent(FB.getLoginUrl({ scope: scope.join(','), state: 's-1' }));
  assert.equal(back.searchParams.get('state'), 's-1');
  const client = { client_id: app.id, client_secret: app.secret };
  const short = await FB.api('oauth/access_token', { ...client, redirect_uri: app.callback, code: back.searchParams.get('code') });
  const long = await FB.api('oauth/access_token', { ...client, grant_type: 'fb_exchange_token', fb_exchange_token: short.access_token });
  FB.setAccessToken(long.access_token); // from here on with an appsecret_proof

  // an array becomes JSON in the query
  const me = await FB.api('me', { fields: ['id', 'name', 'email', 'picture'] });
  assert.equal(me.name, 'Ada Admin');
  assert.equal(me.picture.data.is_silhouette, false);

  const first = await FB.api('me/accounts', { limit: 1, fields: ['id', 'name', 'access_token'] });
  assert.equal(first.data[0].id, page.id);
  const second = await FB.api('me/accounts', { limit: 1, after: first.paging.cursors.after });
  assert.equal(second.data[0].name, "Ada's Bookshop");

  const [one, two] = await FB.api('', 'post', { batch: [{ method: 'get', relative_url: 'me' }, { method: 'get', relative_url: page.id }] });
  assert.equal(JSON.parse(one.body).name, 'Ada Admin');
  assert.equal(JSON.parse(two.body).name, page.name);

  const asPage = FB.withAccessToken(first.data[0].access_token);
  const post = await asPage.api('me/feed', 'post', { message: 'Hello' });
  assert.equal((await asPage.api('me/feed')).data[0].message, 'Hello');
  assert.deepEqual(await asPage.api(post.id, 'delete'), { success: true });

  const debugged = await FB.api('debug_token', { input_token: long.access_token, access_token: `${app.id}|${app.secret}` });
  assert.equal(debugged.data.is_valid, true);
  assert.ok(debugged.data.granular_scopes.length > 0);

  await assert.rejects(FB.api('me', { fields: 'shoe_size' }), (err) => err.response.error.code === 100);
  await assert.rejects(FB.api('', { ids: ['me'] }), (err) => /multi-ID/.test(err.response.error.message));
  await assert.rejects(FB.api('me/nonsense'), (err) => err.response.error.code === 2500);
});

test('fb gets a code for a client', async (t) => {
  const FB = new Facebook({ version: 'v27.0', proxy: await proxy(t) });
  const client = { client_id: app.id, client_secret: app.secret, redirect_uri: app.callback };
  const back = await consent(new Facebook({ appId: app.id, redirectUri: app.callback, version: 'v27.0' }).getLoginUrl({ scope: 'email' }));
  const token = await FB.api('oauth/access_token', { ...client, code: back.searchParams.get('code') });
  const { code } = await FB.api('oauth/client_code', { ...client, access_token: token.access_token });
  const redeemed = await FB.api('oauth/access_token', { client_id: app.id, redirect_uri: app.callback, code });
  assert.match(redeemed.access_token, /^EAA/);
  assert.ok(redeemed.machine_id);
});
