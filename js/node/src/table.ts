import type { Answer } from './answer.js';
import type { Credential } from './credential.js';
import type { Ref } from './ref.js';

/** A place in the table. */
export interface Entry {
  readonly ref: Ref;
  answer: Answer;
  /** Asked for since the hand of the clock passed it. */
  recent: boolean;
  /** Asked for since its answer came. */
  used: boolean;
  /** Not in use when its renewal was due: nobody knows any more what is so. */
  idle: boolean;
  /** Since an answer came. */
  failures: number;
  /** What was reported dead, and is yet to be checked. */
  unchecked: Credential | undefined;
  /** What wakes it when it is due; none while it sleeps. */
  timer: NodeJS.Timeout | undefined;
}

/**
 * A table of bounded size. Which entry goes when one too many comes is decided by a clock: a hand goes round, takes the mark off
 * those that were asked for since it last came by, and throws out the first that was not. The hand is at the head of the map,
 * which keeps the order of insertion.
 */
export class Table {
  readonly #entries = new Map<string, Entry>();
  readonly #size: number;
  readonly #removed: (entry: Entry) => void;

  /** removed is told of each entry that goes. */
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

  /** remove takes an entry out. */
  remove(entry: Entry): void {
    this.#removed(entry);
    this.#entries.delete(entry.ref.text);
  }

  /** entries are all there are, of this moment. */
  entries(): Entry[] {
    return [...this.#entries.values()];
  }

  clear(): void {
    for (const entry of this.#entries.values()) {
      this.remove(entry);
    }
  }

  /** coldest turns the hand until it finds one that nobody has asked for lately. After one round there is one. */
  #coldest(): Entry {
    for (const entry of this.#entries.values()) { // whoever is set behind comes up again
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
