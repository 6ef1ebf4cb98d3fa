import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, test } from 'vitest';
import { contextOf, launch } from './chromium.js';
import { shot } from './shot.js';

// The stylesheet of the components, on a page without any other.
let browser: Browser;
let css: string;

beforeAll(async () => {
  browser = await launch();
  css = await readFile(new URL('../../react/styles.css', import.meta.url), 'utf8');
});
afterAll(() => browser.close());

const states = ['loading', 'idle', 'waiting', 'connected', 'connected" data-missing="', 'needs_reauth', 'cancelled', 'failed'];

const component = (state: string, words = 'Continue at Facebook') => `<div class="authpipe" data-state="${state}"><div class="authpipe-buttons">
  <button class="authpipe-button"><span class="authpipe-label">${words}</span></button><button class="authpipe-cancel">Cancel</button></div>
  <p class="authpipe-note">${words}</p></div><hr>`;

async function show(body: string, { dark = false, width = 760, dir = 'ltr' } = {}): Promise<Page> {
  const context = await contextOf(browser, { colorScheme: dark ? 'dark' : 'light', viewport: { width, height: 600 } });
  const page = await context.newPage();
  const ground = dark ? '#22262c' : '#fff';
  await page.setContent(`<!doctype html><html dir="${dir}"><style>:root { color-scheme: light dark; background: ${ground} } ${css}</style>${body}`);
  return page;
}

/** Returns the contrast of an element's colour with its background, as WCAG defines it. */
function contrast(page: Page, selector: string, property: 'color' | 'outlineColor'): Promise<number> {
  return page.locator(selector).first().evaluate((element, property) => {
    const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true }) as CanvasRenderingContext2D;
    const chain: Element[] = [];
    for (let each: Element | null = property === 'color' ? element : element.parentElement; each; each = each.parentElement) chain.unshift(each);
    const luminance = () => {
      const [r = 0, g = 0, b = 0] = [...context.getImageData(0, 0, 1, 1).data].map((each) => each / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paint = (colour: string) => ((context.fillStyle = colour), context.fillRect(0, 0, 1, 1), luminance());
    const behind = chain.map((each) => paint(getComputedStyle(each).backgroundColor)).at(-1) ?? 0;
    const front = paint(getComputedStyle(element)[property]);
    return (Math.max(front, behind) + 0.05) / (Math.min(front, behind) + 0.05);
  }, property);
}

const schemes = [['light', false], ['dark', true]] as const;

test.each(schemes)('texts have enough contrast in all states: %s', async (_, dark) => {
  const page = await show(states.map((state) => component(state)).join(''), { dark });
  for (const state of states.slice(1)) {
    const name = state.split('"')[0];
    const root = `.authpipe[data-state="${name}"]${state === name ? ':not([data-missing])' : '[data-missing]'}`;
    for (const part of ['.authpipe-label', '.authpipe-note', '.authpipe-cancel']) {
      expect(await contrast(page, `${root} ${part}`, 'color'), `${state} ${part}`).toBeGreaterThanOrEqual(4.5);
    }
  }
  await shot(page, dark ? 'looks-dark' : 'looks');
  await page.context().close();
});

test.each(schemes)('the focus is visible: %s', async (_, dark) => {
  const page = await show(component('waiting'), { dark });
  for (const part of ['.authpipe-button', '.authpipe-cancel']) {
    await page.keyboard.press('Tab');
    expect(await page.locator(part).evaluate((button) => [button === document.activeElement, parseFloat(getComputedStyle(button).outlineWidth) >= 2])).toEqual([true, true]);
    expect(await contrast(page, part, 'outlineColor'), part).toBeGreaterThanOrEqual(3);
    await shot(page, `focus-${part.slice(10)}-${dark ? 'dark' : 'light'}`);
  }
  await page.context().close();
});

const long = 'Berufsunfähigkeitsversicherungsgesellschaft verbinden, pages_manage_engagement_and_a_permission_with_a_name_that_does_not_end';

test.each(['ltr', 'rtl'])('long words stay within a narrow page: %s', async (dir) => {
  const page = await show(states.map((state) => component(state, long)).join(''), { width: 240, dir });
  const wide = await page.evaluate(() => [...document.querySelectorAll('.authpipe *')].filter((each) => {
    const { left, right } = each.getBoundingClientRect();
    return left < 0 || right > document.documentElement.clientWidth || each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0;
  }).map((each) => each.className));
  await shot(page, `long-${dir}`);
  expect(wide).toEqual([]);
  await page.context().close();
});

it('respects reduced motion, and draws borders with forced colours', async () => {
  const page = await show(component('waiting'));
  const spinner = () => page.locator('.authpipe-button').evaluate((button) => getComputedStyle(button, '::before').animationName);
  expect(await spinner()).toBe('authpipe-turn');
  await page.emulateMedia({ reducedMotion: 'reduce', forcedColors: 'active' });
  expect(await spinner()).toBe('none');
  const border = await page.locator('.authpipe-button').evaluate((button) => getComputedStyle(button).borderTopColor);
  expect(border).not.toBe('rgba(0, 0, 0, 0)');
  await shot(page, 'forced');
  await page.context().close();
});
