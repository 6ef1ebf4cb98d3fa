import { readdirSync, readFileSync } from 'node:fs';
import { join, normalize, resolve } from 'node:path';

import ts from 'typescript';
import { describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../src');

/** Each file's text by its path below src. */
type Files = Record<string, string>;

/** sources reads the files of the package. */
function sources(): Files {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

/** importsOf returns the files that a file imports, for values or for types alone, and those it exports from. */
function importsOf(path: string, text: string): string[] {
  return ts.preProcessFile(text).importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => normalize(join(path, '..', fileName)).replace(/\.js$/, '.ts'));
}

/** circleIn returns the files of one circle in the order of their imports, the first one again at the end; undefined if there is none. */
function circleIn(files: Files): string[] | undefined {
  const done = new Set<string>();
  const visit = (path: string, above: string[]): string[] | undefined => {
    if (above.includes(path)) {
      return [...above.slice(above.indexOf(path)), path];
    }
    const text = files[path];
    if (text === undefined) {
      throw new Error(`${above.at(-1)} imports ${path}, which is not in src`);
    }
    if (done.has(path)) {
      return undefined;
    }
    for (const next of importsOf(path, text)) {
      const circle = visit(next, [...above, path]);
      if (circle) {
        return circle;
      }
    }
    done.add(path);
    return undefined;
  };
  for (const path of Object.keys(files)) {
    const circle = visit(path, []);
    if (circle) {
      return circle;
    }
  }
  return undefined;
}

describe('imports of src', () => {
  test('form no circle', () => {
    const circle = circleIn(sources());
    expect(circle, circle?.join(' imports ')).toBeUndefined();
  });

  test('reach every file from index.ts', () => {
    const files = sources();
    const reached = new Set(['index.ts']);
    for (const path of reached) {
      importsOf(path, files[path] ?? '').forEach((next) => reached.add(next));
    }
    expect([...reached].sort()).toEqual(Object.keys(files).sort());
  });
});

/** What {@link Authpipe} is assembled of. Everything else names an interface with the methods that it calls. */
const parts = ['Authpipe', 'Cache', 'HttpTransport', 'Login', 'Vault'];

describe('the classes of the client', () => {
  test('are imported only where it is assembled', () => {
    const importers: string[] = [];
    for (const [path, text] of Object.entries(sources())) {
      for (const [, names = ''] of text.matchAll(/^(?:import|export) (?:type )?\{([^}]*)\} from/gm)) {
        if (names.split(',').some((name) => parts.includes(name.replace('type ', '').trim()))) {
          importers.push(path);
        }
      }
    }
    expect([...new Set(importers)].sort()).toEqual(['authpipe.ts', 'index.ts']);
  });
});

describe('the search for circles', () => {
  test.each([
    ['a value', "import { a } from './a.js';"],
    ['a type', "import type { A } from './a.js';"],
    ['a type among values', "import { b, type A } from './a.js';"],
    ['a namespace', "import * as a from './a.js';"],
    ['no name', "import './a.js';"],
    ['a name to export', "export { a } from './a.js';"],
    ['a type to export', "export type { A } from './a.js';"],
    ['all names to export', "export * from './a.js';"],
    ['a module at run time', "const a = await import('./a.js');"],
    ['a type in place', "let a: import('./a.js').A;"],
  ])('finds one that imports %s', (_, back) => {
    const files = { 'index.ts': "import './a.js';", 'a.ts': "import { B } from './deep/b.js';", 'deep/b.ts': back.replace('./a.js', '../a.js') };
    expect(circleIn(files)).toEqual(['a.ts', 'deep/b.ts', 'a.ts']);
  });

  test('finds a file that imports itself', () => {
    expect(circleIn({ 'a.ts': "import type { A } from './a.js';" })).toEqual(['a.ts', 'a.ts']);
  });

  test('ignores comments, texts, other packages, and a file that two others import', () => {
    const text = "// import './a.js';\nimport 'node:fs';\nconst text = \"import './a.js'\";";
    expect(circleIn({ 'a.ts': "import './b.js'; import './c.js';", 'b.ts': "import './c.js';", 'c.ts': text })).toBeUndefined();
  });
});
