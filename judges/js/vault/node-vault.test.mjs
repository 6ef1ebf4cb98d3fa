// Run by TestNodeVault in ../../vault, which starts the Vault and the simulators and mounts the engine. node-vault itself reads
// VAULT_ADDR and VAULT_TOKEN.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import nodeVault from 'node-vault';

import { app, consent } from '../test/simulator.mjs';

const mount = process.env.MOUNT;
const vault = nodeVault();
const bob = 'auth0|bob.b_b-b+b=b~b:b@example.com';

/** connect connects Ada under a ref. */
async function connect(ref) {
  const { data: begun } = await vault.write(`${mount}/connect/${ref}`, { actor: 'ada' });
  const back = await consent(begun.authorization_url);
  const { data } = await vault.write(`${mount}/sessions/${ref.split('/')[0]}/${begun.session_id}/complete`, {
    actor: 'ada', state: back.searchParams.get('state'), code: back.searchParams.get('code'),
  });
  return data;
}

/** refusal is a check of the error that node-vault throws: its message is the first of Vault's errors. */
function refusal(status, text) {
  return (err) => {
    assert.equal(err.response?.statusCode, status, `${err}`);
    assert.ok(err.message.includes(text), err.message);
    assert.equal(err.response.body.errors[0], err.message);
    return true;
  };
}

test('node-vault connects, reads, lists and deletes', async () => {
  assert.equal((await connect('org_acme/facebook/installation')).status, 'active');
  await connect(`org_acme/facebook/users/${bob}`);

  const read = await vault.read(`${mount}/creds/org_acme/facebook/users/${bob}`);
  assert.equal(read.data.user_id, bob);
  assert.match(read.data.access_token, /^EAA/);
  assert.equal(read.lease_id, '');
  assert.equal(read.warnings, null);

  const listed = await vault.list(`${mount}/creds/org_acme/facebook/users`);
  assert.deepEqual(listed.data.keys, [bob]);
  assert.equal(listed.data.key_info[bob].status, 'active');
  // With noCustomHTTPVerbs it lists by GET and ?list=1
  assert.deepEqual((await nodeVault({ noCustomHTTPVerbs: true }).list(`${mount}/creds/org_acme/facebook/users`)).data.keys, [bob]);

  await vault.delete(`${mount}/creds/org_acme/facebook/users/${bob}`);
  await assert.rejects(vault.read(`${mount}/creds/org_acme/facebook/users/${bob}`), refusal(404, 'not_found: '));
  await assert.rejects(vault.list(`${mount}/creds/org_acme/facebook/users`), (err) => err.response.statusCode === 404 && err.message === 'Status 404');
});

test('node-vault gets a warning for an unknown query parameter', async () => {
  const read = await vault.read(`${mount}/creds/org_acme/facebook/installation?min_ttl=1h&version=-1`);
  assert.match(read.data.access_token, /^EAA/);
  assert.match(read.warnings.join('\n'), /"version"/);
});

test('node-vault reads help', async () => {
  assert.match((await vault.help(`${mount}/creds/org_acme/facebook/installation`)).help, /min_ttl/);
  assert.match((await vault.help(mount)).help, /creds/);
});

test('node-vault gets the engine\'s text with each error', async () => {
  await assert.rejects(vault.write(`${mount}/connect/org_globex/facebook/users/u1`, { actor: 'u1' }), refusal(409, 'installation_required: '));
  await assert.rejects(vault.write(`${mount}/config/facebook`, { cliend_id: '1' }), refusal(400, 'did you mean client_id?'));
  await assert.rejects(vault.update(`${mount}/creds/org_acme/facebook/installation`, { access_token: 'x' }), refusal(405, 'unsupported operation'));
});

test('node-vault mounts the engine, and calls it by request and generateFunction', async () => {
  const path = `${mount}-2`;
  await vault.mount({ mount_point: path, type: 'authpipe' });
  vault.generateFunction('configure', {
    method: 'POST', path: '/{{mount_point}}/config/{{provider}}',
    schema: { req: { type: 'object', properties: { client_id: {}, client_secret: {}, redirect_uris: {}, dialog_url: {}, graph_url: {} }, required: ['client_id'] } },
  });
  await vault.configure({
    mount_point: path, provider: 'facebook', client_id: app.id, client_secret: app.secret,
    redirect_uris: app.callback, dialog_url: process.env.SIMULATOR, graph_url: process.env.SIMULATOR,
  });
  const { data } = await vault.request({ path: `/${path}/config/facebook`, method: 'GET' });
  assert.deepEqual(data.redirect_uris, [app.callback]); // a string in the request
  assert.equal(data.client_secret, undefined);
  await vault.unmount({ mount_point: path });
});

test('node-vault gets 429, 502 and 409 while a credential cannot be refreshed or served', async () => {
  const installation = 'org_acme/facebook/installation';
  await assert.rejects(vault.write(`${mount}-throttled/connections/${installation}/refresh`, {}), refusal(429, 'throttled: '));
  await assert.rejects(vault.write(`${mount}-down/connections/${installation}/refresh`, {}), refusal(502, 'unavailable: '));
  assert.match((await vault.read(`${mount}-down/creds/${installation}`)).data.access_token, /^EAA/);
  await vault.write(`${mount}-down/tenants/org_acme`, { suspended: true });
  await assert.rejects(vault.read(`${mount}-down/creds/${installation}`), refusal(409, 'suspended: '));
});
