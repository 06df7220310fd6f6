// The question: where, when, and with what the page would send. What is wrong stands beside it.
import { useEffect, useState } from 'preact/hooks';
import { Button } from '../../ui/button';
import { TextField } from '../../ui/field';
import { ZONE } from '../../ui/format';
import { Notice } from '../../ui/notice';
import { allZones } from '../../ui/zones';
import { fromLocal, isPlain, type Question, toLocal, writeQuestion } from './question';

interface FormProps {
  readonly question: Question;
  readonly known: {
    readonly placements: readonly string[];
    readonly attributes: readonly string[];
  };
  readonly busy: boolean;
  /** What the node refused. */
  readonly wrong: { readonly field: string; readonly words: string } | null;
  readonly onAsk: (question: Question) => void;
}

type Attributes = Question['attributes'];
const PLAIN = { at: '', session: '', locale: '', tz: '', attributes: [] };

export function Form({ question, known, busy, wrong, onAsk }: FormProps) {
  const [draft, setDraft] = useState(question);
  // Another question came by the browser's way back, or a link. The form stays, with its focus.
  useEffect(() => setDraft(question), [writeQuestion(question)]);
  const [open, setOpen] = useState(
    !isPlain(question) || (wrong !== null && wrong.field !== 'placement'),
  );
  const change = (part: Partial<Question>) => setDraft((before) => ({ ...before, ...part }));
  const error = (field: string) => (wrong?.field === field ? wrong.words : undefined);
  return (
    <form
      class="question"
      onSubmit={(event) => {
        event.preventDefault();
        onAsk(draft);
      }}
    >
      <div class="question-row">
        <Where {...{ draft, change, error }} placements={known.placements} />
        <div class="question-actions">
          <Button type="submit" kind="primary" busy={busy}>
            Ask
          </Button>
          <Button aria-expanded={open} icon={open ? 'up' : 'down'} onClick={() => setOpen(!open)}>
            Who they are
          </Button>
          {!isPlain(question) && (
            <Button kind="quiet" onClick={() => onAsk({ ...draft, ...PLAIN })}>
              Back to now
            </Button>
          )}
        </div>
      </div>
      {open && <Who {...{ draft, change, error }} names={known.attributes} />}
      {wrong && !FIELDS.includes(wrong.field) && (
        <Notice tone="bad">
          <p>{wrong.words}</p>
        </Notice>
      )}
    </form>
  );
}

/** Those beside which an error can stand. */
const FIELDS = ['placement', 'at', 'session', 'locale', 'tz', 'attributes'];

interface PartProps {
  readonly draft: Question;
  readonly change: (part: Partial<Question>) => void;
  readonly error: (field: string) => string | undefined;
}

function Where({
  draft,
  change,
  error,
  placements,
}: PartProps & { placements: readonly string[] }) {
  return (
    <>
      <TextField
        label="Placement"
        value={draft.placement}
        onText={(placement) => change({ placement })}
        placeholder="home"
        list="placements"
        spellcheck={false}
        error={error('placement')}
      />
      <datalist id="placements">
        {placements.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <TextField
        label={`When (${ZONE}), empty for now`}
        type="datetime-local"
        value={toLocal(draft.at)}
        onText={(text) => change({ at: fromLocal(text) })}
        error={error('at')}
      />
    </>
  );
}

function Who({ draft, change, error, names }: PartProps & { names: readonly string[] }) {
  return (
    <>
      <div class="question-row">
        <TextField
          label="Locale"
          value={draft.locale}
          onText={(locale) => change({ locale })}
          placeholder="such as de-AT"
          spellcheck={false}
          error={error('locale')}
        />
        <TextField
          label="Time zone"
          value={draft.tz}
          onText={(tz) => change({ tz })}
          placeholder="UTC"
          list="zones"
          spellcheck={false}
          error={error('tz')}
        />
        <Zones typed={draft.tz} />
        <TextField
          label="Session"
          value={draft.session}
          onText={(session) => change({ session })}
          placeholder="none"
          spellcheck={false}
          error={error('session')}
        />
      </div>
      <AttributeRows
        attributes={draft.attributes}
        names={names}
        error={error('attributes')}
        onChange={(attributes) => change({ attributes })}
      />
    </>
  );
}

/** As many are offered at once: there are hundreds. */
const ZONES_OFFERED_MAX = 20;

function Zones({ typed }: { typed: string }) {
  const isLike = (zone: string) => zone.toLowerCase().includes(typed.toLowerCase());
  return (
    <datalist id="zones">
      {allZones()
        .filter(isLike)
        .slice(0, ZONES_OFFERED_MAX)
        .map((zone) => (
          <option key={zone} value={zone} />
        ))}
    </datalist>
  );
}

interface AttributesProps {
  readonly attributes: Attributes;
  readonly names: readonly string[];
  readonly error: string | undefined;
  readonly onChange: (attributes: Attributes) => void;
}

function AttributeRows({ attributes, names, error, onChange }: AttributesProps) {
  const put = (at: number, pair: readonly [string, string]) =>
    onChange(attributes.map((one, index) => (index === at ? pair : one)));
  return (
    <fieldset class="question-attributes">
      <legend class="field-label">Attributes</legend>
      {names.length > 0 && attributes.length === 0 && (
        <p class="field-hint">Popups here ask for {names.join(', ')}.</p>
      )}
      {attributes.map(([name, value], index) => (
        // Rows have no other identity than their place.
        <div key={index} class="question-attribute">
          <TextField
            label={`Name of attribute ${index + 1}`}
            bare
            value={name}
            onText={(text) => put(index, [text, value])}
            placeholder="name"
            list="attributes"
            spellcheck={false}
          />
          <TextField
            label={`Value of attribute ${index + 1}`}
            bare
            value={value}
            onText={(text) => put(index, [name, text])}
            placeholder="value"
            spellcheck={false}
          />
          <Button
            kind="quiet"
            icon="close"
            aria-label={`Remove attribute ${name || index + 1}`}
            onClick={() => onChange(attributes.filter((_, at) => at !== index))}
          />
        </div>
      ))}
      <datalist id="attributes">
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <Button small icon="plus" onClick={() => onChange([...attributes, ['', '']])}>
        Add an attribute
      </Button>
      {error && (
        <p class="field-error" role="alert">
          {error}
        </p>
      )}
    </fieldset>
  );
}
