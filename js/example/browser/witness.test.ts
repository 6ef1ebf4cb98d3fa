import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { contextOf, launch } from './chromium.js';
import { Witness } from './witness.js';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

const looksSo = `EAAB${'0123456789abcdef'.repeat(11)}`;

// A search that never finds anything proves nothing: a secret is sent by each way.
test.each([
  ['in a body', { body: '{"credential":"the-secret"}' }],
  ['in a header', { body: '', headers: { 'X-Credential': 'the-secret' } }],
  ['that looks like a token, unknown', { body: `token=${looksSo}` }],
  ['that looks like a token, written for an address', { body: `?url=%2Fme%3Faccess_token%3D${looksSo}` }],
  ['in an address', { body: '<script>history.replaceState(null, "", "?the-" + "secret")</script>' }],
  ['in a message', { body: '<script>postMessage({ token: "the-" + "secret" })</script>' }],
  ['on the console', { body: '<script>console.log("the-" + "secret")</script>' }],
  ['in storage', { body: '<script>sessionStorage.x = "the-" + "secret"</script>' }],
  ['in a cookie', { body: '<script>document.cookie = "x=the-" + "secret"</script>' }],
  ['in the page', { body: '<script>document.write("the-" + "secret")</script>' }],
  ['nowhere', { body: 'the secret' }],
  ['nowhere, for a code has the letters within', { body: `?code=AQ-${looksSo}` }],
  ['nowhere, for an id begins with the letters', { body: looksSo.slice(0, 43) }],
])('a secret is found %s', async (where, answer) => {
  const context = await contextOf(browser);
  const witness = new Witness();
  witness.keep('the-secret');
  witness.watch(context);
  await context.route('**', (route) => route.fulfill({ contentType: 'text/html', ...answer }));
  const page = await context.newPage();
  await page.goto('http://localhost:1/authpipe/return');
  const leaks = async () => (await witness.leaks()).length;
  // Messages arrive later.
  if (where.startsWith('nowhere')) expect(await leaks()).toBe(0);
  else await expect.poll(leaks).toBeGreaterThan(0);
  await context.close();
});
