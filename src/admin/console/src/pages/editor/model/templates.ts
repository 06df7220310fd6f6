// What a new popup may begin with. Each works as it is: it can be published, and is seen.

export interface Template {
  readonly name: string;
  readonly words: string;
  readonly style: 'corner' | 'modal' | 'banner';
  readonly definition: Record<string, unknown>;
}

export const TEMPLATES: readonly Template[] = [
  {
    name: 'Corner',
    words: 'A card in the corner. The page stays usable beside it.',
    style: 'corner',
    definition: {
      id: 'welcome',
      content: {
        style: 'corner',
        title: 'Welcome',
        text: 'Orders placed before noon leave today.',
        button: 'See what is new',
        url: '/',
      },
    },
  },
  {
    name: 'Modal',
    words: 'Centred over the page until the user reacts.',
    style: 'modal',
    definition: {
      id: 'announcement',
      max_shows: 3,
      content: {
        style: 'modal',
        title: 'We have news',
        text: 'Say in two lines what has changed, and why it matters to who reads it.',
        button: 'Read more',
        url: '/',
        dismiss: 'Not now',
      },
    },
  },
  {
    name: 'Banner',
    words: 'A full-width bar, for what everyone should know.',
    style: 'banner',
    definition: {
      id: 'notice',
      content: {
        style: 'banner',
        title: 'Maintenance on Sunday',
        text: 'We are back at 08:00.',
        button: 'Details',
        url: '/',
      },
    },
  },
];

/** The id, or with -2, -3 ... behind it the first that is free. */
export async function freeId(
  id: string,
  isTaken: (id: string) => Promise<boolean>,
): Promise<string> {
  for (let number = 1; number < 100; number += 1) {
    const tried = number === 1 ? id : `${id.slice(0, 60)}-${number}`;
    if (!(await isTaken(tried))) return tried;
  }
  return `${id.slice(0, 48)}-${Date.now()}`;
}

/** A title as an id. */
export function idFrom(title: string): string {
  const plain = title
    .normalize('NFKD')
    .replaceAll(/[\u0300-\u036f]/g, '')
    .toLowerCase();
  return plain
    .replaceAll(/[^a-z0-9_]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 64);
}
