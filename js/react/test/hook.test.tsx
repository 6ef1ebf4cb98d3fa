import { act } from 'react';
import { expect, it, vi } from 'vitest';
import { Client } from '../src/client.js';
import { AuthpipeError, AuthpipeProvider, InstallButton, useConnection, type UseConnection } from '../src/index.js';
import { connected } from './handler.js';
import { button, note, page, post, press, state, messageOf } from './page.js';

let held: UseConnection;

function Hold() {
  held = useConnection({ provider: 'facebook', for: 'installation' });
  return <output>{held.state}</output>;
}

it('is shared by all components with the same connection, and read once', async () => {
  const shown = await page.show(<><Hold /><InstallButton provider="facebook" /><Hold /></>);
  await press(button(shown));
  await post(messageOf('connected', { connection: connected() }));
  expect([...shown.querySelectorAll('output')].map((each) => each.textContent)).toEqual(['connected', 'connected']);
  expect(held.connection).toEqual(connected());
  expect(page.handler.count('status')).toBe(1);
});

it('calls all buttons\' callbacks at the end of an attempt of one of them', async () => {
  const heard = [vi.fn(), vi.fn()] as const;
  const shown = await page.show(
    <><InstallButton provider="facebook" onInstall={heard[0]} /><InstallButton provider="facebook" onInstall={heard[1]} /></>,
  );
  await press(button(shown));
  await post(messageOf('connected', { connection: connected() }));
  expect(heard.map((each) => each.mock.calls.length)).toEqual([1, 1]);
});

it('cancel does nothing without an attempt', async () => {
  const shown = await page.show(<Hold />);
  await act(async () => held.cancel());
  expect(shown.textContent).toBe('idle');
});

it('disconnects', async () => {
  page.handler.connection = connected();
  const shown = await page.show(<Hold />);
  await act(() => held.disconnect());
  expect([shown.textContent, held.connection, held.disconnecting]).toEqual(['idle', null, false]);
  expect(page.handler.asked.at(-1)).toMatchObject({ method: 'POST', path: 'disconnect', body: { provider: 'facebook', for: 'installation' } });
});

it('disconnecting ends an attempt that is under way', async () => {
  const shown = await page.show(<><Hold /><InstallButton provider="facebook" /></>);
  await press(button(shown));
  await act(() => held.disconnect());
  await post(messageOf('connected', { connection: connected() }));
  expect([held.state, page.popups[0]?.closed]).toEqual(['idle', true]);
});

it('disconnect rejects if it is refused, and the connection stays', async () => {
  page.handler.connection = connected();
  page.handler.refuses.set('disconnect', { status: 502, code: 'unavailable' });
  const shown = await page.show(<Hold />);
  await act(() => expect(held.disconnect()).rejects.toMatchObject(new AuthpipeError('unavailable', 'unavailable: as the test wants it')));
  expect([shown.textContent, held.disconnecting]).toEqual(['connected', false]);
});

it('is not undone by the answer to an older request', async () => {
  let answer: (response: Response) => void = () => {};
  let slow = false;
  const fetcher: typeof fetch = (input, init) =>
    slow && String(input).includes('/status') ? new Promise((resolve) => (answer = resolve)) : page.handler.fetch(input, init);
  const shown = await page.show(<AuthpipeProvider fetch={fetcher}><InstallButton provider="facebook" /></AuthpipeProvider>);
  await page.pass(6000);
  slow = true;
  await act(async () => void window.dispatchEvent(new Event('focus')));
  await press(button(shown));
  await post(messageOf('connected', { connection: connected() }));
  await act(async () => answer(Response.json({ connection: null })));
  expect(state(shown)).toBe('connected');
});

it('does nothing when it is pressed before the state is known', async () => {
  const never: typeof fetch = () => new Promise(() => {});
  const shown = await page.show(<AuthpipeProvider fetch={never}><InstallButton provider="facebook" /></AuthpipeProvider>);
  await press(button(shown));
  expect([state(shown), page.popups]).toEqual(['loading', []]);
});

it('has the given texts, the nearest first', async () => {
  const shown = await page.show(
    <AuthpipeProvider fetch={page.handler.fetch} words={{ connect: '{provider} installieren', errors: { forbidden: 'Das dürfen Sie nicht.' } }}>
      <InstallButton provider="facebook" words={{ noteFailed: 'Ging nicht.' }} className="mine"><i>icon</i></InstallButton>
    </AuthpipeProvider>,
  );
  expect(button(shown).textContent).toBe('iconFacebook installieren');
  expect(shown.querySelector('.authpipe')?.className).toBe('authpipe mine');
  page.handler.refuses.set('start', { status: 403, code: 'forbidden' });
  await press(button(shown));
  expect(note(shown)).toBe('Das dürfen Sie nicht.');
});

it('is one button for the keyboard, in every state, and one live line', async () => {
  const shown = await page.show(<InstallButton provider="facebook" />);
  const first = button(shown);
  const live = shown.querySelector('[role=status]');
  expect([live?.getAttribute('aria-live'), first.type, first.getAttribute('aria-describedby')]).toEqual(['polite', 'button', live?.id]);
  await press(first);
  expect([document.activeElement, first.getAttribute('aria-busy'), first.hasAttribute('disabled')]).toEqual([first, 'true', false]);
  await press(shown.querySelector('.authpipe-cancel'));
  expect(document.activeElement).toBe(first);
  await press(first);
  await post(messageOf('connected', { connection: connected() }));
  expect([document.activeElement, button(shown), first.getAttribute('aria-disabled')]).toEqual([first, first, 'true']);
  await press(first);
  expect(page.popups).toHaveLength(2);
  expect(shown.querySelector('[role=status]')).toBe(live);
});

it.each(['https://evil.example.com/authpipe', '//evil.example.com', '/\\evil.example.com', 'authpipe', ''])('refuses a basePath elsewhere: %s', (basePath) => {
  expect(() => new Client({ basePath }).connection('facebook', 'user')).toThrow('basePath');
});

const begun = (authorizationUrl: string) => Response.json({ sessionId: 's', expiresAt: '2100-01-01T00:00:00Z', authorizationUrl });

it.each([
  ['no JSON', () => new Response('<title>Sign in</title>'), 'invalid_response'],
  ['a session without a URL', () => Response.json({ sessionId: 's', expiresAt: 'x' }), 'invalid_response'],
  ['a URL that is a script', () => begun('javascript:alert(1)'), 'invalid_response'],
  ['a script that speaks of a URL', () => begun('javascript:location="https://"'), 'invalid_response'],
  ['a path', () => begun('/dialog'), 'invalid_response'],
  ['an error without a code', () => new Response('oops', { status: 500 }), 'unavailable'],
])('fails if the handler answers %s', async (_, answer, code) => {
  const fetcher: typeof fetch = async (input, init) => (String(input).endsWith('/start') ? answer() : page.handler.fetch(input, init));
  const shown = await page.show(<AuthpipeProvider fetch={fetcher}><Hold /><InstallButton provider="facebook" /></AuthpipeProvider>);
  await press(button(shown));
  expect([held.state, held.error?.code, page.popups[0]?.visited]).toEqual(['failed', code, []]);
});
