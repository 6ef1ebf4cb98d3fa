/**
 * A clock tells the milliseconds since some moment of its own choice. It must not go back, and nobody may be able to set it:
 * whoever sets the wall clock would prolong a token's life.
 */
export type Clock = () => number;

/** What tells that the machine has slept, or its wall clock was set forward, in ms. */
const asleep = 1000;

/**
 * steady is the clock of the process. It is the monotonic one, which nobody can set, but that stops while the machine sleeps, and
 * the lives of tokens do not: so what the wall clock has gained on it is added. What that has lost counts for nothing.
 */
export function steady(): Clock {
  let slept = 0;
  let ahead = Date.now() - performance.now();
  return () => {
    const ticks = performance.now();
    const gained = Date.now() - ticks - ahead;
    if (Math.abs(gained) > asleep) {
      slept += Math.max(gained, 0);
      ahead += gained;
    }
    return ticks + slept;
  };
}

/** Longer than any timer can be set: 2^31 - 1 ms. */
export const longest = 2 ** 31 - 1;

/** later runs work after ms milliseconds, and keeps no process alive for it. */
export function later(ms: number, work: () => void): NodeJS.Timeout {
  const timer = setTimeout(work, Math.min(Math.max(ms, 0), longest));
  timer.unref();
  return timer;
}

/** rest waits for ms milliseconds, or until signal is aborted, and tells whether it was not. */
export function rest(ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(false);
      return;
    }
    const end = (rested: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      resolve(rested);
    };
    const stop = () => end(false);
    const timer = setTimeout(() => end(true), ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}

/** within runs work with a signal that is aborted after ms milliseconds, or with one of signals. */
export async function within<T>(ms: number, signals: readonly (AbortSignal | undefined)[], work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = () => controller.abort();
  const timer = setTimeout(stop, ms);
  for (const signal of signals) {
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
  }
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    for (const signal of signals) {
      signal?.removeEventListener('abort', stop);
    }
  }
}

/** unless returns what promise brings, unless signal is aborted before: then its reason is thrown. */
export function unless<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) {
    return promise;
  }
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) {
      stop();
    }
    signal.addEventListener('abort', stop, { once: true });
    // Of an aborted one, too: a promise that nobody looks at ends the process if it is rejected.
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** spread returns something from least to most, at random. */
export function spread(least: number, most: number): number {
  return most <= least ? least : least + Math.random() * (most - least);
}

/** backoff is how long to wait after so many failures in a row: half a second, doubled each time, half a minute at most. */
export function backoff(failures: number): number {
  return Math.min(500 * 2 ** Math.min(Math.max(failures - 1, 0), 10), 30_000);
}
