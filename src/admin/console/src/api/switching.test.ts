import { afterEach, expect, test, vi } from 'vitest';
import { Refusal } from './client';
import { type Progress, switchPopup } from './switching';

afterEach(() => vi.unstubAllGlobals());

/** A node that answers with these pieces. */
function answering(pieces: readonly string[], type = 'text/event-stream', status = 200): void {
  const bytes = pieces.map((piece) => new TextEncoder().encode(piece));
  const body = new ReadableStream({
    start(stream) {
      for (const piece of bytes) stream.enqueue(piece);
      stream.close();
    },
  });
  const headers = { 'Content-Type': type };
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(body, { status, headers })));
}

const DONE = 'event: done\ndata: {"id":"p","stored":"sql","nodes":[]}\n\n';

test('each step is told as it comes, wherever the pieces are cut', async () => {
  answering([
    'event: shard\ndata: {"shard":1,"af',
    'ter_ms":0.4}\n\nevent: stored\r\ndata: {"stored":"node"}\r\n\r\n',
    'event: node\ndata: {"node":"b","host":"web-2","seen":true}\n\n',
    DONE,
  ]);
  const steps: Progress[] = [];
  const last = await switchPopup('p', 'pause', (progress) => steps.push(progress));
  expect(steps.map(({ shards, stored }) => [shards.length, stored])).toEqual([
    [1, null],
    [1, 'node'],
    [1, 'node'],
    [1, 'sql'],
  ]);
  expect(last.done?.id).toBe('p');
});

test('an answer without steps is one step', async () => {
  answering(['{"id":"p","stored":"node"}'], 'application/json');
  const last = await switchPopup('p', 'resume', () => {});
  expect(last.stored).toBe('node');
});

test('what is refused is told, before the steps and among them', async () => {
  const refused = '{"error":{"code":"own_status"},"errors":["its own status is draft"]}';
  answering([refused], 'application/json', 409);
  await expect(switchPopup('p', 'resume', () => {})).rejects.toMatchObject({
    status: 409,
    message: 'its own status is draft',
  });
  answering([`event: error\ndata: {"status":503,${refused.slice(1)}\n\n`]);
  await expect(switchPopup('p', 'resume', () => {})).rejects.toMatchObject({ status: 503 });
});

test('a node that dies meanwhile has not said that it is done', async () => {
  answering(['event: shard\ndata: {"shard":0,"after_ms":1}\n\n']);
  await expect(switchPopup('p', 'pause', () => {})).rejects.toBeInstanceOf(Refusal);
});
