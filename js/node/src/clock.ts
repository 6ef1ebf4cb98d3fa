/**
 * Returns the milliseconds since a moment of its own choice. It must not go back, and no user may be able to set it: setting it
 * back would prolong a token's life.
 */
export type Clock = () => number;

/** A difference in ms that means that the machine has slept, or that its wall clock was set forward. */
const asleep = 1000;

/**
 * steady returns the clock of the process: the monotonic clock, which cannot be set, plus what the wall clock has gained on it,
 * because the monotonic clock stops while the machine sleeps and tokens end then too. It ignores a wall clock that is set back.
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

/** The longest timer: 2^31 - 1 ms. */
export const longest = 2 ** 31 - 1;

/** later runs work after ms milliseconds. Its timer does not keep the process running. */
export function later(ms: number, work: () => void): NodeJS.Timeout {
  const timer = setTimeout(work, Math.min(Math.max(ms, 0), longest));
  timer.unref();
  return timer;
}

/** rest waits for ms milliseconds, or until signal is aborted, and returns whether it waited to the end. */
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

/** unless returns the promise's value, or throws the signal's reason if that is aborted first. */
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
    // Of an aborted one too: an unhandled rejection would end the process.
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** spread returns a random number from least to most. */
export function spread(least: number, most: number): number {
  return most <= least ? least : least + Math.random() * (most - least);
}

/**
 * backoff returns how long to wait after that many failures in a row, in ms: half a second, doubled each time, at most half a
 * minute.
 */
export function backoff(failures: number): number {
  return Math.min(500 * 2 ** Math.min(Math.max(failures - 1, 0), 10), 30_000);
}
