import { act } from 'react';
import { describe, expect, it, vi } from 'vitest';
import { InstallButton } from '../src/index.js';
import { connected } from './handler.js';
import { button, note, page, post, press, state, messageOf } from './page.js';

const onInstall = vi.fn();
const onCancel = vi.fn();
const install = <InstallButton provider="facebook" onInstall={onInstall} onCancel={onCancel} />;

async function begun() {
  onInstall.mockClear();
  onCancel.mockClear();
  const shown = await page.show(install);
  await press(button(shown));
  return shown;
}

describe('a window that is closed', () => {
  it('is a cancellation if the person did nothing in it', async () => {
    const shown = await begun();
    page.popups[0]?.close();
    await page.pass(2000);
    expect([state(shown), note(shown)]).toEqual(['cancelled', 'Cancelled. Nothing was changed.']);
    expect(onCancel).toHaveBeenCalledOnce();
  });

  it('is no cancellation if the message was lost and the session is completed', async () => {
    const shown = await begun();
    page.handler.sessions.set('session-1', { status: 'completed' });
    page.handler.connection = connected();
    page.popups[0]?.close();
    await page.pass(500);
    expect([state(shown), onInstall.mock.calls]).toEqual(['connected', [[connected()]]]);
  });

  it('is no end while the session is being redeemed', async () => {
    const shown = await begun();
    page.handler.sessions.set('session-1', { status: 'redeeming' });
    page.popups[0]?.close();
    await page.pass(5000);
    expect(state(shown)).toBe('waiting');
    page.handler.sessions.set('session-1', { status: 'failed', error: { code: 'account_mismatch', message: '' } });
    await page.pass(10_000);
    expect(state(shown)).toBe('failed');
  });

  // A provider's page may cut the window off from its opener (Cross-Origin-Opener-Policy): it then reads as closed while the person
  // is in it.
  it('may only seem closed: its outcome counts', async () => {
    const shown = await begun();
    page.popups[0]?.close();
    await page.pass(2000);
    expect(state(shown)).toBe('cancelled');
    page.handler.sessions.set('session-1', { status: 'completed' });
    page.handler.connection = connected();
    await page.pass(60_000);
    expect([state(shown), onInstall.mock.calls]).toEqual(['connected', [[connected()]]]);
  });

  it('leads to ever fewer requests, and to none after the session\'s end', async () => {
    const shown = await begun();
    page.popups[0]?.close();
    await page.pass(600_000);
    expect(page.handler.count('session')).toBeLessThan(30);
    page.handler.sessions.set('session-1', { status: 'expired' });
    await page.pass(60_000);
    const asked = page.handler.count('session');
    await page.pass(600_000);
    expect([page.handler.count('session'), state(shown)]).toEqual([asked, 'cancelled']);
    expect(onCancel).toHaveBeenCalledOnce();
  });
});

it('a window that stays open leads to no request until the session\'s end', async () => {
  const shown = await begun();
  await page.pass(599_000);
  expect([state(shown), page.handler.count('session')]).toEqual(['waiting', 0]);
  page.handler.sessions.set('session-1', { status: 'expired' });
  await page.pass(2000);
  expect([state(shown), note(shown)]).toEqual(['failed', 'That took too long. Try again.']);
  expect(page.popups[0]?.closed).toBe(true);
});

it('a short loss of the network does not end the attempt', async () => {
  const shown = await begun();
  page.popups[0]?.close();
  page.handler.unreachable = true;
  await page.pass(20_000);
  expect(state(shown)).toBe('waiting');
  page.handler.unreachable = false;
  page.handler.sessions.set('session-1', { status: 'completed' });
  page.handler.connection = connected();
  await page.pass(30_000);
  expect(state(shown)).toBe('connected');
});

it('a loss of the network beyond the session\'s end does', async () => {
  const shown = await begun();
  page.popups[0]?.close();
  page.handler.unreachable = true;
  await page.pass(600_000);
  expect(state(shown)).toBe('waiting');
  await page.pass(120_000);
  expect([state(shown), note(shown)]).toEqual(['failed', 'That took too long. Try again.']);
});

describe('without a window', () => {
  it('this tab goes to the provider, and shows the connection when it is back', async () => {
    page.blocked = true;
    const shown = await begun();
    expect([page.left, state(shown)]).toEqual([['https://facebook.example.com/dialog?session-1'], 'waiting']);
    page.handler.sessions.set('session-1', { status: 'completed' });
    page.handler.connection = connected();
    const back = await page.reload(install);
    expect([state(back), onInstall.mock.calls]).toEqual(['connected', [[connected()]]]);
    await page.reload(install);
    expect(onInstall).toHaveBeenCalledOnce();
  });

  it('as with a blocker that returns a closed one', async () => {
    page.open.mockReturnValue({ closed: true });
    await begun();
    expect(page.left).toHaveLength(1);
  });

  it('as with display="tab"', async () => {
    await page.show(<InstallButton provider="facebook" display="tab" returnTo="/settings" />);
    await press(button(document.body));
    expect([page.open.mock.calls.length, page.left.length]).toEqual([0, 1]);
    expect(page.handler.asked.at(-1)?.body).toMatchObject({ returnTo: '/settings' });
    expect(page.handler.asked.at(-1)?.body).not.toHaveProperty('display');
  });

  it('coming back without a decision is a cancellation', async () => {
    page.blocked = true;
    await begun();
    const back = await page.reload(install);
    expect(state(back)).toBe('waiting');
    await page.pass(2000);
    expect([state(back), onCancel.mock.calls.length]).toEqual(['cancelled', 1]);
    expect(state(await page.reload(install))).toBe('idle');
  });

  it('also when the browser restores the page from its cache', async () => {
    page.blocked = true;
    const shown = await begun();
    await act(async () => void window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
    await page.pass(2000);
    expect(state(shown)).toBe('cancelled');
  });
});

describe('a page that is reloaded while the window is open', () => {
  it('keeps waiting, and receives the message', async () => {
    await begun();
    const shown = await page.reload(install);
    await page.pass(5000);
    expect(state(shown)).toBe('waiting');
    await post(messageOf('connected', { connection: connected() }));
    expect([state(shown), onInstall.mock.calls]).toEqual(['connected', [[connected()]]]);
  });

  it('asks the handler, in case the message does not come', async () => {
    await begun();
    const shown = await page.reload(install);
    page.handler.sessions.set('session-1', { status: 'failed', error: { code: 'access_denied', message: '' } });
    await page.pass(2000);
    expect([state(shown), onCancel.mock.calls.length]).toEqual(['cancelled', 1]);
  });

  it('ignores a message about another session', async () => {
    await begun();
    const shown = await page.reload(install);
    await post(messageOf('connected', { sessionId: 'session-9' }));
    expect(state(shown)).toBe('waiting');
  });

  it('drops an attempt whose session has ended', async () => {
    await begun();
    vi.setSystemTime(Date.now() + 601_000); // a Date header has whole seconds
    expect(state(await page.reload(install))).toBe('idle');
  });
});

it.each([
  ['window', () => window.dispatchEvent(new Event('focus'))],
  ['tab', () => document.dispatchEvent(new Event('visibilitychange'))],
])('reads the state again when the person comes back to the %s, but not each time', async (_, comeBack) => {
  const shown = await page.show(install);
  page.handler.connection = connected();
  const glance = () => act(async () => void comeBack());
  await glance();
  expect(state(shown)).toBe('idle');
  await page.pass(6000);
  await glance();
  expect(state(shown)).toBe('connected');
  await glance();
  expect(page.handler.count('status')).toBe(2);
});
