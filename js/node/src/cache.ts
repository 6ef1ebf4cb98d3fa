import { checkedAs, deferred, fresh, refused, stands, type Ages, type Answer } from './answer.js';
import { Agenda } from './agenda.js';
import type { Credential } from './credential.js';
import { closed, definitive } from './error.js';
import { ask, landing, type Asking, type Flight, type Landing } from './flight.js';
import { isReachedThrough, type Ref } from './ref.js';
import { Table, type Entry } from './table.js';

/** What a cache needs. */
export interface CacheOptions extends Ages, Asking {
  size: number;
  parallel: number;
}

/** A cache answers with credentials from memory, and renews behind their readers what is read. */
export class Cache {
  readonly #options: CacheOptions;
  readonly #table: Table;
  readonly #agenda: Agenda;
  readonly #flights = new Map<string, Flight>();
  #closed = false;

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#table = new Table(options.size, (entry) => this.#agenda.drop(entry));
    this.#agenda = new Agenda({
      now: options.now,
      parallel: options.parallel,
      renew: ({ ref }) => {
        const begins = !this.#flights.has(ref.text);
        if (begins) {
          this.#takeOff(ref, undefined, true);
        }
        return begins;
      },
    });
  }

  /** get returns a credential. signal ends the waiting and not the question. */
  async get(ref: Ref, orInstallation: boolean, signal?: AbortSignal): Promise<Credential> {
    let answer = this.#known(ref) ?? (await this.#await(ref, signal));
    if (orInstallation && answer.error?.code === 'not_found') {
      answer = this.#known(ref.installation) ?? (await this.#await(ref.installation, signal));
    }
    return opened(answer);
  }

  /** reportDead drops a credential, and returns the one to go on with when the engine has had it checked. */
  async reportDead(ref: Ref, dead: Credential, signal?: AbortSignal): Promise<Credential> {
    if (this.#closed) {
      throw closed();
    }
    signal?.throwIfAborted();
    const flight = this.#suspect(ref, dead);
    if (!flight) {
      return this.get(ref, false, signal);
    }
    const answer = await landing(flight, signal);
    if (!answer.error && this.#options.now() >= answer.ends) { // it was woken late
      return this.get(ref, false, signal);
    }
    return opened(answer);
  }

  /**
   * forget drops what is meant: ref and the pages that are reached through it, unless it is said otherwise. What is being asked is
   * asked once more: the answer that is under way may be of before.
   */
  forget(meant: Ref | ((ref: Ref) => boolean)): void {
    const those = typeof meant === 'function' ? meant : (ref: Ref) => isReachedThrough(ref, meant);
    for (const entry of this.#table.entries()) {
      if (those(entry.ref)) {
        this.#table.remove(entry);
      }
    }
    for (const flight of this.#flights.values()) {
      flight.again ||= those(flight.ref);
    }
  }

  /** close forgets everything and ends what the cache does by itself. */
  close(): void {
    this.#closed = true;
    this.#table.clear();
  }

  /** known returns what is known about ref; undefined: nothing (any more). */
  #known(ref: Ref): Answer | undefined {
    const entry = this.#table.get(ref);
    const now = this.#options.now();
    if (!entry || now >= entry.answer.until || this.#slept(entry, now)) {
      return undefined;
    }
    entry.recent = entry.used = true;
    entry.asleep = false;
    if (now >= entry.answer.due && !entry.answer.nudged) {
      // Somebody uses it who had not been seen when it would have been its turn.
      entry.answer.nudged = true;
      this.#agenda.plan(entry);
    }
    return entry.answer;
  }

  /** slept tells whether nobody has used an entry for so long that its answer is too old to be woken with. */
  #slept(entry: Entry, now: number): boolean {
    return entry.asleep && now - entry.answer.due >= this.#options.maxAge;
  }

  /** await joins the flight for ref, or begins it, and returns what it brings. */
  async #await(ref: Ref, signal: AbortSignal | undefined): Promise<Answer> {
    for (;;) {
      if (this.#closed) {
        throw closed();
      }
      signal?.throwIfAborted();
      const flight = this.#flights.get(ref.text) ?? this.#takeOff(ref, undefined, false);
      const answer = await landing(flight, signal);
      // Who was woken late may hold a token that has ended meanwhile. A refusal is good for who has waited for it.
      if (answer.error || this.#options.now() < answer.ends) {
        return answer;
      }
    }
  }

  /** takeOff begins a flight, for a ref that has none. */
  #takeOff(ref: Ref, dead: Credential | undefined, background: boolean): Flight {
    const suspect = dead ?? this.#table.get(ref)?.untold;
    const flight: Flight = { ref, background, again: false, suspect, landed: Promise.resolve(undefined) };
    this.#flights.set(ref.text, flight);
    flight.landed = this.#fly(flight, suspect);
    return flight;
  }

  /** fly asks until what it is told is not outdated. */
  async #fly(flight: Flight, suspect: Credential | undefined): Promise<Answer | undefined> {
    for (;;) {
      const brought = await ask(this.#options, flight, suspect);
      if (!flight.again || this.#closed) {
        return this.#land(flight, brought);
      }
      flight.again = false;
      suspect = flight.suspect;
      if (suspect && brought.reply && brought.reply.data.access_token !== suspect.credential) {
        suspect = undefined; // it has been replaced already
      }
    }
  }

  /** land takes in what a flight has brought. */
  #land(flight: Flight, brought: Landing): Answer | undefined {
    this.#flights.delete(flight.ref.text);
    const answer = this.#closed ? undefined : this.#learn(flight, brought);
    if (flight.background) {
      this.#agenda.landed();
    }
    return answer;
  }

  /** learn puts what was learned into the table. */
  #learn({ ref, suspect }: Flight, brought: Landing): Answer {
    const entry = this.#table.get(ref);
    const failures = brought.error ? (entry?.failures ?? 0) + 1 : 0;
    const answer = this.#judge(ref, brought, entry, failures, suspect);
    if (!entry && answer.error && !definitive(answer.error) && this.#table.full) {
      // What cannot be had for the moment throws nothing out that may not be had again either.
      return answer;
    }
    const place = entry ?? this.#table.put(ref, answer);
    Object.assign(place, { answer, failures, used: false, asleep: false, untold: brought.untold });
    this.#agenda.plan(place);
    return answer;
  }

  #judge(ref: Ref, { reply, sent, rest, error }: Landing, entry: Entry | undefined, failures: number, suspect: Credential | undefined): Answer {
    const now = this.#options.now();
    if (reply) {
      const answer = fresh(this.#options, ref, reply, sent, entry?.answer.credential ?? suspect);
      answer.checked = rest > 0 ? now + rest : checkedAs(entry?.answer, answer);
      return answer;
    }
    if (entry && error && !definitive(error) && stands(entry.answer, now)) {
      this.#options.trouble(error, ref);
      return deferred(this.#options, entry.answer, failures);
    }
    return refused(this.#options, error ?? closed(), failures);
  }

  /** suspect drops what was reported dead, and returns the flight that will tell of it; undefined if nothing is to be asked. */
  #suspect(ref: Ref, dead: Credential): Flight | undefined {
    const entry = this.#table.get(ref);
    if (entry) {
      const { answer } = entry;
      const now = this.#options.now();
      const replaced = !answer.credential?.equals(dead);
      if (now < answer.until && (replaced || now < answer.checked)) {
        return undefined;
      }
      this.#table.remove(entry);
    }
    const flight = this.#flights.get(ref.text);
    if (!flight) {
      return this.#takeOff(ref, dead, false);
    }
    if (!flight.suspect?.equals(dead)) {
      // It asks for what may be the same token once more, so it goes round again, and checks first.
      flight.suspect = dead;
      flight.again = true;
    }
    return flight;
  }
}

function opened(answer: Answer): Credential {
  if (!answer.credential) {
    throw answer.error ?? closed();
  }
  return answer.credential;
}
