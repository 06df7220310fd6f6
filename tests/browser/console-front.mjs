// The console as `npm run build` left it, in front of a node that has an older one or none, with
// the policy that the node sends with it. For trying what has just been built.
import { existsSync, readFileSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const FILES = fileURLToPath(new URL('../../src/admin/console/dist/files/', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
  "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'";
const POLICY_OF_PREVIEW =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src * data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/** Serves on a free port of loopback; `admin` gives the node's base URL. */
export async function serveBuilt(admin) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    if (pathname === '/' || pathname === '/console')
      return response.writeHead(302, { Location: '/console/' }).end();
    if (pathname.startsWith('/console/')) return sendFile(pathname, response);
    pass(admin(), request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => server.closeAllConnections() || server.close(),
  };
}

function sendFile(pathname, response) {
  const name = normalize(pathname.slice('/console/'.length));
  const isUser = name.startsWith('users/');
  const path = join(FILES, !isUser && extname(name) ? name : 'index.html');
  if (!path.startsWith(FILES) || !existsSync(path)) return response.writeHead(404).end();
  const headers = {
    'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
    'Content-Security-Policy': path.endsWith('preview.html') ? POLICY_OF_PREVIEW : POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
  };
  response.writeHead(200, headers).end(readFileSync(path));
}

function pass(admin, request, response) {
  const target = new URL(admin);
  const headers = { ...request.headers, host: target.host };
  if (headers.origin) headers.origin = target.origin;
  const { method, url: path } = request;
  const sent = ask({ hostname: target.hostname, port: target.port, method, path, headers });
  sent.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  // As from a node that is not there.
  sent.on('error', () => response.socket?.destroy());
  response.on('close', () => sent.destroy());
  request.pipe(sent);
}
