// Nodes for the tests of the console: real processes, each in a folder of its own, that can die and
// come back at the same addresses, with users who saw something. None outlives its test.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { serveBuilt } from './console-front.mjs';

const POPUPS = readFileSync(new URL('console-popups.toml', import.meta.url), 'utf8');
/** A node is ready, or has failed, within this. */
const START_TIMEOUT_MS = 60_000;
/** Where it is, a node ends with who started it, whatever ends that one. */
const SETPRIV = '/usr/bin/setpriv';

/** Those that are there; a script that fails or is ended leaves none behind. */
const folders = new Set();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/**
 * A node that was started here. `program` is nudged; `built` has the console's files come from
 * `src/admin/console/dist` instead of from the program. `config` is TOML behind the usual keys.
 * With `token`, others than this host could come, and nobody is let in without a token.
 */
export async function startNode({
  program,
  built,
  popups = POPUPS,
  config = '',
  flags = [],
  token,
}) {
  const folder = mkdtempSync(join(tmpdir(), 'nudged-console-'));
  folders.add(folder);
  writeFileSync(join(folder, 'popups.toml'), popups);
  // A browser that starts takes the processors; a user's state may take long to be read then.
  const owner = token ? 'admin_token_file = "token"\n' : '';
  const usual = `lame_duck = "0s"\n${owner}`;
  const deadline = config.includes('[limits]') ? '' : '[limits]\nread_deadline = "30s"\n';
  writeFileSync(join(folder, 'nudged.toml'), `${usual}${config}\n${deadline}`);
  const node = new Node(program, folder, ['--shards', '2', '--no-pin', ...flags]);
  if (token) node.ownedBy(token);
  await node.start();
  if (built) await node.serveFrom();
  return node;
}

/** A node that somebody else runs. */
export async function foundNode(admin, data, built) {
  const node = new Node(null, null, []);
  Object.assign(node, { admin, data, console: admin });
  if (built) await node.serveFrom();
  return node;
}

class Node {
  /** Base URLs: of the admin API, of the data API, and of what serves the console. */
  admin = '';
  data = '';
  console = '';
  /** Codes of errors that the log may have. */
  allowed = [];
  #program;
  #folder;
  #flags;
  #host = '127.0.0.1';
  #fields = {};
  #child = null;
  #front = null;
  #log = '';

  constructor(program, folder, flags) {
    this.#program = program;
    this.#folder = folder;
    this.#flags = flags;
  }

  /** Has it listen to others, too, whom the token of a file lets in. */
  ownedBy(token) {
    writeFileSync(this.file('token'), token, { mode: 0o600 });
    this.#fields = { Authorization: `Bearer ${token}` };
    this.#host = '0.0.0.0';
  }

  /** Starts it; where it ran before, at the same addresses, so that pages find it again. */
  async start() {
    const [listen, admin] = [this.data, this.admin].map((url) => (url ? new URL(url).port : 0));
    const flags = ['--config', 'nudged.toml', '--popups', 'popups.toml', '--data', 'data'];
    flags.push('--listen', `127.0.0.1:${listen}`, '--admin', `${this.#host}:${admin}`);
    const command = [this.#program, ...flags, ...this.#flags];
    if (existsSync(SETPRIV)) command.unshift(SETPRIV, '--pdeathsig', 'KILL', '--');
    const child = spawn(command[0], command.slice(1), {
      cwd: this.#folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    child.ended = new Promise((resolve) => child.on('close', resolve));
    child.stderr.on('data', (bytes) => (this.#log += bytes));
    const ready = new Promise((resolve, reject) => {
      createInterface(child.stdout).on('line', (line) => {
        const [, name, address] = /^listening (data|admin) (\S+)/.exec(line) ?? [];
        if (name) this[name] = `http://${address.replace('0.0.0.0', '127.0.0.1')}`;
        if (line !== 'ready') return;
        clearTimeout(timer);
        resolve();
      });
      child.on('error', reject);
      child.on('close', (code) => reject(new Error(`nudged ended (${code}): ${this.#log}`)));
      const late = () => {
        // What has not started would outlive its test.
        child.kill('SIGKILL');
        reject(new Error(`nudged is not ready: ${this.#log}`));
      };
      const timer = setTimeout(late, START_TIMEOUT_MS).unref();
    });
    await ready;
    if (!this.#front) this.console = this.admin;
  }

  async serveFrom() {
    this.#front = await serveBuilt(() => this.admin);
    this.console = this.#front.url;
  }

  /** Ends it as a power switch would; `start` has it back. */
  async kill() {
    this.#child.kill('SIGKILL');
    await this.#child.ended;
    this.#child = null;
  }

  /** Ends it, and its folder; throws where it has logged an error that is not allowed. */
  async stop() {
    this.#front?.close();
    if (!this.#program) return;
    if (this.#child) {
      this.#child.kill('SIGTERM');
      await this.#child.ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
    folders.delete(this.#folder);
    const isError = (line) => line.includes('"level":"error"');
    const isAllowed = (line) => this.allowed.some((code) => line.includes(code));
    const bad = this.#log.split('\n').filter((line) => isError(line) && !isAllowed(line));
    if (bad.length) throw new Error(`the node logged:\n${bad.join('\n')}`);
  }

  /** A file of its folder, such as `data/nudged.db`. */
  file(name) {
    return join(this.#folder, name);
  }

  /** Asks the admin API as its owner; throws what it refuses. */
  async ask(method, path, body) {
    const response = await fetch(this.admin + path, {
      method,
      headers: this.#fields,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** What a user is shown; null for nothing. `more` has placement, attrs, session and the like. */
  async decide(user, more = {}) {
    const body = JSON.stringify({ user, placement: 'home', ...more });
    const response = await this.#send('/v1/decide', body);
    return response.status === 200 ? response.json() : null;
  }

  /** As a visitor; a node on a busy machine may be overloaded, and says so. */
  async #send(path, body) {
    for (;;) {
      const response = await fetch(this.data + path, { method: 'POST', body });
      if (response.status !== 503) return response;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Shows a user what there is, and says what they did with it. */
  async visit(user, actions = [], more = {}) {
    const shown = await this.decide(user, more);
    if (!shown) return null;
    const events = actions.map((action) => ({ decision: shown.decision, action }));
    const body = JSON.stringify(events);
    if (events.length) await this.#send('/v1/events', body);
    return shown.popup.id;
  }

  /** A popup of the API's; those of the popups file can be paused and looked at, but not edited. */
  popup(id, definition = {}) {
    return this.ask('PUT', `/v1/popups/${id}`, { id, content: { title: id }, ...definition });
  }

  /** A token of a role, for some time where one is said; its text. */
  async token(name, role, lasts) {
    const body = { name, role, ...(lasts && { expires_in: lasts }) };
    return (await this.ask('POST', '/v1/tokens', body)).token;
  }
}

/** Users with a past: `ann` dismissed, `ben` clicked, `eve` has a name that is none. */
export async function seedUsers(node) {
  await Promise.all([
    node.visit('ann', ['shown', 'dismissed']),
    node.visit('ben', ['shown', 'clicked', 'converted']),
    node.visit(HOSTILE_USER, ['shown']),
    node.visit('cat', ['shown'], { placement: 'cart', attrs: { plan: 'free' } }),
  ]);
  await Promise.all(Array.from({ length: 20 }, (_, at) => node.visit(`user-${at}`, ['shown'])));
}

/** What stands in every text field once: it must stay text. */
export const HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
export const HOSTILE_USER = `eve/${HOSTILE}`;
