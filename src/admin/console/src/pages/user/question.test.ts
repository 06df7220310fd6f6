import { describe, expect, it } from 'vitest';
import { inOrder, known, nextToOpen } from './gates';
import { fieldOf, readQuestion, writeQuestion } from './question';
import type { Explanation } from './remembered';

describe('a question in the URL', () => {
  it('is the same after it was written and read', () => {
    const queries = [
      '',
      'placement=cart',
      'placement=a+%26+b&at=2026-11-30T17%3A00%3A00.000Z&session=s&locale=de-AT&tz=Europe%2FVienna',
      'attr.plan=pro&attr.plan=x&attr.a.b=%3Cimg%3E',
    ];
    for (const query of queries) expect(writeQuestion(readQuestion(query))).toBe(query);
  });

  it('leaves out what is empty, and what is none of its own', () => {
    const question = readQuestion('placement=&user=x&at=&attr.=v&attr.plan=');
    expect(writeQuestion(question)).toBe('attr.plan=');
  });

  it('knows which field a refusal is about', () => {
    const fields = [null, 'at', 'attrs', 'attr.plan', 'user'].map(fieldOf);
    expect(fields).toEqual(['all', 'at', 'attributes', 'attributes', 'user']);
  });
});

const told = {
  popup: 'first',
  candidates: [
    { id: 'paused', gate: 'status', facts: { status: 'paused' } },
    { id: 'later', gate: 'gap', opens_at: '2026-12-07T00:00:00+00:00' },
    { id: 'second', gate: null },
    { id: 'other', gate: 'placement', facts: { placement: ['cart'], asked: 'home' } },
    { id: 'pro', gate: 'target', facts: { rules: [{ attr: 'plan' }, {}] } },
    { id: 'sooner', gate: 'window', opens_at: '2026-12-01T00:00:00+00:00' },
    { id: 'first', gate: null },
  ],
} as unknown as Explanation;

describe('what is held back', () => {
  it('comes behind what would be shown, and before what is elsewhere', () => {
    const ids = inOrder(told).map(({ id }) => id);
    expect(ids).toEqual(['first', 'second', 'later', 'pro', 'sooner', 'paused', 'other']);
  });

  it('opens first where time opens it first', () => {
    expect(nextToOpen(told.candidates)?.id).toBe('sooner');
    expect(nextToOpen([])).toBeUndefined();
  });

  it('names placements and attributes to ask with', () => {
    expect(known(told.candidates)).toEqual({ placements: ['cart', 'home'], attributes: ['plan'] });
  });
});
