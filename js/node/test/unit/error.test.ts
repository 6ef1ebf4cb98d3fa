import { expect, test } from 'vitest';

import { AuthpipeError, NeedsReauthError, NotConnectedError } from '../../src/index.js';
import { refusal } from '../../src/error.js';
import { clientOf, Double } from '../double.js';

test.each([
  ['the engine\'s code begins a line', 409, ['1 error occurred:\n\t* needs_reauth: it is dead; connect it again\n\n'], 'needs_reauth', 'it is dead; connect it again'],
  ['a code without Vault\'s prefix', 429, ['throttled: until noon'], 'throttled', 'until noon'],
  ['a code that Vault has put behind its own', 403, ['2 errors occurred:\n\t* permission denied\n\t* revoked: gone\n\n'], 'revoked', 'gone'],
  ['a code in the midst of a text is none', 400, ['field "x": not_found: maybe'], 'unexpected', 'field "x": not_found: maybe'],
  ['a word that is no code', 400, ['weird: thing'], 'unexpected', 'weird: thing'],
  ['Vault refuses', 403, ['1 error occurred:\n\t* permission denied\n\n'], 'permission_denied', '1 error occurred: * permission denied'],
  ['Vault\'s quota', 429, ['request path "x": rate limit quota exceeded'], 'unavailable', 'request path "x": rate limit quota exceeded'],
  ['a page of a proxy\'s', 502, [], 'unavailable', 'Vault answered 502'],
  ['a standby that is behind', 412, [], 'unavailable', 'Vault answered 412'],
  ['no such mount', 404, ['no handler for route "x". route entry not found.'], 'no_mount', 'no handler for route "x". route entry not found.'],
  ['a mount whose plugin did not start', 404, ['no handler for route "x". backend is nil.'], 'unavailable', 'no handler for route "x". backend is nil.'],
  ['a 404 of a proxy\'s', 404, ['the answer is not Vault\'s'], 'unexpected', 'the answer is not Vault\'s'],
])('a refusal has its code: %s', (_, status, texts, code, detail) => {
  const error = refusal('reading creds/x', status, texts);
  expect(error).toMatchObject({ code, status, detail, op: 'reading creds/x', message: `reading creds/x: ${code}: ${detail}` });
});

test('errors have names, and are errors', () => {
  const parts = { op: 'o', code: 'revoked', message: 'm', ref: 'r', connectPath: 'connect/r' } as const;
  expect(String(new NeedsReauthError(parts))).toBe('NeedsReauthError: o: revoked: m');
  expect(String(new NotConnectedError({ ...parts, code: 'not_found' }))).toBe('NotConnectedError: o: not_found: m');
  expect(new NeedsReauthError(parts)).toBeInstanceOf(AuthpipeError);
  expect(new AuthpipeError(parts)).toBeInstanceOf(Error);
});

test.each([
  [{}, 'auth'],
  [{ auth: { method: 'token', token: 't' } as const, vaultAddr: 'vault:8200' }, 'https'],
  [{ auth: { method: 'token', token: 't' } as const, vaultAddr: 'no url' }, 'not a URL'],
  [{ auth: { method: 'token', token: 't' } as const, vaultAddr: 'https://me:secret@vault' }, /^vaultAddr must have no user and no password in it$/],
])('the constructor refuses unusable options: %o', (options, why) => {
  expect(() => clientOf(new Double(), { auth: undefined, ...options })).toThrow(why);
});
