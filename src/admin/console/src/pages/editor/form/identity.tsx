// What the popup is called, where it may appear, and which wins.
import { useLoad } from '../../../api/load';
import { Section } from '../../../ui/page';
import { useDocument } from '../document';
import { knownPlacements } from '../requests';
import { Count, Pick, Text, Values } from './parts';

const STATUSES = [
  { value: 'live', label: 'Live: it is shown' },
  { value: 'draft', label: 'Draft: nobody sees it' },
  { value: 'paused', label: 'Paused' },
  { value: 'archived', label: 'Archived' },
];

export function Identity({ isNew }: { isNew: boolean }) {
  const doc = useDocument();
  const known = useLoad('placements', knownPlacements);
  const { placement } = doc.definition.value;
  const values = Array.isArray(placement) ? (placement as unknown[]) : [];
  return (
    <Section title="Name and place" card>
      <div class="editor-grid">
        <Text
          path={['id']}
          label="Id"
          disabled={!isNew}
          hint={
            isNew
              ? "a to z, 0 to 9, - and _. It can't be renamed later."
              : "It can't be renamed: make a copy under another id."
          }
        />
        <Pick
          path={['status']}
          label="Once published"
          choices={STATUSES}
          fallback="live"
          hint="To stop a running popup at once, pause it on its page."
        />
        <Values
          path={['placement']}
          label="Placements"
          values={values}
          placeholder="home"
          list="editor-placements"
          hint="Where on the site it may appear. Enter adds one."
          onValues={(next) => doc.set(['placement'], next.length > 0 ? next : undefined)}
        />
        <Count
          path={['priority']}
          label="Priority"
          fallback="0"
          hint="If several could be shown, the highest wins."
        />
      </div>
      <datalist id="editor-placements">
        {(known.value ?? []).map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </Section>
  );
}
