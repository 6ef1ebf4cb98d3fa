import { later } from './clock.js';
import type { Entry } from './table.js';

/** What an agenda needs. */
export interface ScheduleOptions {
  now(): number;
  /** How many may be renewed at once. */
  parallel: number;
  /** Begins to renew an entry, and tells whether it did: then landed will be called. */
  renew(entry: Entry): boolean;
}

/**
 * An agenda wakes entries when they are due. What nobody has used since its answer came is left to sleep, and costs nothing: who
 * asks for it next wakes it.
 */
export class Schedule {
  readonly #options: ScheduleOptions;
  /** Due, in use, and waiting for another's renewal to end. */
  readonly #waiting = new Set<Entry>();
  #under = 0;

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  /** plan has an entry woken when it is due. Trouble never is: who wants to know asks again. */
  plan(entry: Entry): void {
    this.drop(entry);
    if (entry.answer.due === Infinity) {
      return;
    }
    entry.timer = later(entry.answer.due - this.#options.now(), () => {
      entry.timer = undefined;
      if (this.#options.now() < entry.answer.due - 10) { // longer than a timer can be set
        this.plan(entry);
        return;
      }
      this.#waiting.add(entry);
      this.#begin();
    });
  }

  /** drop takes an entry off. */
  drop(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.timer = undefined;
    this.#waiting.delete(entry);
  }

  /** landed is told that a renewal has ended. */
  finished(): void {
    this.#under--;
    this.#begin();
  }

  /** begin renews what is due, as many as may be under way. */
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
