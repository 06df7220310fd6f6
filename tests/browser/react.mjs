// The React application of docs/examples, built against this tree and a node of a test.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

export async function bundleReact(node, key) {
  const { build } = await import(path('../../src/snippet/node_modules/esbuild/lib/main.js'));
  const folder = path('../../docs/examples/react');
  const source = readFileSync(`${folder}/app.jsx`, 'utf8');
  const here = source
    .replace('http://127.0.0.1:8080', node)
    .replace('pk_kettle_and_leaf_shop', key);
  const built = await build({
    stdin: { contents: here, resolveDir: folder, loader: 'jsx' },
    bundle: true,
    write: false,
    format: 'esm',
    jsx: 'automatic',
    alias: { 'nudged-snippet': path('../../src/snippet/dist/index.js') },
    nodePaths: [path('node_modules')],
  });
  return built.outputFiles[0].text;
}
