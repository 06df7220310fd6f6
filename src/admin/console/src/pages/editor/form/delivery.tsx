// To how many, and what holds when something is wrong.
import { Section } from '../../../ui/page';
import { Check, Count, Pick } from './parts';

const FAILURES = [
  { value: 'hide', label: 'Hide it' },
  { value: 'local', label: 'Show it, by what this node knows' },
];

export function Delivery() {
  return (
    <Section title="To how many" card>
      <div class="editor-grid">
        <Count
          path={['rollout']}
          label="Rollout"
          fallback="100"
          unit="% of users"
          hint="Raising it never takes the popup away from anyone."
        />
        <Pick
          path={['on_failure']}
          label="When a user's state can't be read"
          choices={FAILURES}
          fallback="hide"
        />
        <Check
          path={['quiet_exempt']}
          label="Exempt from quiet time"
          hint="The limits that hold for all popups together (quiet time, popups a day and a session) neither hold it back nor count it."
        />
      </div>
    </Section>
  );
}
