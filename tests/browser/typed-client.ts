// What whoever makes a client of /openapi.json writes: checked by tests/e2e/typed_client.rs, and the
// lines that have to be refused are.
import type { components, paths } from './api';

type Answer<Path extends keyof paths> = paths[Path] extends {
  get: { responses: { 200: { content: { 'application/json': infer Body } } } };
}
  ? Body
  : never;

async function get<Path extends keyof paths>(path: Path): Promise<Answer<Path>> {
  return (await fetch(path)).json() as Promise<Answer<Path>>;
}

const stats = await get('/v1/stats');
export const uniques: number | null | undefined = stats.totals?.uniques;
// @ts-expect-error a number is no text
export const wrong: string | undefined = stats.totals?.decided;
// @ts-expect-error there is no such member
export const missing = stats.unknown;

export const popup: components['schemas']['PopupDefinition'] = { id: 'sale', status: 'live' };
// @ts-expect-error there is no such status
export const refused: components['schemas']['PopupDefinition'] = { id: 'sale', status: 'alive' };
