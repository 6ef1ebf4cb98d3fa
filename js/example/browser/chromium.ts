import { type Browser, chromium } from 'playwright-core';

/** Debian's Chromium, without a screen. Its own sandbox does not work for root, whom containers often run as. */
export const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium', args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
