import { expect, it, test } from 'vitest';
import { InstallButton } from '../src/index.js';
import { button, note, page, press, state } from './page.js';

const install = <InstallButton provider="facebook" />;
const hour = 3_600_000;

// A device's clock may be wrong.
test.each([['an hour ahead', hour], ['an hour behind', -hour]])('a clock that is %s changes nothing', async (_, ahead) => {
  page.handler.behind = ahead;
  const shown = await page.show(install);
  await press(button(shown));
  await page.pass(599_000);
  expect([state(shown), page.handler.count('session')]).toEqual(['waiting', 0]);
  const again = await page.reload(install);
  expect(state(again)).toBe('waiting');
  await page.pass(2000);
  expect(state(await page.reload(install))).toBe('idle');
});

it('without a Date header, the session ends by this machine\'s clock', async () => {
  page.handler.dated = false;
  const shown = await page.show(install);
  await press(button(shown));
  await page.pass(599_000);
  expect([state(shown), page.handler.count('session')]).toEqual(['waiting', 0]);
});

it('a session without an end is refused', async () => {
  page.handler.sessionTTL = NaN;
  const shown = await page.show(install);
  await press(button(shown));
  expect([state(shown), note(shown)]).toEqual(['failed', 'That did not work, and nothing was changed. Try again.']);
});

it('an internal error of the handler does not end the attempt', async () => {
  const shown = await page.show(install);
  await press(button(shown));
  page.popups[0]?.close();
  page.handler.refuses.set('session', { status: 500, code: 'internal' });
  await page.pass(5000);
  expect(state(shown)).toBe('waiting');
});
