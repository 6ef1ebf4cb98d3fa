import { afterEach, expect, test } from 'vitest';

import { sessionOf, type Authpipe } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

const acme = { tenantId: 'org_acme', credentialFor: 'installation', actor: 'alice' } as const;
let client: Authpipe | undefined;

afterEach(() => client?.close());

test('a session of grant sdk is completed with its state and the code of the SDK', async () => {
  const double = new Double();
  client = clientOf(double);
  const state = 'the-state';
  double.meanwhile(() => double.reply({ session_id: sessionOf(state), expires_at: '2026-11-23T12:10:00Z', completion: 'confirm', state }));
  const started = await client.connect({ ...acme, grant: 'sdk' });
  expect(started.state).toBe(state);
  expect(started.sessionId).toBe(sessionOf(state));
  expect(await double.requests.at(-1)?.json()).toEqual({ actor: 'alice', grant: 'sdk' });

  double.meanwhile(() => double.reply({ ref: 'org_acme/facebook/installation' }));
  const answer = new URLSearchParams({ state: started.state, code: 'AQcode' });
  await client.complete({ tenantId: 'org_acme', actor: 'alice', answer });
  expect(double.asked.at(-1)).toBe(`POST sessions/org_acme/${started.sessionId}/complete`);
  expect(await double.requests.at(-1)?.json()).toEqual({ actor: 'alice', state, code: 'AQcode' });
});

test('sessionOf ignores what a browser appends to a URL', () => {
  expect(sessionOf('the-state#_=_')).toBe(sessionOf('the-state'));
});
