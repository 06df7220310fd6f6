// Pausing, resuming and archiving, told as it goes: each shard that decides by it, how far it is
// stored, each node that has seen it.
import { refusalOf, Refusal } from './client';
import { tellUnreachable } from './connection';
import type { Place, Popup } from './popups';

export type Switch = 'pause' | 'resume' | 'archive';

export interface ShardSeen {
  readonly shard: number;
  readonly after_ms: number;
}

export interface NodeSeen {
  readonly node: string;
  readonly host: string;
  readonly self?: boolean;
  readonly seen?: boolean;
  readonly after_ms?: number;
}

/** What has come until now. */
export interface Progress {
  readonly shards: readonly ShardSeen[];
  readonly nodes: readonly NodeSeen[];
  readonly stored: Place | null;
  readonly done: (Popup & { shards?: ShardSeen[]; nodes?: NodeSeen[] }) | null;
}

const NOTHING_YET: Progress = { shards: [], nodes: [], stored: null, done: null };

/** Nothing an acknowledgement says is longer. */
const EVENT_CHARACTERS_MAX = 4 * 1024 * 1024;

/** Does it, and tells each step; ends when it is known everywhere, or the node says how far. */
export async function switchPopup(
  id: string,
  what: Switch,
  tell: (progress: Progress) => void,
): Promise<Progress> {
  const response = await fetch(`/v1/popups/${encodeURIComponent(id)}/${what}`, {
    method: 'POST',
    headers: { Accept: 'text/event-stream, application/json;q=0.5' },
    credentials: 'same-origin',
  }).catch(() => {
    tellUnreachable();
    throw new Refusal(0, 'unreachable', null, []);
  });
  let progress = NOTHING_YET;
  const take = (name: string, data: unknown) => {
    progress = after(progress, name, data);
    tell(progress);
  };
  if (!response.ok) throw await refusalOf(response);
  if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
    take('done', await response.json());
    return progress;
  }
  await readEvents(response, take);
  if (!progress.done) throw new Refusal(0, 'cut', null, [CUT]);
  return progress;
}

const CUT =
  'The node stopped answering before it said how far this is. Look at the popup’s state ' +
  'before you do it again.';

/** Reads `event:` and `data:` lines until the stream ends. */
export async function readEvents(
  response: Response,
  take: (name: string, data: unknown) => void,
): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  while (reader) {
    const { done, value } = await reader.read().catch(() => ({ done: true, value: '' }));
    if (done) return;
    rest += value ?? '';
    if (rest.length > EVENT_CHARACTERS_MAX) throw new Refusal(0, 'cut', null, [CUT]);
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const lines = block.split(/\r?\n/);
      const of = (name: string) =>
        lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim();
      const data = of('data');
      if (data) take(of('event') ?? 'message', JSON.parse(data));
    }
  }
}

function after(before: Progress, name: string, data: unknown): Progress {
  switch (name) {
    case 'shard':
      return { ...before, shards: [...before.shards, data as ShardSeen] };
    case 'node': {
      const node = data as NodeSeen;
      const others = before.nodes.filter((other) => other.node !== node.node);
      return { ...before, nodes: [...others, { ...node, seen: node.seen ?? true }] };
    }
    case 'stored':
      return { ...before, stored: (data as { stored: Place }).stored };
    case 'done': {
      const done = data as NonNullable<Progress['done']>;
      return {
        shards: done.shards ?? before.shards,
        nodes: done.nodes ?? before.nodes,
        stored: done.stored,
        done,
      };
    }
    case 'error': {
      const told = data as {
        status: number;
        error?: { code?: string; field?: string };
        errors?: string[];
      };
      const { code = 'failed', field = null } = told.error ?? {};
      throw new Refusal(told.status, code, field, told.errors ?? [], told);
    }
    default:
      return before;
  }
}
