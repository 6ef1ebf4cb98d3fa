import type { Answer } from './answer.js';
import type { Credential } from './credential.js';
import type { Ref } from './ref.js';

/** What is known of one ref. */
export interface Entry {
  readonly ref: Ref;
  answer: Answer;
  /** Read since the hand last passed it. */
  recent: boolean;
  /** Read since its answer came. */
  used: boolean;
  /** Not in use when its renewal was due, so its answer may be outdated. */
  idle: boolean;
  /** Failed calls since the last answer. */
  failures: number;
  /** The credential that was reported dead and is still to be checked. */
  unchecked: Credential | undefined;
  /** The timer of its renewal; undefined while it is idle. */
  timer: NodeJS.Timeout | undefined;
}

/**
 * A cache of bounded size with CLOCK eviction. When it is full, a hand goes round, clears the mark of each entry that was read
 * since it last passed, and evicts the first without a mark. The hand is at the head of the map, which keeps the order of
 * insertion.
 */
export class Table {
  readonly #entries = new Map<string, Entry>();
  readonly #size: number;
  readonly #removed: (entry: Entry) => void;

  /** removed receives each entry that is removed. */
  constructor(size: number, removed: (entry: Entry) => void) {
    this.#size = size;
    this.#removed = removed;
  }

  get full(): boolean {
    return this.#entries.size >= this.#size;
  }

  get(ref: Ref): Entry | undefined {
    return this.#entries.get(ref.text);
  }

  /** put adds an entry for ref, which has none. */
  put(ref: Ref, answer: Answer): Entry {
    if (this.full) {
      this.remove(this.#coldest());
    }
    const entry: Entry = { ref, answer, recent: false, used: false, idle: false, failures: 0, unchecked: undefined, timer: undefined };
    this.#entries.set(ref.text, entry);
    return entry;
  }

  /** remove deletes an entry. */
  remove(entry: Entry): void {
    this.#removed(entry);
    this.#entries.delete(entry.ref.text);
  }

  /** entries returns all entries, as of now. */
  entries(): Entry[] {
    return [...this.#entries.values()];
  }

  clear(): void {
    for (const entry of this.#entries.values()) {
      this.remove(entry);
    }
  }

  /** coldest moves the hand to the first entry without a mark. After one round there is one. */
  #coldest(): Entry {
    for (const entry of this.#entries.values()) { // an entry that is set behind comes up again
      if (!entry.recent) {
        return entry;
      }
      entry.recent = false;
      this.#entries.delete(entry.ref.text);
      this.#entries.set(entry.ref.text, entry);
    }
    throw new Error('the table is empty');
  }
}
