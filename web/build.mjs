// Makes the page out of src/: `node build.mjs --out FOLDER` writes its files there, ready to be served;
// with `--source FILE` also a C++ source with all of them, packed, for the program.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

const { values } = parseArgs({
  options: { out: { type: 'string', default: 'dist' }, source: { type: 'string' } },
});
const here = dirname(fileURLToPath(import.meta.url));

const types = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

async function bundle() {
  const made = await build({
    entryPoints: { page: join(here, 'src/main.tsx') },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'inline',
    outdir: '/',
    write: false,
    logLevel: 'warning',
  });
  return made.outputFiles.map((file) => ({ name: file.path.split('/').pop(), content: Buffer.from(file.contents) }));
}

async function copied(name) {
  return { name, content: await readFile(join(here, 'src', name)) };
}

const path = (name) => (name === 'index.html' ? '/' : `/${name}`);
const type = (name) => types[name.split('.').pop()];
const tag = (content) => createHash('sha256').update(content).digest('hex').slice(0, 16);

// Octal, of three digits always: no digit behind it can be taken for a part.
function literal(bytes) {
  const lines = [];
  for (let i = 0; i < bytes.length; i += 64) {
    const escaped = Array.from(bytes.subarray(i, i + 64), (b) => `\\${b.toString(8).padStart(3, '0')}`);
    lines.push(`    "${escaped.join('')}"`);
  }
  return lines.join('\n');
}

function source(files) {
  const entries = files.map(({ name, content }) => {
    const packed = gzipSync(content, { level: 9 });
    return `    {"${path(name)}", "${type(name)}", "${tag(content)}", {\n${literal(packed)},\n     ${packed.length}}},`;
  });
  return `// Made by web/build.mjs.
#include "http/page.hpp"

namespace dtranspose {
namespace {

const page_file files[] = {
${entries.join('\n')}
};

} // namespace

std::span<const page_file> built_page_files() { return files; }

} // namespace dtranspose
`;
}

const files = [await copied('index.html'), await copied('icon.svg'), ...(await bundle())];
await mkdir(values.out, { recursive: true });
for (const { name, content } of files) await writeFile(join(values.out, name), content);
if (values.source) await writeFile(values.source, source(files));
