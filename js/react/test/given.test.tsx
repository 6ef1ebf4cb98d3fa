import { act, type ComponentProps } from 'react';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import { InstallButton, useConnection, type UseConnection, type WordChanges } from '../src/index.js';
import { connected } from './handler.js';
import { button, note, page, post, press, state, told } from './page.js';

let held: UseConnection;

function Hold() {
  held = useConnection({ provider: 'facebook', for: 'installation' });
  return null;
}

const sent = () => page.handler.asked.find(({ path }) => path === 'start')?.body;

describe('what a session is begun with', () => {
  afterEach(() => window.history.replaceState(null, '', '/'));

  test.each([
    ['where the tab is', '/settings?tab=2#accounts', '/settings?tab=2#accounts'],
    ['that without what the handler would not take', '/settings?q=a\\b#c\\d', '/settings?q=a%5Cb#c%5Cd'],
    ['that as one path, where it looks like another host', '//settings', '/settings'],
    ['no more of it than fits: not the fragment', `/settings?tab=2#${'x'.repeat(2048)}`, '/settings?tab=2'],
    ['nor the query', `/settings?${'x'.repeat(2048)}`, '/settings'],
    ['nor the path', `/${'x'.repeat(2048)}`, '/'],
  ])('is %s', async (_, here, returnTo) => {
    window.history.replaceState(null, '', window.location.origin + here);
    await press(button(await page.show(<InstallButton provider="facebook" />)));
    expect(sent()).toMatchObject({ returnTo });
  });

  it('is where the tab is, too, where a wrapper hands on nothing', async () => {
    const handedOn = { returnTo: undefined, scopes: undefined } as unknown as ComponentProps<typeof InstallButton>;
    await press(button(await page.show(<InstallButton {...handedOn} provider="facebook" />)));
    expect(sent()).toEqual({ provider: 'facebook', for: 'installation', returnTo: '/' });
  });

  it('is nothing that is meant for others', async () => {
    const warned = vi.spyOn(console, 'error').mockImplementation(() => {});
    const others = { 'data-testid': 'install', for: 'user', ref: { current: null } } as object;
    await press(button(await page.show(<InstallButton {...others} provider="facebook" />)));
    expect(sent()).toEqual({ provider: 'facebook', for: 'installation', returnTo: '/' });
    // React 18 has a warning for the ref, 19 none.
    expect(warned.mock.calls.filter(([text]) => !String(text).includes('cannot be given refs'))).toEqual([]);
    warned.mockRestore();
  });

  it('is no event, where connect itself is the handler of clicks', async () => {
    await page.show(<Hold />);
    const event = { target: window } as object;
    await act(() => held.connect(event));
    expect([held.state, sent()]).toEqual(['waiting', { provider: 'facebook', for: 'installation', returnTo: '/' }]);
  });
});

describe('callbacks that throw', () => {
  // They are the application's, and it hears of it as of all else that it does not catch; but no promise is left rejected.
  const uncaught: unknown[] = [];
  const trouble = new Error('of the application');
  const broken = () => {
    throw trouble;
  };

  async function quietly(work: () => Promise<unknown>) {
    uncaught.length = 0;
    vi.stubGlobal('reportError', (error: unknown) => uncaught.push(error));
    await work();
    expect(uncaught).toEqual([trouble]);
  }

  it('keep nobody else from being told', () =>
    quietly(async () => {
      const onInstall = vi.fn();
      const shown = await page.show(<><InstallButton provider="facebook" onInstall={broken} /><InstallButton provider="facebook" onInstall={onInstall} /></>);
      await press(button(shown));
      await post(told('connected', { connection: connected() }));
      expect([state(shown), onInstall.mock.calls.length]).toEqual(['connected', 1]);
    }));

  it('do not end the looking after a window that seemed closed', () =>
    quietly(async () => {
      const shown = await page.show(<InstallButton provider="facebook" onCancel={broken} />);
      await press(button(shown));
      page.popups[0]?.close();
      await page.pass(2000);
      page.handler.sessions.set('session-1', { status: 'completed' });
      page.handler.connection = connected();
      await page.pass(60_000);
      expect(state(shown)).toBe('connected');
    }));

  it('are heard of without a promise that nobody waits for', () =>
    quietly(async () => {
      page.handler.refuses.set('start', { status: 403, code: 'forbidden' });
      const shown = await page.show(<InstallButton provider="facebook" onError={broken} />);
      await press(button(shown));
      expect(state(shown)).toBe('failed');
    }));
});

describe('words', () => {
  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])('an error is of that name that every object has: %s', async (code) => {
    const shown = await page.show(<InstallButton provider="facebook" />);
    await press(button(shown));
    await post(told('failed', { error: { code, message: '' } }));
    expect(note(shown)).toBe('That did not work, and nothing was changed. Try again.');
  });

  it('are filled in as they are', async () => {
    page.handler.connection = connected('installation', { missingScopes: ['$&', "$'"] });
    expect(note(await page.show(<InstallButton provider="facebook" />))).toBe("Installed with Facebook, but without $&, $'.");
  });

  it('that are missing are the usual ones', async () => {
    const words = { connect: undefined, errors: undefined } as object as WordChanges;
    expect(button(await page.show(<InstallButton provider="facebook" words={words} />)).textContent).toBe('Install with Facebook');
  });

  it('are text, whatever is in them', async () => {
    page.handler.connection = connected('installation', { missingScopes: ['<img src=x onerror=alert(1)>'] });
    const shown = await page.show(<InstallButton provider="facebook" />);
    expect(note(shown)).toContain('<img');
    expect(shown.querySelector('img')).toBeNull();
  });
});

describe('the keyboard\'s focus', () => {
  it('is on the button again when what it was on is gone', async () => {
    const shown = await page.show(<InstallButton provider="facebook" />);
    await press(button(shown));
    shown.querySelector<HTMLElement>('.authpipe-cancel')?.focus();
    await post(told('connected', { connection: connected() }));
    expect(document.activeElement).toBe(button(shown));
  });

  it('is not taken from where it is otherwise', async () => {
    const shown = await page.show(<><input /><InstallButton provider="facebook" /></>);
    await press(button(shown));
    shown.querySelector('input')?.focus();
    await post(told('connected', { connection: connected() }));
    expect(document.activeElement?.tagName).toBe('INPUT');
  });
});

it('does without a channel where the browser refuses one', async () => {
  vi.stubGlobal('BroadcastChannel', class {
    constructor() {
      throw new DOMException('storage is blocked', 'SecurityError');
    }
  });
  const shown = await page.show(<InstallButton provider="facebook" />);
  await press(button(shown));
  expect(state(shown)).toBe('waiting');
  await post(told('connected', { connection: connected() }));
  expect(state(shown)).toBe('connected');
});
