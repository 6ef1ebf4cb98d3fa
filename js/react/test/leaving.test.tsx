import { act, type ReactNode, useState } from 'react';
import { describe, expect, it, vi } from 'vitest';
import { AuthpipeProvider, InstallButton } from '../src/index.js';
import { connected } from './handler.js';
import { broadcast, button, page, post, press, state, messageOf } from './page.js';

let set: (shown: ReactNode) => void;

/** A page whose components change. */
function Changing({ first }: { first: ReactNode }) {
  const [shown, setShown] = useState(first);
  set = setShown;
  return shown;
}

const change = (shown: ReactNode) => act(async () => set(shown));

describe('a button that is removed while its window is open', () => {
  const onInstall = vi.fn();
  const install = <InstallButton provider="facebook" onInstall={onInstall} />;

  it('leaves no listener, timer or request', async () => {
    const shown = await page.show(<Changing first={install} />);
    const timers = vi.getTimerCount(); // React's own timers
    await press(button(shown));
    await change(null);
    expect(await broadcast(messageOf('connected'))).toBe(0);
    await page.pass(0); // jsdom has some, too
    expect(vi.getTimerCount()).toBe(timers);
    expect(page.popups[0]?.closed).toBe(false);
  });

  it('and comes back receives the end meanwhile, once', async () => {
    const shown = await page.show(<Changing first={install} />);
    await press(button(shown));
    await change(null);
    page.handler.sessions.set('session-1', { status: 'completed' });
    page.handler.connection = connected();
    page.popups[0]?.close();
    await page.pass(1_000_000);
    expect(onInstall).not.toHaveBeenCalled();
    await change(install);
    await page.pass(2000);
    expect([state(shown), onInstall.mock.calls]).toEqual(['connected', [[connected()]]]);
    await change(null);
    await change(install);
    await page.pass(2000);
    expect(onInstall).toHaveBeenCalledOnce();
  });

  it('while the connection is read receives it when it is back', async () => {
    onInstall.mockClear();
    let answer: () => void = () => {};
    const slow: typeof fetch = async (input, init) => {
      const response = await page.handler.fetch(input, init);
      if (String(input).includes('/status') && page.handler.connection) await new Promise<void>((resolve) => (answer = resolve));
      return response;
    };
    const shown = await page.show(<AuthpipeProvider fetch={slow}><Changing first={install} /></AuthpipeProvider>);
    await press(button(shown));
    page.handler.connection = connected();
    page.handler.sessions.set('session-1', { status: 'completed' });
    await post(messageOf('connected'));
    page.popups[0]?.close(); // as the return page does
    await change(null);
    await act(async () => answer());
    expect(onInstall).not.toHaveBeenCalled();
    await change(install);
    await page.pass(1000);
    await act(async () => answer());
    expect(onInstall).toHaveBeenCalledOnce();
  });

  it('before the session has begun still sends the window on', async () => {
    let go: () => void = () => {};
    const slow: typeof fetch = async (input, init) => {
      if (String(input).endsWith('/start')) await new Promise<void>((resolve) => (go = resolve));
      return page.handler.fetch(input, init);
    };
    const shown = await page.show(<AuthpipeProvider fetch={slow}><Changing first={install} /></AuthpipeProvider>);
    await press(button(shown));
    await change(null);
    await act(async () => go());
    expect(page.popups[0]?.visited).toHaveLength(1);
    expect(await broadcast(messageOf('connected'))).toBe(0);
    await change(install);
    expect(state(shown)).toBe('waiting');
    await post(messageOf('connected', { connection: connected() }));
    expect(state(shown)).toBe('connected');
  });
});

it('the newest callback is called', async () => {
  const [older, newer] = [vi.fn(), vi.fn()];
  const shown = await page.show(<Changing first={<InstallButton provider="facebook" onInstall={older} />} />);
  await press(button(shown));
  await change(<InstallButton provider="facebook" onInstall={newer} />);
  await post(messageOf('connected', { connection: connected() }));
  expect([older.mock.calls.length, newer.mock.calls.length]).toEqual([0, 1]);
});

it('a removed button sends no request when the person comes back', async () => {
  await page.show(<Changing first={<InstallButton provider="facebook" />} />);
  await change(null);
  await page.pass(6000);
  await act(async () => {
    window.dispatchEvent(new Event('focus'));
    document.dispatchEvent(new Event('visibilitychange'));
  });
  expect(page.handler.count('status')).toBe(1);
});

it('an attempt that is over does not listen any more', async () => {
  const shown = await page.show(<InstallButton provider="facebook" />);
  await press(button(shown));
  await post(messageOf('connected', { connection: connected() }));
  const read = vi.fn(() => window.location.origin);
  window.dispatchEvent(Object.defineProperty(new Event('message'), 'origin', { get: read }));
  expect(read).not.toHaveBeenCalled();
});

it('a button that comes back after a while reads the state again', async () => {
  const install = <InstallButton provider="facebook" />;
  const shown = await page.show(<Changing first={install} />);
  await change(null);
  await page.pass(6000);
  page.handler.connection = connected();
  await change(install);
  expect(state(shown)).toBe('connected');
});

it('an attempt of one person does not show to the next', async () => {
  const onError = vi.fn();
  const of = (person: string) => (
    <AuthpipeProvider key={person} fetch={page.handler.fetch}>
      <InstallButton provider="facebook" onError={onError} />
    </AuthpipeProvider>
  );
  const shown = await page.show(<Changing first={of('alice')} />);
  await press(button(shown));
  page.handler.sessions.clear(); // the session is another person's
  await change(of('bob'));
  await page.pass(2000);
  expect([state(shown), window.sessionStorage.length]).toEqual(['idle', 0]);
  expect(onError).not.toHaveBeenCalled();
});

it('inline functions of the provider do not replace its client', async () => {
  const heard: string[] = [];
  const again = (name: string) => (
    <AuthpipeProvider fetch={(input, init) => page.handler.fetch(input, init)} navigate={() => void heard.push(name)}>
      <InstallButton provider="facebook" />
    </AuthpipeProvider>
  );
  const shown = await page.show(<Changing first={again('first')} />);
  await press(button(shown));
  await change(again('second'));
  await post(messageOf('connected', { connection: connected('installation', { missingScopes: ['a'] }) }));
  expect([state(shown), page.handler.count('status'), page.popups[0]?.closed]).toEqual(['connected', 1, true]);
  page.blocked = true;
  await press(button(shown));
  expect(heard).toEqual(['second']);
});
