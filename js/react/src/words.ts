import type { AuthpipeError } from './failure.js';
import type { Level } from './connection.js';
import type { Snapshot } from './state.js';

/** The components' texts. `{provider}` and `{scopes}` are placeholders. */
export interface Words {
  connect: string;
  waiting: string;
  connected: string;
  reconnect: string;
  grant: string;
  retry: string;
  cancel: string;
  noteWaiting: string;
  noteConnected: string;
  noteMissing: string;
  noteReauth: string;
  noteRevoked: string;
  noteCancelled: string;
  noteFailed: string;
  /** By the error's code. Other codes have noteFailed. */
  errors: Record<string, string>;
}

const both: Words = {
  connect: 'Connect {provider}',
  waiting: 'Continue at {provider}',
  connected: 'Connected',
  reconnect: 'Reconnect {provider}',
  grant: 'Grant the rest',
  retry: 'Try again',
  cancel: 'Cancel',
  noteWaiting: 'Waiting for you to finish in the {provider} window.',
  noteConnected: '{provider} is connected.',
  noteMissing: '{provider} is connected, but you did not grant {scopes}.',
  noteReauth: '{provider} wants you to sign in again.',
  noteRevoked: 'Access was taken away at {provider}.',
  noteCancelled: 'Cancelled. Nothing was changed.',
  noteFailed: 'That did not work, and nothing was changed. Try again.',
  errors: {
    unauthenticated: 'Sign in first, then try again.',
    forbidden: 'You may not do this. Ask an administrator.',
    actor_mismatch: 'Somebody else finished this connection, so it was refused.',
    account_mismatch: 'That is another {provider} account than before. Use the same one, or disconnect first.',
    installation_required: 'An administrator has to install {provider} first.',
    session_expired: 'That took too long. Try again.',
    pending: 'Something before it is not finished yet. Try again in a minute.',
    suspended: 'Connections are suspended at the moment.',
    misconfigured: '{provider} does not accept this application at the moment.',
    throttled: '{provider} has had too many requests. Try again in a few minutes.',
    unavailable: 'The server cannot be reached. Try again.',
  },
};

const forInstallation: Words = {
  ...both,
  connect: 'Install with {provider}',
  connected: 'Installed',
  noteConnected: 'Installed with {provider}.',
  noteMissing: 'Installed with {provider}, but without {scopes}.',
};

/** The texts of one component in one state. */
export interface Said {
  label: string;
  note: string;
}

export type WordChanges = Partial<Omit<Words, 'errors'>> & { errors?: Record<string, string> | undefined };

/** Returns the texts for a state. */
export function say(snapshot: Snapshot, provider: string, level: Level, changes: WordChanges = {}): Said & { cancel: string } {
  const own = level === 'installation' ? forInstallation : both;
  const given = Object.fromEntries(Object.entries(changes).filter(([, text]) => text !== undefined));
  const words: Words = { ...own, ...given, errors: { ...own.errors, ...changes.errors } };
  const scopes = snapshot.connection?.missingScopes.join(', ') ?? '';
  const fill = (text: string) => text.replaceAll('{provider}', () => nameOf(provider)).replaceAll('{scopes}', () => scopes);
  const said = choose(snapshot, words);
  return { label: fill(said.label), note: fill(said.note), cancel: fill(words.cancel) };
}

function choose({ state, connection, last, error }: Snapshot, words: Words): Said {
  const ended = endNote(last, error, words);
  switch (state) {
    case 'loading':
    case 'idle':
      return { label: words.connect, note: '' };
    case 'waiting':
      return { label: words.waiting, note: words.noteWaiting };
    case 'connected':
      if (connection?.missingScopes.length) return { label: words.grant, note: last === 'failed' ? ended : words.noteMissing };
      return { label: words.connected, note: ended || words.noteConnected };
    case 'needs_reauth':
      return { label: words.reconnect, note: connection?.status === 'revoked' ? words.noteRevoked : words.noteReauth };
    case 'cancelled':
      return { label: connection ? words.reconnect : words.connect, note: ended };
    case 'failed':
      return { label: connection ? words.reconnect : words.retry, note: errorNote(error, words) };
  }
}

function endNote(last: Snapshot['last'], error: AuthpipeError | null, words: Words): string {
  if (last === 'cancelled') return words.noteCancelled;
  return last === 'failed' ? errorNote(error, words) : '';
}

function errorNote(error: AuthpipeError | null, words: Words): string {
  const code = error?.code ?? '';
  return (Object.hasOwn(words.errors, code) ? words.errors[code] : undefined) ?? words.noteFailed;
}

/** The provider's name as people write it, from its short name: Facebook for facebook. */
const nameOf = (provider: string): string => provider.charAt(0).toUpperCase() + provider.slice(1);
