import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import bizSdk from 'facebook-nodejs-business-sdk';

import { app, base, consent, oldApp, page, redirect, scope } from './simulator.mjs';

const { FacebookAdsApi, FacebookAdsApiBatch, Page, PagePost, User } = bizSdk;

/** init logs Ada in by hand, which the SDK leaves to others, and gives the SDK her token. */
async function init(simulator) {
  redirect(simulator);
  const query = new URLSearchParams({ client_id: app.id, redirect_uri: app.callback, scope: scope.join(',') });
  const back = await consent(`https://www.facebook.com/v24.0/dialog/oauth?${query}`);
  const exchange = new URLSearchParams({ client_id: app.id, client_secret: app.secret, redirect_uri: app.callback, code: back.searchParams.get('code') });
  const answer = await (await fetch(`https://graph.facebook.com/v24.0/oauth/access_token?${exchange}`)).json();
  return FacebookAdsApi.init(answer.access_token, 'en_US', false);
}

let api;
before(async () => { api = await init(base); });

test('the business SDK reads the person', async () => {
  const { Fields } = User;
  const me = await new User('me').get([Fields.id, Fields.name, Fields.email, Fields.birthday, Fields.short_name, Fields.about]);
  assert.equal(me.name, 'Ada Admin');
  assert.equal(me.short_name, 'Ada');
  assert.equal(me.birthday, '05/16/1990');
  assert.equal(me.about, undefined);
});

test('the business SDK pages through the pages', async () => {
  const { Fields } = Page;
  const seen = [];
  const pages = await new User('me').getAccounts(
    [Fields.id, Fields.name, Fields.link, Fields.username, Fields.fan_count, Fields.instagram_business_account], { limit: 1 });
  for (;;) {
    seen.push(...pages.map((p) => [p.name, p.username, p.fan_count]));
    if (!pages.hasNext()) break;
    await pages.next();
  }
  assert.deepEqual(seen, [[page.name, 'adas.bakery', 1204], ["Ada's Bookshop", undefined, undefined]]);
});

test('the business SDK publishes, reads, changes and deletes', async () => {
  const { access_token: token } = await new Page(page.id).get([Page.Fields.access_token]);
  const asPage = new FacebookAdsApi(token, 'en_US', false);
  const bakery = new Page(page.id, {}, undefined, asPage);
  const created = await bakery.createFeed([], { message: 'Hello' });
  const read = await bakery.getFeed([PagePost.Fields.message, PagePost.Fields.permalink_url]);
  assert.equal(read[0].id, created.id);
  assert.equal(read[0].message, 'Hello');
  const post = new PagePost(created.id, {}, undefined, asPage);
  assert.equal((await post.update([], { message: 'Hello again' })).success, true);
  assert.equal((await post.get([PagePost.Fields.message])).message, 'Hello again');
  assert.equal((await post.delete([], {})).success, true);
});

test('the business SDK batches', async () => {
  const answers = [];
  const batch = new FacebookAdsApiBatch(api);
  batch.add('GET', ['me'], { fields: 'name' }, undefined, (response) => answers.push(response.body.name));
  batch.add('GET', [page.id], { fields: 'name' }, undefined, (response) => answers.push(response.body.name));
  await batch.execute();
  assert.deepEqual(answers, ['Ada Admin', page.name]);
});

test('the business SDK knows Facebook\'s errors', async () => {
  await assert.rejects(new User('me').get(['shoe_size']), (err) => err.name === 'FacebookRequestError' && err.response.code === 100);
});

test('the business SDK may read by ids for an old app only', async () => {
  await assert.rejects(Page.getByIds([page.id], ['name']), (err) => /multi-ID/.test(err.message));
  await init(oldApp);
  const [read] = await Page.getByIds([page.id], ['name']);
  assert.equal(read.id.name, page.name); // the SDK puts the whole object where the id belongs
});
