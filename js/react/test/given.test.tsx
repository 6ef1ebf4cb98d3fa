import { act, type ComponentProps } from 'react';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import { InstallButton, useConnection, type UseConnection, type WordChanges } from '../src/index.js';
import { connected } from './handler.js';
import { button, note, page, post, press, state, messageOf } from './page.js';

let held: UseConnection;

function Hold() {
  held = useConnection({ provider: 'facebook', for: 'installation' });
  return null;
}

const sent = () => page.handler.asked.find(({ path }) => path === 'start')?.body;

describe('the options of a session', () => {
  afterEach(() => window.history.replaceState(null, '', '/'));

  test.each([
    ['the tab\'s address', '/settings?tab=2#accounts', '/settings?tab=2#accounts'],
    ['its address with escaped backslashes', '/settings?q=a\\b#c\\d', '/settings?q=a%5Cb#c%5Cd'],
    ['one slash at the start, where two would be a host', '//settings', '/settings'],
    ['a long address without its fragment', `/settings?tab=2#${'x'.repeat(2048)}`, '/settings?tab=2'],
    ['a longer one without its query', `/settings?${'x'.repeat(2048)}`, '/settings'],
    ['the root for a long path', `/${'x'.repeat(2048)}`, '/'],
  ])('include as returnTo %s', async (_, here, returnTo) => {
    window.history.replaceState(null, '', window.location.origin + here);
    await press(button(await page.show(<InstallButton provider="facebook" />)));
    expect(sent()).toMatchObject({ returnTo });
  });

  it('include the tab\'s address if a wrapper passes undefined', async () => {
    const handedOn = { returnTo: undefined, scopes: undefined } as unknown as ComponentProps<typeof InstallButton>;
    await press(button(await page.show(<InstallButton {...handedOn} provider="facebook" />)));
    expect(sent()).toEqual({ provider: 'facebook', for: 'installation', returnTo: '/' });
  });

  it('do not include a React ref or key', async () => {
    const warned = vi.spyOn(console, 'error').mockImplementation(() => {});
    const others = { 'data-testid': 'install', for: 'user', ref: { current: null } } as object;
    await press(button(await page.show(<InstallButton {...others} provider="facebook" />)));
    expect(sent()).toEqual({ provider: 'facebook', for: 'installation', returnTo: '/' });
    // React 18 has a warning for the ref, 19 none.
    expect(warned.mock.calls.filter(([text]) => !String(text).includes('cannot be given refs'))).toEqual([]);
    warned.mockRestore();
  });

  it('do not include the event if connect is the click handler', async () => {
    await page.show(<Hold />);
    const event = { target: window } as object;
    await act(() => held.connect(event));
    expect([held.state, sent()]).toEqual(['waiting', { provider: 'facebook', for: 'installation', returnTo: '/' }]);
  });
});

describe('callbacks that throw', () => {
  // They are the application's: their errors are reported as uncaught ones, but no promise is left rejected.
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

  it('do not keep the other callbacks from being called', () =>
    quietly(async () => {
      const onInstall = vi.fn();
      const shown = await page.show(<><InstallButton provider="facebook" onInstall={broken} /><InstallButton provider="facebook" onInstall={onInstall} /></>);
      await press(button(shown));
      await post(messageOf('connected', { connection: connected() }));
      expect([state(shown), onInstall.mock.calls.length]).toEqual(['connected', 1]);
    }));

  it('do not end the watching of a window that seemed closed', () =>
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

  it('are reported without an unhandled rejection', () =>
    quietly(async () => {
      page.handler.refuses.set('start', { status: 403, code: 'forbidden' });
      const shown = await page.show(<InstallButton provider="facebook" onError={broken} />);
      await press(button(shown));
      expect(state(shown)).toBe('failed');
    }));
});

describe('words', () => {
  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])('an error named like a member of Object.prototype has the default text: %s', async (code) => {
    const shown = await page.show(<InstallButton provider="facebook" />);
    await press(button(shown));
    await post(messageOf('failed', { error: { code, message: '' } }));
    expect(note(shown)).toBe('That did not work, and nothing was changed. Try again.');
  });

  it('are filled in unchanged', async () => {
    page.handler.connection = connected('installation', { missingScopes: ['$&', "$'"] });
    expect(note(await page.show(<InstallButton provider="facebook" />))).toBe("Installed with Facebook, but without $&, $'.");
  });

  it('that are missing have their defaults', async () => {
    const words = { connect: undefined, errors: undefined } as object as WordChanges;
    expect(button(await page.show(<InstallButton provider="facebook" words={words} />)).textContent).toBe('Install with Facebook');
  });

  it('are shown as text, not as markup', async () => {
    page.handler.connection = connected('installation', { missingScopes: ['<img src=x onerror=alert(1)>'] });
    const shown = await page.show(<InstallButton provider="facebook" />);
    expect(note(shown)).toContain('<img');
    expect(shown.querySelector('img')).toBeNull();
  });
});

describe('the keyboard\'s focus', () => {
  it('returns to the button when the cancel button is removed', async () => {
    const shown = await page.show(<InstallButton provider="facebook" />);
    await press(button(shown));
    shown.querySelector<HTMLElement>('.authpipe-cancel')?.focus();
    await post(messageOf('connected', { connection: connected() }));
    expect(document.activeElement).toBe(button(shown));
  });

  it('stays on any other element', async () => {
    const shown = await page.show(<><input /><InstallButton provider="facebook" /></>);
    await press(button(shown));
    shown.querySelector('input')?.focus();
    await post(messageOf('connected', { connection: connected() }));
    expect(document.activeElement?.tagName).toBe('INPUT');
  });
});

it('works without a channel if the browser refuses one', async () => {
  vi.stubGlobal('BroadcastChannel', class {
    constructor() {
      throw new DOMException('storage is blocked', 'SecurityError');
    }
  });
  const shown = await page.show(<InstallButton provider="facebook" />);
  await press(button(shown));
  expect(state(shown)).toBe('waiting');
  await post(messageOf('connected', { connection: connected() }));
  expect(state(shown)).toBe('connected');
});
