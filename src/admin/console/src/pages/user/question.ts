// What is asked of a user: where, when, and with what the page would send. It stands in the URL, so
// that it can be sent to somebody else; its names are those of `GET /v1/explain`.

export interface Question {
  readonly placement: string;
  /** RFC 3339; empty for now. */
  readonly at: string;
  readonly session: string;
  readonly locale: string;
  readonly tz: string;
  readonly attributes: readonly (readonly [name: string, value: string])[];
}

const NAMES = ['placement', 'at', 'session', 'locale', 'tz'] as const;
const ATTRIBUTE = 'attr.';

export function readQuestion(search: string): Question {
  const query = new URLSearchParams(search);
  const text = (name: string) => query.get(name) ?? '';
  const attributes = [...query]
    .filter(([name]) => name.startsWith(ATTRIBUTE))
    .map(([name, value]) => [name.slice(ATTRIBUTE.length), value] as const);
  return {
    placement: text('placement'),
    at: text('at'),
    session: text('session'),
    locale: text('locale'),
    tz: text('tz'),
    attributes,
  };
}

/** The question as a query; what is empty is left out. */
export function writeQuestion(question: Question): string {
  const query = new URLSearchParams();
  for (const name of NAMES) if (question[name]) query.set(name, question[name]);
  for (const [name, value] of question.attributes) {
    if (name.trim()) query.append(`${ATTRIBUTE}${name.trim()}`, value);
  }
  return query.toString();
}

/** Whether anything but the placement is other than what the user's next page would send. */
export function isPlain(question: Question): boolean {
  const { at, session, locale, tz, attributes } = question;
  return !at && !session && !locale && !tz && attributes.length === 0;
}

/** A moment as `<input type="datetime-local">` has it, in the browser's zone. */
export function toLocal(at: string): string {
  const ms = Date.parse(at);
  if (Number.isNaN(ms)) return '';
  const two = (value: number) => String(value).padStart(2, '0');
  const date = new Date(ms);
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

export function fromLocal(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString();
}

/** Which part of the form an error of the node is about. */
export function fieldOf(field: string | null): string {
  if (field === null) return 'all';
  return field.startsWith('attr') ? 'attributes' : field;
}
