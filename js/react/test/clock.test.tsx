import { expect, it, test } from 'vitest';
import { InstallButton } from '../src/index.js';
import { button, note, page, press, state } from './page.js';

const install = <InstallButton provider="facebook" />;
const hour = 3_600_000;

// Nobody's machine has to have the right time for them to connect.
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

it('a handler that does not say what time it is has this machine\'s', async () => {
  page.handler.dated = false;
  const shown = await page.show(install);
  await press(button(shown));
  await page.pass(599_000);
  expect([state(shown), page.handler.count('session')]).toEqual(['waiting', 0]);
});

it('a session that ends at no time at all has not begun', async () => {
  page.handler.sessionTTL = NaN;
  const shown = await page.show(install);
  await press(button(shown));
  expect([state(shown), note(shown)]).toEqual(['failed', 'That did not work, and nothing was changed. Try again.']);
});

it('a trouble of the handler\'s own ends nothing either', async () => {
  const shown = await page.show(install);
  await press(button(shown));
  page.popups[0]?.close();
  page.handler.refuses.set('session', { status: 500, code: 'internal' });
  await page.pass(5000);
  expect(state(shown)).toBe('waiting');
});
