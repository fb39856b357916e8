// Runs the tests of the logic with node's own test runner: `npm test`.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const tests = readdirSync(here).filter((name) => name.endsWith('.test.ts'));
const folder = mkdtempSync(join(tmpdir(), 'page-tests-'));
try {
  await build({
    entryPoints: tests.map((name) => join(here, name)), outdir: folder, outExtension: { '.js': '.mjs' },
    bundle: true, platform: 'node', format: 'esm', jsx: 'automatic', jsxImportSource: 'preact', logLevel: 'warning',
    // What the modules touch when they are loaded.
    banner: { js: 'globalThis.sessionStorage ??= { getItem: () => null, setItem() {} };' },
  });
  const run = spawnSync(process.execPath, ['--test', ...tests.map((name) => join(folder, name.replace(/ts$/, 'mjs')))], { stdio: 'inherit' });
  process.exitCode = run.status ?? 1;
} finally {
  rmSync(folder, { recursive: true });
}
