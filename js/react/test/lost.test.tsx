import { act } from 'react';
import { describe, expect, it, vi } from 'vitest';
import { InstallButton } from '../src/index.js';
import { connected } from './handler.js';
import { button, note, page, post, press, state, told } from './page.js';

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
  it('is a cancellation where nothing was done in it', async () => {
    const shown = await begun();
    page.popups[0]?.close();
    await page.pass(2000);
    expect([state(shown), note(shown)]).toEqual(['cancelled', 'Cancelled. Nothing was changed.']);
    expect(onCancel).toHaveBeenCalledOnce();
  });

  it('is none where the message was lost and the session is completed', async () => {
    const shown = await begun();
    page.handler.sessions.set('session-1', { status: 'completed' });
    page.handler.connection = connected();
    page.popups[0]?.close();
    await page.pass(500);
    expect([state(shown), onInstall.mock.calls]).toEqual(['connected', [[connected()]]]);
  });

  it('is waited for while the session is being redeemed', async () => {
    const shown = await begun();
    page.handler.sessions.set('session-1', { status: 'redeeming' });
    page.popups[0]?.close();
    await page.pass(5000);
    expect(state(shown)).toBe('waiting');
    page.handler.sessions.set('session-1', { status: 'failed', error: { code: 'account_mismatch', message: '' } });
    await page.pass(10_000);
    expect(state(shown)).toBe('failed');
  });

  // A provider's page may part the window from its opener (Cross-Origin-Opener-Policy): it then reads as closed while the person is in it.
  it('may be one that only seems closed: what is done in it counts', async () => {
    const shown = await begun();
    page.popups[0]?.close();
    await page.pass(2000);
    expect(state(shown)).toBe('cancelled');
    page.handler.sessions.set('session-1', { status: 'completed' });
    page.handler.connection = connected();
    await page.pass(60_000);
    expect([state(shown), onInstall.mock.calls]).toEqual(['connected', [[connected()]]]);
  });

  it('is asked about less and less, and no more when the session is over', async () => {
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

it('a window that is left open is not asked about until the session is over', async () => {
  const shown = await begun();
  await page.pass(599_000);
  expect([state(shown), page.handler.count('session')]).toEqual(['waiting', 0]);
  page.handler.sessions.set('session-1', { status: 'expired' });
  await page.pass(2000);
  expect([state(shown), note(shown)]).toEqual(['failed', 'That took too long. Try again.']);
  expect(page.popups[0]?.closed).toBe(true);
});

it('a moment without the network ends nothing', async () => {
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

it('but one that lasts longer than the session does', async () => {
  const shown = await begun();
  page.popups[0]?.close();
  page.handler.unreachable = true;
  await page.pass(600_000);
  expect(state(shown)).toBe('waiting');
  await page.pass(120_000);
  expect([state(shown), note(shown)]).toEqual(['failed', 'That took too long. Try again.']);
});

describe('where no window opens', () => {
  it('this tab goes to the provider, and finds the connection when it is back', async () => {
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

  it('nor where a blocker hands out one that is closed already', async () => {
    page.open.mockReturnValue({ closed: true });
    await begun();
    expect(page.left).toHaveLength(1);
  });

  it('nor where the tab is wanted', async () => {
    await page.show(<InstallButton provider="facebook" display="tab" returnTo="/settings" />);
    await press(button(document.body));
    expect([page.open.mock.calls.length, page.left.length]).toEqual([0, 1]);
    expect(page.handler.asked.at(-1)?.body).toMatchObject({ returnTo: '/settings' });
    expect(page.handler.asked.at(-1)?.body).not.toHaveProperty('display');
  });

  it('coming back with nothing done is a cancellation', async () => {
    page.blocked = true;
    await begun();
    const back = await page.reload(install);
    expect(state(back)).toBe('waiting');
    await page.pass(2000);
    expect([state(back), onCancel.mock.calls.length]).toEqual(['cancelled', 1]);
    expect(state(await page.reload(install))).toBe('idle');
  });

  it('and so is it when the browser brings the page back whole', async () => {
    page.blocked = true;
    const shown = await begun();
    await act(async () => void window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
    await page.pass(2000);
    expect(state(shown)).toBe('cancelled');
  });
});

describe('a page that is loaded anew while the window is open', () => {
  it('waits on, and hears the message', async () => {
    await begun();
    const shown = await page.reload(install);
    await page.pass(5000);
    expect(state(shown)).toBe('waiting');
    await post(told('connected', { connection: connected() }));
    expect([state(shown), onInstall.mock.calls]).toEqual(['connected', [[connected()]]]);
  });

  it('asks, should the message not come', async () => {
    await begun();
    const shown = await page.reload(install);
    page.handler.sessions.set('session-1', { status: 'failed', error: { code: 'access_denied', message: '' } });
    await page.pass(2000);
    expect([state(shown), onCancel.mock.calls.length]).toEqual(['cancelled', 1]);
  });

  it('takes no message about another session', async () => {
    await begun();
    const shown = await page.reload(install);
    await post(told('connected', { sessionId: 'session-9' }));
    expect(state(shown)).toBe('waiting');
  });

  it('forgets an attempt whose time is over', async () => {
    await begun();
    vi.setSystemTime(Date.now() + 601_000); // a handler's date is one of seconds
    expect(state(await page.reload(install))).toBe('idle');
  });
});

it.each([
  ['window', () => window.dispatchEvent(new Event('focus'))],
  ['tab', () => document.dispatchEvent(new Event('visibilitychange'))],
])('asks again when the person comes back to the %s, and not at each glance', async (_, comeBack) => {
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
