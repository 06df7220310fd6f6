import { expect, test } from 'vitest';
import document from '../../../openapi.json';
import { CHANGES } from './changes';

test('each change that the node can tell of has its words', () => {
  const { change } = document.components.schemas.AuditEntry.properties;
  expect(Object.keys(CHANGES).sort()).toEqual([...change.enum].sort());
});
