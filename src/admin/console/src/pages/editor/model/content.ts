// Where content stands in a definition, and which of it a user gets.
import type { JsonPath } from './json';

export type Content = Record<string, unknown>;

/** The members that the snippet reads, as `docs/integrate.md` lists them. */
export const KNOWN = [
  'style',
  'title',
  'text',
  'body',
  'button',
  'url',
  'link',
  'new_tab',
  'dismiss',
  'image',
  'image_alt',
  'position',
  'close',
  'theme',
  'dir',
  'lang',
];

export interface Variant {
  readonly key: string;
  readonly weight: number;
  readonly content: Content;
  readonly locales: Record<string, Content>;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function contents(value: unknown): Record<string, Content> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).map(([locale, content]) => [locale, isObject(content) ? content : {}]),
  );
}

/** The variants; one with an empty key stands for a definition without. */
export function variantsOf(definition: Record<string, unknown>): Variant[] {
  const { variants, content, locales } = definition;
  if (!Array.isArray(variants)) {
    return [
      { key: '', weight: 1, content: isObject(content) ? content : {}, locales: contents(locales) },
    ];
  }
  return variants.map((item: unknown, index) => {
    const variant = isObject(item) ? item : {};
    const { key, weight } = variant;
    return {
      key: typeof key === 'string' ? key : `#${index + 1}`,
      weight: typeof weight === 'number' ? weight : 1,
      content: isObject(variant['content']) ? variant['content'] : {},
      locales: contents(variant['locales']),
    };
  });
}

export function hasVariants(definition: Record<string, unknown>): boolean {
  return Array.isArray(definition['variants']);
}

/** The path of a content: of a variant where there are some, of a locale or (null) of all others. */
export function contentPath(
  definition: Record<string, unknown>,
  variant: number,
  locale: string | null,
): JsonPath {
  const base: JsonPath = hasVariants(definition) ? ['variants', variant] : [];
  return locale === null ? [...base, 'content'] : [...base, 'locales', locale];
}

/** What a user of a locale gets: de-AT falls back to de, then to the content. */
export function contentFor(variant: Variant | undefined, locale: string): Content {
  if (!variant) return {};
  const plain = (text: string) => text.toLowerCase().replaceAll('_', '-');
  const byName = new Map(Object.entries(variant.locales).map(([name, it]) => [plain(name), it]));
  for (
    let asked = plain(locale);
    asked;
    asked = asked.slice(0, Math.max(0, asked.lastIndexOf('-')))
  ) {
    const found = byName.get(asked);
    if (found) return found;
  }
  return variant.content;
}

/** Shares of the variants in percent, with one decimal where they need it. */
export function shares(variants: readonly Variant[]): string[] {
  const sum = variants.reduce((sum, { weight }) => sum + weight, 0);
  return variants.map(({ weight }) =>
    sum > 0 ? `${Number(((100 * weight) / sum).toFixed(1))} %` : '0 %',
  );
}

/** A definition's members with its content as the first of two variants. */
export function splitIntoVariants(definition: Record<string, unknown>): unknown[] {
  const { content, locales } = definition;
  const first = { key: 'a', weight: 1, content: content ?? {}, ...(locales ? { locales } : {}) };
  return [first, { ...first, key: 'b' }];
}

/** A key that no variant has: a, b, c ... */
export function freeKey(variants: readonly Variant[]): string {
  const letters = [...'abcdefghijklmnopqrstuvwxyz'];
  const used = new Set(variants.map(({ key }) => key));
  return letters.find((letter) => !used.has(letter)) ?? `v${variants.length + 1}`;
}
