// Completes what Vite has built into `dist/files`: each file compressed beside itself, and the list
// of all of them that nodes are compiled with. `--check` builds anew elsewhere and says whether what
// is in `dist` is of this source; `--sizes` says how large it is.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';

const folder = fileURLToPath(new URL('.', import.meta.url));
const dist = join(folder, 'dist');
const COMPRESSED = '.gz';
const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/** Names of the files below a folder, in an order that is the same everywhere. */
function names(root) {
  const isFile = (name) => statSync(join(root, name)).isFile();
  const all = readdirSync(root, { recursive: true }).map(String).filter(isFile);
  return all.map((name) => name.replaceAll('\\', '/')).sort();
}

/** The files that Vite has made, by their names. */
function built(root) {
  const plain = names(root).filter((name) => !name.endsWith(COMPRESSED));
  return new Map(plain.map((name) => [name, readFileSync(join(root, name))]));
}

/** What else has to lie in `dist`: compressed files, and the list of all. */
function completed(files) {
  const parts = new Map();
  const rows = [...files].map(([name, bytes]) => {
    const type = TYPES[extname(name)];
    if (!type) throw new Error(`${name}: build.mjs knows no content type for it`);
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
    const gzip = gzipSync(bytes, { level: 9 });
    parts.set(`files/${name}`, bytes);
    const isShorter = gzip.length < bytes.length;
    if (isShorter) parts.set(`files/${name}${COMPRESSED}`, gzip);
    const included = `include_bytes!("files/${name}${COMPRESSED}")`;
    return [
      '    ConsoleFile {',
      `        name: ${JSON.stringify(name)},`,
      `        content_type: ${JSON.stringify(type)},`,
      `        hash: "${hash}",`,
      `        bytes: include_bytes!("files/${name}"),`,
      `        gzip: ${isShorter ? `Some(${included})` : 'None'},`,
      '    },',
    ].join('\n');
  });
  const list = `// The console's files. Made by build.mjs: not to be edited.\n&[\n${rows.join('\n')}\n]\n`;
  parts.set('assets.in', Buffer.from(list));
  return parts;
}

/** Says how large the files are, and those together that a browser loads at first. */
function tellSizes(files) {
  const page = files.get('index.html').toString();
  let first = 0;
  for (const [name, bytes] of files) {
    const compressed = gzipSync(bytes, { level: 9 }).length;
    if (name === 'index.html' || page.includes(`"/console/${name}"`)) first += compressed;
    console.log(`${name}: ${bytes.length} bytes, ${compressed} compressed`);
  }
  console.log(`first page: ${first} bytes, compressed`);
}

/** Names of what is in `dist` and not of this source. */
function differing(parts) {
  const there = names(dist);
  const other = there.filter((name) => !parts.has(name));
  for (const [name, made] of parts) {
    // Other versions of zlib compress otherwise.
    const plain = name.endsWith(COMPRESSED) ? gunzipSync : (bytes) => bytes;
    const isSame = () => plain(readFileSync(join(dist, name))).equals(plain(made));
    if (!there.includes(name) || !isSame()) other.push(name);
  }
  return other;
}

if (process.argv.includes('--sizes')) {
  tellSizes(built(join(dist, 'files')));
} else if (process.argv.includes('--check')) {
  const { build } = await import('vite');
  const elsewhere = mkdtempSync(join(tmpdir(), 'nudged-console-'));
  try {
    const outDir = join(elsewhere, 'files');
    await build({ root: folder, logLevel: 'warn', build: { outDir, emptyOutDir: true } });
    const other = differing(completed(built(outDir)));
    if (other.length) {
      console.error(
        `src/admin/console/dist is not of its source: ${other.join(', ')}; run: tools/console`,
      );
      process.exitCode = 1;
    }
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
} else {
  const files = built(join(dist, 'files'));
  for (const [name, bytes] of completed(files)) writeFileSync(join(dist, name), bytes);
  tellSizes(files);
}
