import assert from 'node:assert/strict';
import { test } from 'node:test';

import passport from 'passport';
import { Strategy as FacebookStrategy } from 'passport-facebook';

import { app, base, consent, received } from './simulator.mjs';

const fields = ['id', 'displayName', 'name', 'gender', 'birthday', 'profileUrl', 'emails', 'photos'];

function strategyWith(profileFields, extra = {}) {
  return new FacebookStrategy({
    clientID: app.id, clientSecret: app.secret, callbackURL: app.callback, profileFields, ...extra,
    authorizationURL: `${base}/v27.0/dialog/oauth`, tokenURL: `${base}/v27.0/oauth/access_token`, profileURL: `${base}/v27.0/me`,
  }, (accessToken, refreshToken, profile, done) => done(null, { accessToken, refreshToken, profile }));
}

/** handle runs the middleware once, like a server, and returns its result: a redirect or a person. */
function handle(strategy, query, options = {}) {
  passport.use(strategy);
  return new Promise((resolve, reject) => {
    const request = { query, headers: {}, connection: {}, url: '/' };
    const headers = {};
    const response = {
      setHeader: (name, value) => { headers[name.toLowerCase()] = value; },
      end: () => resolve(headers.location),
    };
    passport.authenticate('facebook', { session: false, ...options }, (err, user) => (err ? reject(err) : resolve(user)))(
      request, response, (err) => reject(err ?? new Error('the middleware let the request pass')));
  });
}

async function login(strategy, scope, choices) {
  const back = received(await consent(await handle(strategy, {}, { scope, state: 's-1', authType: 'rerequest' }), choices));
  assert.equal(back.searchParams.get('state'), 's-1');
  return Object.fromEntries(back.searchParams);
}

test('passport-facebook reads the profile with a proof', async () => {
  const strategy = strategyWith(fields, { enableProof: true });
  const { accessToken, refreshToken, profile } = await handle(strategy, await login(strategy, ['email', 'user_birthday', 'user_link']));
  assert.match(accessToken, /^EAA/);
  assert.equal(refreshToken, undefined);
  assert.equal(profile.displayName, 'Ada Admin');
  assert.deepEqual(profile.name, { familyName: 'Admin', givenName: 'Ada', middleName: undefined });
  assert.deepEqual(profile.emails, [{ value: 'ada@example.com' }]);
  assert.equal(profile._json.birthday, '05/16/1990');
  assert.equal(profile.gender, undefined); // without user_gender
  assert.match(profile.profileUrl, /^https:\/\/www\.facebook\.com\/app_scoped_user_id\//);
  assert.match(profile.photos[0].value, /width=50/);
});

test('passport-facebook passes field expansion on', async () => {
  const strategy = strategyWith(['id', 'picture.type(large)']);
  const { profile } = await handle(strategy, await login(strategy, ['email']));
  assert.match(profile.photos[0].value, /width=200/);
});

test('passport-facebook reads the profile without profileFields', async () => {
  const strategy = strategyWith();
  const { profile } = await handle(strategy, await login(strategy, ['email']));
  assert.equal(profile.displayName, 'Ada Admin');
});

test('passport-facebook gives no gender where the person declines user_gender', async () => {
  const strategy = strategyWith(fields);
  const { profile } = await handle(strategy, await login(strategy, ['user_gender'], { decline: ['user_gender'] }));
  assert.equal(profile.gender, undefined);
});

test('passport-facebook knows Facebook\'s errors', async () => {
  const strategy = strategyWith(fields);
  const back = await login(strategy, ['email']);
  await handle(strategy, back);
  await assert.rejects(handle(strategy, back), { name: 'FacebookTokenError', code: 100, subcode: 36009, message: 'This authorization code has been used.' });
  await assert.rejects(handle(strategy, { error_code: '1349126', error_message: 'App not active' }), { name: 'FacebookAuthorizationError', code: 1349126 });
  const username = strategyWith(['username']);
  await assert.rejects(login(username, ['email']).then((query) => handle(username, query)), { name: 'FacebookGraphAPIError', code: 12 });
  const cancelled = received(await consent(await handle(strategy, {}, { state: 's' }), { cancel: true }));
  assert.equal(await handle(strategy, Object.fromEntries(cancelled.searchParams)), false);
});
