// What the popup is called, where it may appear, and which wins.
import { useLoad } from '../../../api/load';
import { Section } from '../../../ui/page';
import { useDocument } from '../document';
import { knownPlacements } from '../requests';
import { Count, Pick, Text, Values } from './parts';

const STATUSES = [
  { value: 'live', label: 'Live: it is shown' },
  { value: 'draft', label: 'Draft: nobody is shown it' },
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
              ? 'a to z, 0 to 9, - and _. It is one popup for ever: it can not be renamed.'
              : 'One popup for ever. To rename it, make a copy.'
          }
        />
        <Pick
          path={['status']}
          label="Once published"
          choices={STATUSES}
          fallback="live"
          hint="Pause a popup that runs on its page: that holds at once, everywhere."
        />
        <Values
          path={['placement']}
          label="Placements"
          values={values}
          placeholder="home"
          list="editor-placements"
          hint="Where on the site it may appear, as the page asks for it. Enter adds one."
          onValues={(next) => doc.set(['placement'], next.length > 0 ? next : undefined)}
        />
        <Count
          path={['priority']}
          label="Priority"
          fallback="0"
          hint="Of those that may be shown, the highest wins."
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
