import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { install, modules, root, type Installed } from './pack.js';

/** The largest size of the package, in bytes. A change that exceeds it raises it here. */
const budget = { packed: 72 << 10, unpacked: 232 << 10 };

let installed: Installed;
beforeAll(() => { installed = install(); }, 120_000);
afterAll(() => installed.remove());

test('it has the expected files only', () => {
  const own = modules().flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]);
  expect(installed.packed.files.map(({ path }) => path).sort()).toEqual(['LICENSE', 'README.md', 'package.json', ...own].sort());
});

test('it is within its size limit', () => {
  expect(installed.packed.size).toBeLessThan(budget.packed);
  expect(installed.packed.unpackedSize).toBeLessThan(budget.unpacked);
});

test('it has no dependencies', () => {
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>;
  expect(own).not.toHaveProperty('dependencies');
  expect(own).not.toHaveProperty('peerDependencies');
});

test('Node imports it', () => {
  const script = "import * as all from '@authpipe/node'; console.log(Object.keys(all).sort().join(' '))";
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: installed.folder, encoding: 'utf8' });
  expect(said.trim()).toBe('Authpipe AuthpipeError Credential NeedsReauthError NotConnectedError StartedDevice StartedSession sessionOf toNodeHandler');
});

test('it keeps no idle process running', () => {
  const script = `
    import { Authpipe } from '@authpipe/node';
    const data = { tenant_id: 't', provider: 'facebook', access_token: 'x', status: 'active', credential_type: 'oauth_token', ttl: 3600 };
    const auth = { client_token: 't', lease_duration: 3600, renewable: true };
    const fetch = async () => Response.json({ data, auth });
    const client = new Authpipe({ vaultAddr: 'http://vault.test', auth: { method: 'approle', roleId: 'r' }, fetch });
    await client.getCredential({ tenantId: 't', credentialFor: 'installation' });
    console.log('asked');`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: installed.folder, encoding: 'utf8', timeout: 120_000 });
  expect(said.trim()).toBe('asked');
});

/** The reader's own parts of the README's samples. */
const readers = `
import type { Authpipe as Client } from '@authpipe/node';
declare global {
  var authpipe: Client;
  var query: URLSearchParams;
  var lastSeen: number;
  function redirect(url: string): void;
  function mail(ref: string): Promise<void>;
  function queue(body: Uint8Array): Promise<void>;
  function sessionOfYourOwn(request: Request): Promise<{ organization: string; user: string; isAdmin: boolean } | undefined>;
  var window: { location: { origin: string }; addEventListener(type: 'message', listener: (event: { origin: string; data: any }) => void): void };
}
`;

/** Correct uses, and uses that the types must refuse. */
const typed = `
import { Authpipe, AuthpipeError, type ConnectRequest, type CredentialRequest, type StartedDevice, type StartedSession } from '@authpipe/node';
const client = new Authpipe({ vaultAddr: 'https://v', auth: { method: 'approle', roleId: 'r', secretId: async () => 's' } });
const got = await client.getCredential({ tenantId: 't', credentialFor: 'installation', pageId: '7' });
const text: string = got.credential;
const ends: Date | undefined = got.expiresAt;
const session: StartedSession = await client.connect({ tenantId: 't', credentialFor: 'user', userId: 'u' });
const device: StartedDevice = await client.connect({ tenantId: 't', credentialFor: 'user', userId: 'u', device: true });
if (got.source === 'connection') console.log(text, ends, session, device);
const handles: (request: Request) => Promise<Response> = client.handler({ authenticate: () => undefined });
declare const error: AuthpipeError;
if (error.code === 'actor_mismatch') console.log(handles);
// @ts-expect-error: a user's request needs userId
const noUser: CredentialRequest = { tenantId: 't', credentialFor: 'user' };
// @ts-expect-error: an installation needs an actor
const noActor: ConnectRequest = { tenantId: 't', credentialFor: 'installation' };
// @ts-expect-error: a static credential is not connected
const still: ConnectRequest = { tenantId: 't', credentialFor: 'static', provider: 'p', name: 'n' };
// @ts-expect-error: AppRole has no role
const auth: ConstructorParameters<typeof Authpipe>[0] = { auth: { method: 'approle', role: 'x' } };
// @ts-expect-error: there is no such code
const never = error.code === 'nope';
// @ts-expect-error: it is frozen
got.status = 'revoked';
// @ts-expect-error: a fetch for a static credential has no token
client.graph({ tenantId: 't', credentialFor: 'static', provider: 'p', name: 'n' });
console.log(noUser, noActor, still, auth, never);
`;

describe('the types that are packed', () => {
  const compile = (files: Record<string, string>): string[] => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(installed.folder, name), text);
    const program = ts.createProgram(Object.keys(files).map((name) => join(installed.folder, name)), {
      strict: true, noEmit: true, exactOptionalPropertyTypes: true, skipLibCheck: false, target: ts.ScriptTarget.ES2022, lib: ['lib.es2023.d.ts'],
      module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, moduleDetection: ts.ModuleDetectionKind.Force,
      types: ['node'], typeRoots: [join(installed.folder, 'node_modules/@types')],
    });
    const own = ts.getPreEmitDiagnostics(program).filter(({ file }) => !file?.fileName.includes('@types/node') && !file?.fileName.includes('typescript/lib'));
    return own.map(({ file, messageText, start }) => `${file?.fileName.split('/').at(-1)}:${file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : ''} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
  };

  test('accept correct uses and refuse wrong ones', () => {
    expect(compile({ 'typed.ts': typed })).toEqual([]);
  });

  test('agree with the samples of the README', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const samples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, sample = '']) => sample);
    expect(samples.length).toBeGreaterThan(7);
    const files = Object.fromEntries(samples.map((sample, i) => [`sample-${i + 1}.ts`, sample]));
    expect(compile({ 'readers.ts': readers, ...files })).toEqual([]);
  });

  test('are all documented, with their members', () => {
    const program = ts.createProgram([join(installed.folder, 'node_modules/@authpipe/node/dist/index.d.ts')], { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext });
    const checker = program.getTypeChecker();
    const entry = program.getSourceFiles().find(({ fileName }) => fileName.endsWith('/@authpipe/node/dist/index.d.ts'))!;
    const silent: string[] = [];
    for (const alias of checker.getExportsOfModule(checker.getSymbolAtLocation(entry)!)) {
      const symbol = alias.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(alias) : alias;
      if (symbol.getDocumentationComment(checker).length === 0) silent.push(symbol.name);
      for (const member of symbol.members?.values() ?? []) {
        const own = member.declarations?.every((declaration) => !ts.isPrivateIdentifier((declaration as ts.NamedDeclaration).name ?? entry) && declaration.kind !== ts.SyntaxKind.TypeParameter);
        if (own && member.name !== '#private' && !member.name.startsWith('__#') && member.getDocumentationComment(checker).length === 0) silent.push(`${symbol.name}.${member.name}`);
      }
    }
    expect(silent).toEqual([]);
  });
});
