import { defineConfig } from 'vite';

/** Where `npm run dev` finds a node's admin listener. */
const node = 'http://127.0.0.1:8081';

export default defineConfig({
  base: '/console/',
  // What draws a popup on a page draws it in the editor's preview, too.
  resolve: {
    alias: {
      'nudged-snippet/popup': new URL('../../snippet/src/popup.ts', import.meta.url).pathname,
    },
  },
  build: {
    outDir: 'dist/files',
    assetsDir: 'assets',
    target: 'es2022',
    // The content security policy has no room for what is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: { input: ['index.html', 'preview.html'] },
  },
  server: { proxy: { '/v1': node, '/openapi.json': node, '/metrics': node } },
});
