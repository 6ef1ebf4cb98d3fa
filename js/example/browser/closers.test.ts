import { expect, it } from 'vitest';
import { Closers } from './closers.js';

it('closes all, the last first, even if one fails, and reports which', async () => {
  const closed: string[] = [];
  const closers = new Closers();
  closers.push(async () => closed.push('Vault'));
  closers.push(() => Promise.reject(new Error('the server hangs')));
  closers.push(async () => closed.push('the browser'));
  await expect(closers.close()).rejects.toThrow('the server hangs');
  expect(closed).toEqual(['the browser', 'Vault']);
  await closers.close();
  expect(closed).toHaveLength(2);
});
