import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import { test } from 'node:test';

import graph from 'fbgraph';

import { app, base, consent, oldApp, page, redirect, scope } from './simulator.mjs';

const call = Object.fromEntries(['get', 'post', 'del', 'batch', 'authorize', 'extendAccessToken'].map(
  (name) => [name, promisify(graph[name].bind(graph))]));

/** login sets Ada's long-lived token in fbgraph, which has one token for all calls. */
async function login(simulator) {
  redirect(simulator);
  graph.setGraphUrl(simulator).setVersion('27.0').setAppSecret(app.secret).setAccessToken(null);
  const url = graph.getOauthUrl({ client_id: app.id, redirect_uri: app.callback, scope: scope.join(',') });
  const back = await consent(url);
  await call.authorize({ client_id: app.id, client_secret: app.secret, redirect_uri: app.callback, code: back.searchParams.get('code') });
  const extended = await call.extendAccessToken({ client_id: app.id, client_secret: app.secret });
  assert.equal(graph.getAccessToken(), extended.access_token);
}

async function publish(message) {
  const { access_token: token } = await call.get(page.id, { fields: 'access_token' });
  graph.setAccessToken(token);
  return (await call.post(`${page.id}/feed`, { message })).id; // fbgraph posts without a Content-Type
}

test('fbgraph reads the person, the picture and the pages', async () => {
  await login(base);
  const me = await call.get('me', { fields: 'id,name,email,short_name,picture.type(large),accounts.limit(1){id,name}' });
  assert.equal(me.short_name, 'Ada');
  assert.match(me.picture.data.url, /width=200/);
  assert.deepEqual(me.accounts.data, [{ id: page.id, name: page.name }]);
  const picture = await call.get('/me/picture');
  assert.equal(picture.image, true);
  assert.match(picture.location, /profilepic/);

  const seen = [];
  for (let at = '/me/accounts?limit=1'; at;) {
    const listed = await call.get(at);
    seen.push(...listed.data.map((p) => p.name));
    at = listed.paging.next;
  }
  assert.deepEqual(seen, [page.name, "Ada's Bookshop"]);
});

test('fbgraph batches', async () => {
  await login(base);
  const [me, none] = await call.batch([{ method: 'GET', relative_url: 'me' }, { method: 'GET', relative_url: 'me?fields=shoe_size' }]);
  assert.equal(JSON.parse(me.body).name, 'Ada Admin');
  assert.equal(JSON.parse(none.body).error.code, 100);
});

test('fbgraph deletes by method=delete, which a new app may not', async () => {
  await login(base);
  const id = await publish('One');
  await assert.rejects(call.del(id), (err) => err.code === 100 && /HTTP method override/.test(err.message));
});

test('fbgraph deletes for an old app', async () => {
  await login(oldApp);
  const id = await publish('One');
  assert.equal((await call.get(id)).message, 'One');
  assert.deepEqual(await call.del(id), { success: true });
  await assert.rejects(call.get(id), (err) => err.error_subcode === 33);
});
