// Makes what is in `dist`: the two files that nodes serve, each named by its hash and compressed
// beside, and the package. `--check` says whether what is there is of this source.
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import * as esbuild from 'esbuild';

const folder = fileURLToPath(new URL('.', import.meta.url));
const dist = join(folder, 'dist');
const common = { bundle: true, minify: true, target: 'es2021', charset: 'utf8', write: false };

/** The text of a served file. */
function bundle(entry, define) {
  const built = esbuild.buildSync({
    ...common,
    define,
    format: 'iife',
    entryPoints: [join(folder, 'src', entry)],
  });
  return built.outputFiles[0].text;
}

/** A served file's parts, by their names. */
function served(name, text) {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const file = `${name}-${hash}.js`;
  const parts = {
    [`${name}.js`]: Buffer.from(text),
    [`${name}.js.gz`]: gzipSync(text, { level: 9 }),
    [`${name}.path`]: Buffer.from(`/${file}`),
  };
  return { file, parts };
}

/** The package: modules that an application's own build takes, and their types. */
function packaged() {
  const built = esbuild.buildSync({
    ...common,
    format: 'esm',
    outdir: dist,
    external: ['./popup.js'],
    entryPoints: ['index', 'popup'].map((name) => join(folder, 'src', `${name}.ts`)),
  });
  const parts = {};
  for (const { path, text } of built.outputFiles)
    parts[path.slice(dist.length + 1)] = Buffer.from(text);
  const types = mkdtempSync(join(tmpdir(), 'nudge-types-'));
  try {
    const compiler = join(folder, 'node_modules', 'typescript', 'bin', 'tsc');
    execFileSync(process.execPath, [compiler, '-p', folder, '--outDir', types], {
      stdio: 'inherit',
    });
    for (const name of ['index.d.ts', 'types.d.ts']) parts[name] = readFileSync(join(types, name));
  } finally {
    rmSync(types, { recursive: true });
  }
  return parts;
}

const popup = served('nudge-popup', bundle('popup-tag.ts', {}));
const core = served('nudge', bundle('tag.ts', { POPUP_FILE: JSON.stringify(popup.file) }));
const parts = { ...core.parts, ...popup.parts, ...packaged() };

if (process.argv.includes('--check')) {
  const names = readdirSync(dist).sort();
  const other = names.filter((name) => !(name in parts));
  for (const [name, made] of Object.entries(parts)) {
    // Other versions of zlib compress otherwise.
    const plain = name.endsWith('.gz') ? gunzipSync : (bytes) => bytes;
    if (!names.includes(name) || !plain(readFileSync(join(dist, name))).equals(plain(made)))
      other.push(name);
  }
  if (other.length) {
    console.error(
      `src/snippet/dist is not of its source: ${other.join(', ')}; run: npm run build --prefix src/snippet`,
    );
    process.exit(1);
  }
} else {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist);
  for (const [name, bytes] of Object.entries(parts)) writeFileSync(join(dist, name), bytes);
}
for (const { file, parts } of [core, popup]) {
  const sizes = Object.values(parts).map((bytes) => bytes.length);
  console.log(`${file}: ${sizes[0]} bytes, ${sizes[1]} compressed`);
}
