// One request to the node: a simple one, so that no preflight is sent. Ends in time.

export interface Reply {
  status: number;
  field(name: string): string | null;
  body: unknown;
}

/** Seconds that a field asks for; 0 for none, or nonsense. */
export function secondsOf(reply: Reply, name: string): number {
  const seconds = Number(reply.field(name));
  return seconds > 0 && seconds < 1e9 ? seconds : 0;
}

/** Rejects where no whole answer comes in time, or one that is no JSON where it should be. */
export async function post(
  url: string,
  value: unknown,
  timeoutMs: number,
  keepalive: boolean,
): Promise<Reply> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutMs);
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: JSON.stringify(value),
      headers: { 'Content-Type': 'text/plain;charset=UTF-8' },
      credentials: 'omit',
      cache: 'no-store',
      keepalive,
      signal: abort.signal,
    });
    const { status } = response;
    const text = await response.text();
    const body = status < 300 && text ? JSON.parse(text) : undefined;
    return { status, field: (name) => response.headers.get(name), body };
  } finally {
    clearTimeout(timer);
  }
}
