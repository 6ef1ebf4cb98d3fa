import { act } from 'react';
import { expect, it, vi } from 'vitest';
import { AuthpipeProvider, ConnectButton, InstallButton, useConnection, type UseConnection } from '../src/index.js';
import { connected } from './handler.js';
import { button, note, page, post, press, state, messageOf } from './page.js';

let held: UseConnection;

function Hold() {
  held = useConnection({ provider: 'facebook', for: 'installation' });
  return null;
}

/** A network on which the test decides when a path's requests are answered, and in which order. */
function slow(path: string) {
  const waiting: (() => void)[] = [];
  const fetcher: typeof fetch = async (input, init) => {
    const answer = await page.handler.fetch(input, init);
    if (String(input).includes(`/${path}`)) await new Promise<void>((resolve) => waiting.push(resolve));
    return answer;
  };
  return { fetcher, answer: (which: number) => act(async () => waiting[which]?.()), waiting };
}

// The end of the attempt says nothing about an earlier connection.
it('a failed attempt keeps the connection, in whichever order the answers come after a reload', async () => {
  page.handler.connection = connected('installation', { missingScopes: ['a'] });
  page.blocked = true;
  await press(button(await page.show(<InstallButton provider="facebook" />)));
  page.handler.sessions.set('session-1', { status: 'failed', error: { code: 'access_denied', message: '' } });
  const { fetcher, answer } = slow('status');
  const shown = await page.reload(<AuthpipeProvider fetch={fetcher}><InstallButton provider="facebook" /></AuthpipeProvider>);
  await page.pass(100);
  await answer(0);
  expect([state(shown), button(shown).textContent]).toEqual(['connected', 'Grant the rest']);
});

it('a failed attempt that began before the connection was known keeps it, too', async () => {
  page.handler.connection = connected();
  const { fetcher, answer } = slow('status');
  const shown = await page.show(<AuthpipeProvider fetch={fetcher}><Hold /><InstallButton provider="facebook" /></AuthpipeProvider>);
  await act(() => held.connect());
  await answer(0);
  await act(async () => held.cancel());
  expect(state(shown)).toBe('connected');
});

it('the newer of two answers is shown, in whichever order they come', async () => {
  const { fetcher, answer } = slow('status');
  const shown = await page.show(<AuthpipeProvider fetch={fetcher}><Hold /><InstallButton provider="facebook" /></AuthpipeProvider>);
  await answer(0);
  await act(async () => void held.refresh());
  page.handler.connection = connected();
  await act(async () => void held.refresh());
  await answer(2);
  await answer(1);
  expect(state(shown)).toBe('connected');
});

it('a failed read does not hide the end of an attempt', async () => {
  const { fetcher, answer } = slow('status');
  page.handler.refuses.set('status', { status: 502, code: 'unavailable' });
  const shown = await page.show(<AuthpipeProvider fetch={fetcher}><Hold /><InstallButton provider="facebook" /></AuthpipeProvider>);
  await act(() => held.connect());
  await act(async () => held.cancel());
  await answer(0);
  expect([state(shown), note(shown)]).toEqual(['cancelled', 'Cancelled. Nothing was changed.']);
});

// Everything under an installation is removed with it.
it('the person\'s own connection is read again when the installation is disconnected', async () => {
  page.handler.connection = connected();
  const shown = await page.show(<><Hold /><ConnectButton provider="facebook" /></>);
  expect(state(shown)).toBe('connected');
  await act(() => held.disconnect());
  expect(state(shown)).toBe('idle');
});

it('and after an installation, but not after a person\'s own connection', async () => {
  const shown = await page.show(<><ConnectButton provider="facebook" /><InstallButton provider="facebook" /></>);
  expect(page.handler.count('status')).toBe(2);
  await press(button(shown));
  await post(messageOf('connected', { for: 'user', connection: connected('user') }));
  expect(page.handler.count('status')).toBe(2);
  await press(shown.querySelectorAll('.authpipe-button')[1] ?? null);
  await post(messageOf('connected', { connection: connected() }));
  expect(page.handler.count('status')).toBe(3);
});

it('a window that seemed closed still reports its failure', async () => {
  const onError = vi.fn();
  const shown = await page.show(<InstallButton provider="facebook" onError={onError} />);
  await press(button(shown));
  page.popups[0]?.close();
  await page.pass(2000);
  expect(state(shown)).toBe('cancelled');
  page.handler.sessions.set('session-1', { status: 'failed', error: { code: 'account_mismatch', message: '' } });
  await page.pass(60_000);
  expect([state(shown), onError.mock.calls.length]).toEqual(['failed', 1]);
});

it('a cancelled attempt is not cancelled again by a late answer', async () => {
  const onCancel = vi.fn();
  const { fetcher, answer, waiting } = slow('session');
  const shown = await page.show(<AuthpipeProvider fetch={fetcher}><InstallButton provider="facebook" onCancel={onCancel} /></AuthpipeProvider>);
  await press(button(shown));
  page.popups[0]?.close();
  await page.pass(500);
  await answer(0);
  await page.pass(1000);
  expect(waiting).toHaveLength(2);
  await press(shown.querySelector('.authpipe-cancel'));
  await answer(1);
  expect([state(shown), onCancel.mock.calls.length]).toEqual(['cancelled', 1]);
});

// Without the window, going on would take this tab to the provider.
it.each([
  ['has begun', undefined],
  ['is refused', { status: 403, code: 'forbidden' }],
])('an attempt that was cancelled before its session %s goes nowhere', async (_, refusal) => {
  const [onCancel, onError] = [vi.fn(), vi.fn()];
  if (refusal) page.handler.refuses.set('start', refusal);
  const { fetcher, answer } = slow('start');
  const shown = await page.show(
    <AuthpipeProvider fetch={fetcher} navigate={(url) => void page.left.push(url)}>
      <InstallButton provider="facebook" onCancel={onCancel} onError={onError} />
    </AuthpipeProvider>,
  );
  await press(button(shown));
  await press(shown.querySelector('.authpipe-cancel'));
  await answer(0);
  await page.pass(5000);
  expect([state(shown), page.left, page.popups[0]?.visited, window.sessionStorage.length]).toEqual(['cancelled', [], [], 0]);
  expect([onCancel.mock.calls.length, onError.mock.calls.length]).toEqual([1, 0]);
});

it('an unknown session of this page has failed, also after one that was found in storage', async () => {
  const onError = vi.fn();
  const install = <InstallButton provider="facebook" onError={onError} />;
  await press(button(await page.show(install)));
  const shown = await page.reload(install);
  await press(button(shown));
  page.handler.sessions.clear();
  page.popups.at(-1)?.close();
  await page.pass(2000);
  expect([state(shown), onError.mock.calls.length]).toEqual(['failed', 1]);
});

it('a connection that is disconnected during a read stays disconnected', async () => {
  const { fetcher, answer } = slow('status');
  const shown = await page.show(<AuthpipeProvider fetch={fetcher}><Hold /><InstallButton provider="facebook" /></AuthpipeProvider>);
  await answer(0);
  await press(button(shown));
  page.handler.connection = connected();
  await post(messageOf('connected'));
  await act(() => held.disconnect());
  await answer(1);
  expect(state(shown)).toBe('idle');
});

it('a disconnected connection is not restored by an older answer', async () => {
  page.handler.connection = connected();
  const { fetcher, answer } = slow('status');
  const shown = await page.show(<AuthpipeProvider fetch={fetcher}><Hold /><InstallButton provider="facebook" /></AuthpipeProvider>);
  await answer(0);
  await act(async () => void held.refresh());
  await act(() => held.disconnect());
  await answer(1);
  expect(state(shown)).toBe('idle');
});
