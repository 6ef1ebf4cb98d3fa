import { type Browser, type BrowserContext, type BrowserContextOptions, chromium } from 'playwright-core';

/** How many milliseconds a test waits for a step. Only a test that fails spends them: a busy machine may stand still for many seconds. */
export const patience = 120_000;

/** Debian's Chromium, without a screen. Its own sandbox does not work for root, whom containers often run as. */
export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium', args: process.getuid?.() === 0 ? ['--no-sandbox'] : [], timeout: patience,
  });

/** A context whose steps have patience. */
export async function contextOf(browser: Browser, options?: BrowserContextOptions): Promise<BrowserContext> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(patience);
  return context;
}
