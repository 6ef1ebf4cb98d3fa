import { checkedAs, deferred, fresh, refused, usable, type Ages, type Answer } from './answer.js';
import { Schedule } from './schedule.js';
import type { Credential } from './credential.js';
import { closed, definitive } from './error.js';
import { ask, join, type Engine, type Call, type Result } from './call.js';
import { isReachedThrough, type Ref } from './ref.js';
import { Table, type Entry } from './table.js';

/** Options of a cache. */
export interface CacheOptions extends Ages, Engine {
  size: number;
  parallel: number;
}

/** A cache serves credentials from memory, and renews in the background those that are in use. */
export class Cache {
  readonly #options: CacheOptions;
  readonly #table: Table;
  readonly #schedule: Schedule;
  readonly #calls = new Map<string, Call>();
  #closed = false;

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#table = new Table(options.size, (entry) => this.#schedule.drop(entry));
    this.#schedule = new Schedule({
      now: options.now,
      parallel: options.parallel,
      renew: ({ ref }) => {
        const begins = !this.#calls.has(ref.text);
        if (begins) {
          this.#start(ref, undefined, true);
        }
        return begins;
      },
    });
  }

  /** get returns a credential. signal ends the waiting, and not the call. */
  async get(ref: Ref, orInstallation: boolean, signal?: AbortSignal): Promise<Credential> {
    let answer = this.#known(ref) ?? (await this.#await(ref, signal));
    if (orInstallation && answer.error?.code === 'not_found') {
      answer = this.#known(ref.installation) ?? (await this.#await(ref.installation, signal));
    }
    return opened(answer);
  }

  /** reportDead drops a credential, has it checked, and returns the credential to go on with. */
  async reportDead(ref: Ref, dead: Credential, signal?: AbortSignal): Promise<Credential> {
    if (this.#closed) {
      throw closed();
    }
    signal?.throwIfAborted();
    const call = this.#suspect(ref, dead);
    if (!call) {
      return this.get(ref, false, signal);
    }
    const answer = await join(call, signal);
    if (!answer.error && this.#options.now() >= answer.ends) { // this caller was scheduled late
      return this.get(ref, false, signal);
    }
    return opened(answer);
  }

  /**
   * forget drops a ref and the pages that are reached through it, or the refs that a function selects. A call that is under way for
   * one of them runs once more, because its result may be outdated.
   */
  forget(meant: Ref | ((ref: Ref) => boolean)): void {
    const those = typeof meant === 'function' ? meant : (ref: Ref) => isReachedThrough(ref, meant);
    for (const entry of this.#table.entries()) {
      if (those(entry.ref)) {
        this.#table.remove(entry);
      }
    }
    for (const call of this.#calls.values()) {
      call.again ||= those(call.ref);
    }
  }

  /** close drops everything and ends the renewals. */
  close(): void {
    this.#closed = true;
    this.#table.clear();
  }

  /** known returns the answer in memory about ref; undefined if there is none, or not any more. */
  #known(ref: Ref): Answer | undefined {
    const entry = this.#table.get(ref);
    const now = this.#options.now();
    if (!entry || now >= entry.answer.until || this.#outdated(entry, now)) {
      return undefined;
    }
    entry.recent = entry.used = true;
    entry.idle = false;
    if (now >= entry.answer.due && !entry.answer.wanted) {
      // It was not in use when its renewal was due.
      entry.answer.wanted = true;
      this.#schedule.plan(entry);
    }
    return entry.answer;
  }

  /** outdated reports whether an entry was idle for so long that it must be read anew. */
  #outdated(entry: Entry, now: number): boolean {
    return entry.idle && now - entry.answer.due >= this.#options.maxAge;
  }

  /** await joins the call for ref, or starts it, and returns its result. */
  async #await(ref: Ref, signal: AbortSignal | undefined): Promise<Answer> {
    for (;;) {
      if (this.#closed) {
        throw closed();
      }
      signal?.throwIfAborted();
      const call = this.#calls.get(ref.text) ?? this.#start(ref, undefined, false);
      const answer = await join(call, signal);
      // A caller that was scheduled late may get a token that has ended meanwhile, and asks again. A refusal is good for all that
      // waited for it.
      if (answer.error || this.#options.now() < answer.ends) {
        return answer;
      }
    }
  }

  /** start starts a call for a ref that has none. */
  #start(ref: Ref, dead: Credential | undefined, background: boolean): Call {
    const suspect = dead ?? this.#table.get(ref)?.unchecked;
    const call: Call = { ref, background, again: false, suspect, result: Promise.resolve(undefined) };
    this.#calls.set(ref.text, call);
    call.result = this.#run(call, suspect);
    return call;
  }

  /** run repeats a call until its result is not outdated. */
  async #run(call: Call, suspect: Credential | undefined): Promise<Answer | undefined> {
    for (;;) {
      const result = await ask(this.#options, call, suspect);
      if (!call.again || this.#closed) {
        return this.#finish(call, result);
      }
      call.again = false;
      suspect = call.suspect;
      if (suspect && result.reply && result.reply.data.access_token !== suspect.credential) {
        suspect = undefined; // it has been replaced already
      }
    }
  }

  /** finish ends a call. */
  #finish(call: Call, result: Result): Answer | undefined {
    this.#calls.delete(call.ref.text);
    const answer = this.#closed ? undefined : this.#store(call, result);
    if (call.background) {
      this.#schedule.finished();
    }
    return answer;
  }

  /** store stores the result of a call in the table. */
  #store({ ref, suspect }: Call, result: Result): Answer {
    const entry = this.#table.get(ref);
    const failures = result.error ? (entry?.failures ?? 0) + 1 : 0;
    const answer = this.#answerOf(ref, result, entry, failures, suspect);
    if (!entry && answer.error && !definitive(answer.error) && this.#table.full) {
      // An outage evicts no entry, which could not be read again either.
      return answer;
    }
    const place = entry ?? this.#table.put(ref, answer);
    Object.assign(place, { answer, failures, used: false, idle: false, unchecked: result.unchecked });
    this.#schedule.plan(place);
    return answer;
  }

  #answerOf(ref: Ref, { reply, sent, uncheckedFor, error }: Result, entry: Entry | undefined, failures: number, suspect: Credential | undefined): Answer {
    const now = this.#options.now();
    if (reply) {
      const answer = fresh(this.#options, ref, reply, sent, entry?.answer.credential ?? suspect);
      answer.checked = uncheckedFor > 0 ? now + uncheckedFor : checkedAs(entry?.answer, answer);
      return answer;
    }
    if (entry && error && !definitive(error) && usable(entry.answer, now)) {
      this.#options.trouble(error, ref);
      return deferred(this.#options, entry.answer, failures);
    }
    return refused(this.#options, error ?? closed(), failures);
  }

  /** suspect drops a credential that was reported dead, and returns the call that checks it; undefined if no check is needed. */
  #suspect(ref: Ref, dead: Credential): Call | undefined {
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
    const call = this.#calls.get(ref.text);
    if (!call) {
      return this.#start(ref, dead, false);
    }
    if (!call.suspect?.equals(dead)) {
      // The call may return the same token, so it runs once more, and checks first.
      call.suspect = dead;
      call.again = true;
    }
    return call;
  }
}

function opened(answer: Answer): Credential {
  if (!answer.credential) {
    throw answer.error ?? closed();
  }
  return answer.credential;
}
