import { later } from './clock.js';
import type { Entry } from './table.js';

/** Options of a schedule. */
export interface ScheduleOptions {
  now(): number;
  /** How many renewals may run at a time. */
  parallel: number;
  /** Begins to renew an entry, and returns whether it did. The owner calls finished at the end. */
  renew(entry: Entry): boolean;
}

/**
 * A schedule renews entries when they are due. An entry that was not read since its last answer is left idle and costs nothing
 * until it is read again.
 */
export class Schedule {
  readonly #options: ScheduleOptions;
  /** Due and in use, but at the limit of parallel renewals. */
  readonly #waiting = new Set<Entry>();
  #under = 0;

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  /** plan has an entry renewed when it is due. An answer without a due time is not renewed: the next read asks again. */
  plan(entry: Entry): void {
    this.drop(entry);
    if (entry.answer.due === Infinity) {
      return;
    }
    entry.timer = later(entry.answer.due - this.#options.now(), () => {
      entry.timer = undefined;
      if (this.#options.now() < entry.answer.due - 10) { // timers have a maximum
        this.plan(entry);
        return;
      }
      this.#waiting.add(entry);
      this.#begin();
    });
  }

  /** drop removes an entry from the schedule. */
  drop(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.timer = undefined;
    this.#waiting.delete(entry);
  }

  /** finished records the end of a renewal. */
  finished(): void {
    this.#under--;
    this.#begin();
  }

  /** begin renews what is due, up to the limit. */
  #begin(): void {
    for (const entry of this.#waiting) {
      if (this.#under >= this.#options.parallel) {
        return;
      }
      this.#waiting.delete(entry);
      if (!entry.used) {
        entry.idle = true;
      } else if (this.#options.renew(entry)) {
        this.#under++;
      }
    }
  }
}
