import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Auth } from '@auth/core';
import Facebook from '@auth/core/providers/facebook';

import { app, base, consent, lenient, received, redirect } from './simulator.mjs';

/** browser keeps cookies between requests to Auth.js. */
function browser(config) {
  const jar = new Map();
  return async (address, init = {}) => {
    const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '), ...init.headers };
    const answer = await Auth(new Request(address, { ...init, headers }), config);
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value) jar.set(name, value); else jar.delete(name);
    }
    return answer;
  };
}

function config(provider = {}) {
  const errors = [];
  return {
    errors, basePath: '/auth', trustHost: true, secret: 'a secret of the test, and of nothing else',
    providers: [Facebook({ clientId: app.id, clientSecret: app.secret, ...provider })],
    logger: { error: (err) => errors.push(err), warn: () => {} },
  };
}

async function login(auth) {
  const open = browser(auth);
  const { csrfToken } = await (await open('https://app.example/auth/csrf')).json();
  const begun = await open('https://app.example/auth/signin/facebook', { method: 'POST', body: new URLSearchParams({ csrfToken }) });
  await open(received(await consent(begun.headers.get('location'))));
  return (await open('https://app.example/auth/session')).json();
}

function checkAda(auth, session) {
  assert.deepEqual(auth.errors, []);
  assert.equal(session.user.name, 'Ada Admin');
  assert.equal(session.user.email, 'ada@example.com');
  assert.match(session.user.image, /\/platform\/profilepic\//);
}

test('Auth.js logs in with the secret as a parameter and without PKCE', async () => {
  redirect(base);
  const auth = config({ checks: ['state'], client: { token_endpoint_auth_method: 'client_secret_post' } });
  checkAda(auth, await login(auth));
});

test('Auth.js logs in with its defaults, HTTP Basic and PKCE, where Facebook takes them', async () => {
  redirect(lenient);
  const auth = config();
  checkAda(auth, await login(auth));
});

test('Auth.js with its defaults is refused by a Facebook that takes parameters only', async () => {
  redirect(base);
  const auth = config();
  assert.equal(await login(auth), null);
  assert.equal(auth.errors[0].name, 'CallbackRouteError');
  assert.match((await auth.errors[0].cause.err.cause.json()).error.message, /Missing client_id/);
});
