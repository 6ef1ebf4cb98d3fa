import { deferred, fresh, refused, stands, type Ages, type Answer, type Reply } from './answer.js';
import { later, unless } from './clock.js';
import type { Credential } from './credential.js';
import { AuthpipeError, closed, definitive } from './error.js';
import { isReachedThrough, type Ref } from './ref.js';
import { Table, type Entry } from './table.js';

/** What a cache needs. */
export interface CacheOptions extends Ages {
  size: number;
  parallel: number;
  /** Asks the engine for a credential. Nobody waits for what is asked in the background. */
  read(ref: Ref, background: boolean): Promise<Reply>;
  /** Has the engine ask the provider about a credential. */
  check(ref: Ref): Promise<void>;
  /** Is told what fails in the background. */
  trouble(error: AuthpipeError, ref: Ref): void;
}

/**
 * For how long the engine's word is taken that a token lives, whatever else is heard: it has asked the provider. A crowd that
 * reports the same token makes one check.
 */
const believed = 60_000;

/**
 * A flight is one question to the engine about a ref, shared by all who want to know. It belongs to none of them: who gives up
 * waiting does not end it.
 */
interface Flight {
  readonly ref: Ref;
  readonly background: boolean;
  /** What it brings is of before something happened: ask once more. */
  again: boolean;
  /** What was reported dead since: to be checked first. */
  suspect: Credential | undefined;
  /** Undefined: the client was closed. */
  landed: Promise<Answer | undefined>;
}

/** What a flight brings: a reply to a question, or an error. */
type Landing = { reply: Reply; sent: number; vetted: boolean; error?: undefined } | { reply?: undefined; error: AuthpipeError };

/** A cache answers with credentials from memory, and renews behind their readers what is read. */
export class Cache {
  readonly #options: CacheOptions;
  readonly #table: Table;
  readonly #flights = new Map<string, Flight>();
  /** Due, in use, and waiting for a flight of the background to land. */
  readonly #waiting = new Set<Entry>();
  #background = 0;
  #closed = false;

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#table = new Table(options.size);
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
    if (!answer.error && this.#options.now() >= answer.until) { // it was woken late
      return this.get(ref, false, signal);
    }
    return opened(answer);
  }

  /**
   * forget drops ref and the pages that are reached through it. What is being asked is asked once more: the answer that is under
   * way may be of before.
   */
  forget(ref: Ref, below: (ref: Ref, other: Ref) => boolean = isReachedThrough): void {
    for (const entry of this.#table.entries()) {
      if (below(entry.ref, ref)) {
        this.#drop(entry);
      }
    }
    for (const flight of this.#flights.values()) {
      flight.again ||= below(flight.ref, ref);
    }
  }

  /** close forgets everything and ends what the cache does by itself. */
  close(): void {
    this.#closed = true;
    this.#table.clear();
    this.#waiting.clear();
  }

  /** known returns what is known about ref; undefined: nothing (any more). */
  #known(ref: Ref): Answer | undefined {
    const entry = this.#table.get(ref);
    const now = this.#options.now();
    if (!entry || now >= entry.answer.until) {
      return undefined;
    }
    entry.recent = entry.used = true;
    if (now >= entry.answer.due && !entry.answer.nudged) {
      // Somebody uses it who had not been seen when it would have been its turn.
      entry.answer.nudged = true;
      this.#plan(entry);
    }
    return entry.answer;
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
      if (answer.error || this.#options.now() < answer.until) {
        return answer;
      }
    }
  }

  /** takeOff begins a flight, for a ref that has none. */
  #takeOff(ref: Ref, suspect: Credential | undefined, background: boolean): Flight {
    const flight: Flight = { ref, background, again: false, suspect, landed: Promise.resolve(undefined) };
    this.#flights.set(ref.text, flight);
    flight.landed = this.#fly(flight, suspect);
    return flight;
  }

  /** fly asks until what it is told is not outdated. */
  async #fly(flight: Flight, suspect: Credential | undefined): Promise<Answer | undefined> {
    for (;;) {
      const brought = await this.#ask(flight, suspect);
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

  /**
   * ask has the engine check what is suspect, and then asks it for the credential. Where the check tells that there is none, that
   * is the answer. Where the check is not possible (no policy lets it, the provider is away) the credential is asked for all the
   * same.
   */
  async #ask(flight: Flight, suspect: Credential | undefined): Promise<Landing> {
    const { read, check, now, trouble } = this.#options;
    let vetted = false;
    try {
      if (suspect && flight.ref.name === undefined) {
        try {
          await check(flight.ref);
          vetted = true;
        } catch (error) {
          const why = typed(error);
          if (why.needsReauth || why.code === 'closed') {
            throw why;
          }
          trouble(why, flight.ref);
        }
      }
      const sent = now();
      return { reply: await read(flight.ref, flight.background), sent, vetted };
    } catch (error) {
      return { error: typed(error) };
    }
  }

  /** land takes in what a flight has brought. */
  #land(flight: Flight, brought: Landing): Answer | undefined {
    this.#flights.delete(flight.ref.text);
    if (flight.background) {
      this.#background--;
    }
    if (this.#closed) {
      return undefined;
    }
    const answer = this.#learn(flight, brought);
    this.#renew();
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
    place.used = false;
    place.answer = answer;
    place.failures = failures;
    this.#plan(place);
    return answer;
  }

  #judge(ref: Ref, brought: Landing, entry: Entry | undefined, failures: number, suspect: Credential | undefined): Answer {
    const now = this.#options.now();
    if (brought.reply) {
      const answer = fresh(this.#options, ref, brought.reply, brought.sent, entry?.answer.credential ?? suspect);
      answer.checked = brought.vetted ? now + believed : -Infinity;
      return answer;
    }
    if (entry && !definitive(brought.error) && stands(entry.answer, now)) {
      this.#options.trouble(brought.error, ref);
      return deferred(this.#options, entry.answer, failures);
    }
    return refused(this.#options, brought.error, failures);
  }

  /** plan has an entry woken when it is due. Trouble never is: who wants to know asks again. */
  #plan(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.timer = undefined;
    if (this.#closed || entry.answer.due === Infinity) {
      return;
    }
    entry.timer = later(entry.answer.due - this.#options.now(), () => {
      entry.timer = undefined;
      if (this.#options.now() < entry.answer.due - 10) { // longer than a timer can be set
        this.#plan(entry);
        return;
      }
      this.#waiting.add(entry);
      this.#renew();
    });
  }

  /**
   * renew begins the flights for what is due, as many as may be under way. What nobody has used since its answer came is left to
   * sleep: who asks for it next wakes it.
   */
  #renew(): void {
    for (const entry of this.#waiting) {
      if (this.#background >= this.#options.parallel) {
        return;
      }
      this.#waiting.delete(entry);
      if (entry.used && this.#table.get(entry.ref) === entry && !this.#flights.has(entry.ref.text)) {
        this.#background++;
        this.#takeOff(entry.ref, undefined, true);
      }
    }
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
      this.#drop(entry);
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

  #drop(entry: Entry): void {
    this.#waiting.delete(entry);
    this.#table.remove(entry);
  }
}

async function landing(flight: Flight, signal: AbortSignal | undefined): Promise<Answer> {
  const answer = await unless(flight.landed, signal);
  if (!answer) {
    throw closed();
  }
  return answer;
}

function opened(answer: Answer): Credential {
  if (!answer.credential) {
    throw answer.error ?? closed();
  }
  return answer.credential;
}

function typed(error: unknown): AuthpipeError {
  if (error instanceof AuthpipeError) {
    return error;
  }
  return new AuthpipeError({ op: 'reading a credential', code: 'unexpected', message: String(error), cause: error });
}
