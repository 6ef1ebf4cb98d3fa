// @vitest-environment node
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The largest compressed size of the package's code, as packed: with comments, not minified. */
const budget = 12 * 1024;

interface Packed {
  files: { path: string; size: number }[];
}

const npm = (...args: string[]) => execFileSync('npm', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
const packed = JSON.parse(npm('pack', '--dry-run', '--json').replace(/^[^[{]*(?=[[{])/, '')) as Packed[] | Record<string, Packed>;
const { files } = Object.values(packed)[0] as Packed;
const paths = files.map((file) => file.path);

it('packs the needed files, with types, and nothing else', () => {
  const strangers = paths.filter((path) => !/^dist\/[a-z-]+\.(js|d\.ts)$/.test(path));
  expect(strangers.sort()).toEqual(['LICENSE', 'README.md', 'package.json', 'styles.css']);
  expect(paths).toContain('dist/index.js');
  for (const code of paths.filter((path) => path.endsWith('.js'))) expect(paths).toContain(code.replace(/\.js$/, '.d.ts'));
});

it('stays within its size limit', () => {
  const code = paths.filter((path) => path.endsWith('.js')).map((path) => readFileSync(`${root}/${path}`));
  expect(gzipSync(Buffer.concat(code)).length).toBeLessThan(budget);
});

it('imports nothing but react', () => {
  const imported = paths
    .filter((path) => path.endsWith('.js'))
    .flatMap((path) => [...readFileSync(`${root}/${path}`, 'utf8').matchAll(/from ['"]([^.'"][^'"]*)['"]/g)].map(([, name]) => name));
  expect([...new Set(imported)].sort()).toEqual(['react', 'react/jsx-runtime']);
});

it('is marked as a client component', () => {
  expect(readFileSync(`${root}/dist/index.js`, 'utf8')).toMatch(/^'use client';/);
});

it('is imported and rendered by Node as packed', () => {
  const script = `
    import { createElement } from 'react';
    import { renderToString } from 'react-dom/server';
    import { InstallButton } from '@authpipe/react';
    process.stdout.write(renderToString(createElement(InstallButton, { provider: 'facebook' })));`;
  expect(execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, encoding: 'utf8' })).toContain('Install with Facebook');
});
