import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..');

/** The output of npm pack. */
export interface Packed {
  filename: string;
  size: number;
  unpackedSize: number;
  files: { path: string; size: number }[];
}

/** An application that has installed only the packed package. */
export interface Installed {
  packed: Packed;
  folder: string;
  remove(): void;
}

export function install(): Installed {
  const folder = mkdtempSync(join(tmpdir(), 'authpipe-pack-'));
  const said = execFileSync('npm', ['pack', '--json', '--silent', '--pack-destination', folder], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  // A list; in npm 12 an object by the packages' names.
  const [packed] = Object.values(JSON.parse(said.slice(said.search(/[[{]/))) as Record<string, Packed>) as [Packed];
  const modules = join(folder, 'node_modules');
  const own = join(modules, '@authpipe/node');
  mkdirSync(own, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, packed.filename), '-C', own, '--strip-components=1']);
  // Node's types, which every TypeScript project for Node has.
  mkdirSync(join(modules, '@types'));
  symlinkSync(resolve(createRequire(import.meta.url).resolve('@types/node/package.json'), '..'), join(modules, '@types/node'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  return { packed, folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** modules returns the names of the package's own modules. */
export function modules(): string[] {
  return readdirSync(join(root, 'src')).map((file) => file.replace(/\.ts$/, ''));
}
