import { act } from 'react';
import { describe, expect, it, test, vi } from 'vitest';
import { ConnectButton, InstallButton } from '../src/index.js';
import { connected } from './handler.js';
import { button, note, page, post, press, state, messageOf } from './page.js';

const install = <InstallButton provider="facebook" />;

describe('the button before it is pressed', () => {
  test.each([
    ['nothing is connected', null, 'idle', 'Install with Facebook', ''],
    ['it is installed', connected(), 'connected', 'Installed', 'Installed with Facebook.'],
    ['a part was granted', connected('installation', { missingScopes: ['a', 'b'] }), 'connected', 'Grant the rest', 'Installed with Facebook, but without a, b.'],
    ['the person has to sign in again', connected('installation', { status: 'needs_reauth', needsReauth: true }), 'needs_reauth', 'Reconnect Facebook', 'Facebook wants you to sign in again.'],
    ['it was taken away', connected('installation', { status: 'revoked', needsReauth: true }), 'needs_reauth', 'Reconnect Facebook', 'Access was taken away at Facebook.'],
    ['its refresh kept failing until it was dead', connected('installation', { status: 'failed', needsReauth: false }), 'needs_reauth', 'Reconnect Facebook', 'Facebook wants you to sign in again.'],
  ])('%s', async (_, connection, expected, label, said) => {
    page.handler.connection = connection;
    const shown = await page.show(install);
    expect([state(shown), button(shown).textContent, note(shown)]).toEqual([expected, label, said]);
    expect(page.handler.count('status')).toBe(1);
  });

  it('shows why the state could not be read, and reads it again when pressed', async () => {
    page.handler.refuses.set('status', { status: 401, code: 'unauthenticated' });
    const shown = await page.show(install);
    expect([state(shown), button(shown).textContent, note(shown)]).toEqual(['failed', 'Try again', 'Sign in first, then try again.']);
    page.handler.refuses.clear();
    await press(button(shown));
    expect([state(shown), note(shown)]).toEqual(['idle', '']);
    expect(page.open).not.toHaveBeenCalled();
  });
});

it('does nothing while it is disabled, and stays focusable', async () => {
  const shown = await page.show(<InstallButton provider="facebook" disabled style={{ margin: 7 }} className="mine" />);
  await press(button(shown));
  expect([state(shown), page.handler.count('start'), page.open.mock.calls.length]).toEqual(['idle', 0, 0]);
  expect([button(shown).getAttribute('aria-disabled'), button(shown).disabled, document.activeElement]).toEqual(['true', false, button(shown)]);
  const root = shown.firstElementChild as HTMLElement;
  expect([root.className, root.style.margin]).toEqual(['authpipe mine', '7px']);
});

describe('an attempt', () => {
  it('opens the window while the click is handled, before any answer', async () => {
    const shown = await page.show(install);
    await act(async () => {
      button(shown).click();
      expect(page.open).toHaveBeenCalledOnce();
      expect(page.popups[0]?.visited).toEqual([]);
    });
    expect(page.popups[0]?.visited).toEqual(['https://facebook.example.com/dialog?session-1']);
    expect(page.open.mock.calls[0]?.slice(0, 2)).toEqual(['about:blank', 'authpipe:facebook:installation']);
  });

  it('sends its options, and the tab\'s address', async () => {
    const shown = await page.show(<InstallButton provider="facebook" scopes={['email']} reauthorize />);
    await press(button(shown));
    const { method, body, init } = page.handler.asked.at(-1) ?? {};
    expect([method, body]).toEqual(['POST', { provider: 'facebook', for: 'installation', scopes: ['email'], reauthorize: true, returnTo: '/' }]);
    expect([init?.credentials, init?.cache]).toEqual(['same-origin', 'no-store']);
    expect(new Headers(init?.headers).get('Content-Type')).toBe('application/json');
  });

  it('ends connected, and calls each callback once', async () => {
    const onInstall = vi.fn();
    const shown = await page.show(<InstallButton provider="facebook" onInstall={onInstall} />);
    await press(button(shown));
    expect([state(shown), note(shown)]).toEqual(['waiting', 'Waiting for you to finish in the Facebook window.']);
    await post(messageOf('connected', { connection: connected() }));
    await post(messageOf('connected', { connection: connected() }));
    expect(state(shown)).toBe('connected');
    expect(onInstall.mock.calls).toEqual([[connected()]]);
    expect(page.popups[0]?.closed).toBe(true);
    expect(window.sessionStorage.length).toBe(0);
  });

  it('reads the connection if the message has none', async () => {
    const onConnect = vi.fn();
    const shown = await page.show(<ConnectButton provider="facebook" onConnect={onConnect} />);
    await press(button(shown));
    page.handler.connection = connected('user');
    await post(messageOf('connected', { for: 'user' }));
    expect(onConnect.mock.calls).toEqual([[connected('user')]]);
  });

  it('ends cancelled when the person declines', async () => {
    const onCancel = vi.fn();
    const shown = await page.show(<InstallButton provider="facebook" onCancel={onCancel} />);
    await press(button(shown));
    await post(messageOf('cancelled'));
    expect([state(shown), note(shown), button(shown).textContent]).toEqual(['cancelled', 'Cancelled. Nothing was changed.', 'Install with Facebook']);
    expect(onCancel).toHaveBeenCalledOnce();
  });

  test.each([
    ['somebody else came back', 'actor_mismatch', 'Somebody else finished this connection, so it was refused.'],
    ['an account that is another than before', 'account_mismatch', 'That is another Facebook account than before. Use the same one, or disconnect first.'],
    ['an unknown code', 'what_ever', 'That did not work, and nothing was changed. Try again.'],
  ])('ends failed, with its reason: %s', async (_, code, said) => {
    const onError = vi.fn();
    const shown = await page.show(<InstallButton provider="facebook" onError={onError} />);
    await press(button(shown));
    await post(messageOf('failed', { error: { code, message: 'for the log' } }));
    expect([state(shown), note(shown), button(shown).textContent]).toEqual(['failed', said, 'Try again']);
    expect(onError.mock.calls[0]?.[0]).toMatchObject({ code, message: 'for the log' });
  });

  it('that cannot begin closes the window again', async () => {
    page.handler.refuses.set('start', { status: 403, code: 'forbidden' });
    const shown = await page.show(install);
    await press(button(shown));
    expect([state(shown), note(shown)]).toEqual(['failed', 'You may not do this. Ask an administrator.']);
    expect(page.popups[0]?.closed).toBe(true);
  });

  it('is not begun twice: pressing again brings the window to the front', async () => {
    const shown = await page.show(install);
    await press(button(shown));
    await press(button(shown));
    expect([page.popups.length, page.popups[0]?.focused, page.handler.count('start')]).toEqual([1, 1, 1]);
  });

  it('ends with the cancel button, and later answers change nothing', async () => {
    const shown = await page.show(install);
    await press(button(shown));
    await press(shown.querySelector('.authpipe-cancel'));
    expect([state(shown), page.popups[0]?.closed]).toEqual(['cancelled', true]);
    await post(messageOf('connected', { connection: connected() }));
    expect(state(shown)).toBe('cancelled');
  });

  it('asks for declined permissions again after a partial grant', async () => {
    page.handler.connection = connected('installation', { missingScopes: ['a'] });
    const shown = await page.show(install);
    await press(button(shown));
    expect(page.handler.asked.at(-1)?.body).toMatchObject({ reauthorize: true });
    await post(messageOf('cancelled'));
    expect([state(shown), note(shown)]).toEqual(['connected', 'Installed with Facebook, but without a.']);
  });

  it('repairs a revoked connection', async () => {
    page.handler.connection = connected('installation', { status: 'revoked', needsReauth: true });
    const shown = await page.show(install);
    await press(button(shown));
    await post(messageOf('cancelled'));
    expect([state(shown), button(shown).textContent]).toEqual(['cancelled', 'Reconnect Facebook']);
    await press(button(shown));
    await post(messageOf('connected', { connection: connected() }));
    expect([state(shown), button(shown).textContent]).toEqual(['connected', 'Installed']);
  });
});
