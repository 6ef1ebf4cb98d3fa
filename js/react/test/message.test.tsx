import { expect, it, test, vi } from 'vitest';
import { InstallButton, useConnection } from '../src/index.js';
import { connected } from './handler.js';
import { broadcast, button, FakePopup, page, post, press, state, messageOf } from './page.js';

function Everything() {
  return JSON.stringify(useConnection({ provider: 'facebook', for: 'installation' }).connection);
}

// Every page with a reference to this window can post to it: one that opened it, one that it opened, a frame in it.
test.each([
  ['is from another origin', () => [messageOf('connected'), { origin: 'https://evil.example.com' }] as const],
  ['is from an origin that begins alike', () => [messageOf('connected'), { origin: `${window.location.origin}.evil.example.com` }] as const],
  ['is from a sandboxed page', () => [messageOf('connected'), { origin: 'null' }] as const],
  ['is from another window of this origin', () => [messageOf('connected'), { source: new FakePopup() }] as const],
  ['is from no window', () => [messageOf('connected'), { source: undefined as never }] as const],
  ['is about another session', () => [messageOf('connected', { sessionId: 'session-0' })] as const],
  ['names no session', () => [messageOf('connected', { sessionId: undefined })] as const],
  ['is about another provider', () => [messageOf('connected', { provider: 'other' })] as const],
  ['is about a user', () => [messageOf('connected', { for: 'user' })] as const],
  ['names nothing', () => [messageOf('connected', { provider: '', for: '' })] as const],
  ['is not of ours', () => [{ ...messageOf('connected'), source: 'react-devtools' }] as const],
  ['has an outcome that there is not', () => [messageOf('splendid')] as const],
  ['is text', () => [JSON.stringify(messageOf('connected'))] as const],
  ['is nothing', () => [null] as const],
])('a message is ignored that %s', async (name, forged) => {
  const onInstall = vi.fn();
  const shown = await page.show(<InstallButton provider="facebook" onInstall={onInstall} />);
  await press(button(shown));
  const [data, from] = forged();
  if (name === 'is from no window') page.popups.pop(); // otherwise post would name the last popup as its source
  await post(data, from);
  expect(state(shown)).toBe('waiting');
  expect(onInstall).not.toHaveBeenCalled();
});

it('receives messages about its session from this origin\'s other windows, until its end', async () => {
  const onInstall = vi.fn();
  const shown = await page.show(<InstallButton provider="facebook" onInstall={onInstall} />);
  expect(await broadcast(messageOf('connected'))).toBe(0);
  await press(button(shown));
  await broadcast(messageOf('connected', { sessionId: 'session-0' }));
  await broadcast(messageOf('connected', { for: '' }));
  expect(state(shown)).toBe('waiting');
  expect(await broadcast(messageOf('connected', { connection: connected() }))).toBe(1);
  expect(onInstall.mock.calls).toEqual([[connected()]]);
  expect(await broadcast(messageOf('cancelled'))).toBe(0);
  expect(state(shown)).toBe('connected');
});

it('shows a failure if the person comes back to another tenant, without the connection\'s name', async () => {
  const onError = vi.fn();
  const shown = await page.show(<InstallButton provider="facebook" onError={onError} />);
  await press(button(shown));
  await post(messageOf('failed', { provider: '', for: '', error: { code: 'unauthenticated', message: '' } }));
  expect([state(shown), onError.mock.calls[0]?.[0]]).toMatchObject(['failed', { code: 'unauthenticated' }]);
});

it('takes only known fields from a message', async () => {
  const onInstall = vi.fn();
  const shown = await page.show(<InstallButton provider="facebook" onInstall={onInstall} />);
  await press(button(shown));
  await post(messageOf('connected', { connection: { ...connected(), access_token: 'EAAcanary', credential: 'EAAcanary' } }));
  expect(onInstall.mock.calls).toEqual([[connected()]]);
});

it('takes only known fields from the handler, too', async () => {
  page.handler.connection = { ...connected(), access_token: 'EAAcanary', appsecret_proof: 'canary' };
  const shown = await page.show(<Everything />);
  expect(JSON.parse(shown.textContent ?? '')).toEqual({ ...connected() });
});

it.each([{ status: 'active' }, { ...connected(), scopes: [{}] }])('asks the handler if a message has an invalid connection', async (none) => {
  page.handler.connection = null;
  const onInstall = vi.fn();
  const shown = await page.show(<InstallButton provider="facebook" onInstall={onInstall} />);
  await press(button(shown));
  page.handler.connection = connected();
  await post(messageOf('connected', { connection: none }));
  expect(onInstall.mock.calls).toEqual([[connected()]]);
});
