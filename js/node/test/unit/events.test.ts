import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { Authpipe, Event } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

let double: Double;
let client: Authpipe;
let happened: number;

beforeEach(() => {
  vi.useFakeTimers();
  double = new Double();
  client = clientOf(double);
  happened = 0;
  double.meanwhile((request) => {
    const url = new URL(request.url);
    if (!url.pathname.endsWith('/events')) return undefined;
    const after = Number(url.searchParams.get('after'));
    const events = Array.from({ length: Math.min(happened - after, Number(url.searchParams.get('limit'))) }, (_, i) => (
      { id: after + i + 1, at: '2026-11-23T12:00:00Z', type: 'connection.refreshed', ref: 'org_acme/facebook/installation' }));
    return double.reply({ events });
  });
});

afterEach(async () => {
  await client.close();
  vi.useRealTimers();
});

/** follows collects events until there are enough or the loop ends. */
async function follows(events: AsyncIterable<Event>, enough = Infinity): Promise<number[]> {
  const ids: number[] = [];
  for await (const event of events) {
    expect(event.at).toBeInstanceOf(Date);
    ids.push(event.id);
    if (ids.length === enough) break;
  }
  return ids;
}

const asked = () => double.count('GET events');

test('past events come in pages without a pause, then new ones', async () => {
  happened = 2500;
  const ids = follows(client.events({ after: 10 }), 2491);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked()).toBe(3);
  happened = 2501;
  await vi.advanceTimersByTimeAsync(5000);
  expect((await ids).at(-1)).toBe(2501);
  expect(new Set(await ids).size).toBe(2491);
});

test('without events there is a request every few seconds', async () => {
  const end = new AbortController();
  const ids = follows(client.events({ signal: end.signal }));
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(asked()).toBeGreaterThan(700);
  expect(asked()).toBeLessThan(1500);
  end.abort();
  expect(await ids).toEqual([]);
});

test('an error is reported and does not end the loop, which retries ever less often', async () => {
  const troubles: string[] = [];
  const end = new AbortController();
  const ids = follows(client.events({ signal: end.signal, onTrouble: (error) => troubles.push(error.code) }));
  double.meanwhile(() => double.refuse(502, 'unavailable: there is trouble'));
  await vi.advanceTimersByTimeAsync(600_000);
  expect(troubles.length).toBeGreaterThan(15);
  expect(troubles.length).toBeLessThan(60);
  end.abort();
  expect(await ids).toEqual([]);
});

test('the loop ends with the client, also before it begins', async () => {
  const ids = follows(client.events());
  await vi.advanceTimersByTimeAsync(1);
  await client.close();
  expect(await ids).toEqual([]);
  expect(await follows(client.events())).toEqual([]);
  expect(await follows(client.events({ signal: AbortSignal.abort() }))).toEqual([]);
});
