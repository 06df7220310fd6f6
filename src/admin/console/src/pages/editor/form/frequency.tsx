// How often a user may see it: limits, caps and gaps, as sentences that are filled in.
import { useRef } from 'preact/hooks';
import { Button } from '../../../ui/button';
import { Section } from '../../../ui/page';
import { useDocument } from '../document';
import { countAndUnit, UNITS, type Unit } from '../model/duration';
import type { JsonPath } from '../model/json';
import { RawJson } from '../model/text';
import { frequencyWords, GAPS } from '../model/words';
import { Count, Place, PlaceErrors } from './parts';

export function Frequency() {
  const doc = useDocument();
  const definition = doc.definition.value;
  return (
    <Section title="How often" card>
      <div class="stack">
        <div class="editor-told">
          {frequencyWords(definition).map((line) => (
            <p key={line}>{line}</p>
          ))}
        </div>
        <div class="editor-grid">
          <Count
            path={['max_shows']}
            label="Shows per user, in total"
            fallback="no limit"
            hint="Empty or 0: no limit."
          />
        </div>
        <Caps />
        <fieldset class="editor-group">
          <legend class="field-label">Not again</legend>
          {GAPS.map(({ member, fallback, after }) => (
            <Gap key={member} path={[member]} words={`After ${after}`} fallback={fallback} never />
          ))}
          <Gap path={['ignore_after']} words="Counts as ignored after" fallback="5m" />
        </fieldset>
      </div>
    </Section>
  );
}

/** As many as a popup may have. */
const CAPS_MAX = 10;

function Caps() {
  const doc = useDocument();
  const { caps } = doc.definition.value;
  const list = Array.isArray(caps) ? (caps as unknown[]) : [];
  const disabled = doc.readOnly || doc.broken.value !== null;
  const remove = (index: number) =>
    doc.set(list.length > 1 ? ['caps', index] : ['caps'], undefined);
  return (
    <fieldset class="editor-group">
      <legend class="field-label">At most</legend>
      <Place path={['caps']}>
        <PlaceErrors path={['caps']} />
      </Place>
      {list.slice(0, CAPS_MAX).map((_, index) => (
        <div key={index} class="editor-cap">
          <div class="editor-sentence">
            <Place path={['caps', index, 'n']}>
              <input
                class="control editor-number"
                inputMode="numeric"
                aria-label={`Cap ${index + 1}: shows`}
                aria-invalid={doc.problemsAt(['caps', index, 'n']).length > 0 ? true : undefined}
                value={doc.typed(['caps', index, 'n'])}
                disabled={disabled}
                onInput={(event) => {
                  const text = event.currentTarget.value.trim();
                  const value = /^(0|[1-9]\d*)$/.test(text) ? new RawJson(text) : text;
                  doc.set(['caps', index, 'n'], value);
                }}
              />
            </Place>
            <span>shows within</span>
            <Duration path={['caps', index, 'per']} label={`Cap ${index + 1}: time`} fallback="" />
            {!disabled && (
              <Button
                kind="quiet"
                small
                icon="close"
                aria-label={`Remove cap ${index + 1}`}
                onClick={() => remove(index)}
              />
            )}
          </div>
          <PlaceErrors path={['caps', index]} below />
        </div>
      ))}
      {!disabled && list.length < CAPS_MAX && (
        <Button
          small
          icon="plus"
          onClick={() => doc.set(['caps', list.length], { n: 1, per: '24h' })}
        >
          Cap
        </Button>
      )}
    </fieldset>
  );
}

interface GapProps {
  readonly path: JsonPath;
  readonly words: string;
  readonly fallback: string;
  readonly never?: boolean;
}

function Gap({ path, words, fallback, never = false }: GapProps) {
  const doc = useDocument();
  const isNever = (doc.typed(path) || fallback) === 'never';
  return (
    <div class="editor-gap">
      <div class="editor-sentence">
        <span>
          {words}
          {never && (isNever ? '' : ' not for')}
        </span>
        <Duration path={path} label={words} fallback={fallback} never={never} />
      </div>
      <PlaceErrors path={path} />
    </div>
  );
}

interface DurationProps {
  readonly path: JsonPath;
  readonly label: string;
  readonly fallback: string;
  readonly never?: boolean;
}

/** A count and its unit, or never. What is typed and is no count stays as it is typed. */
function Duration({ path, label, fallback, never = false }: DurationProps) {
  const doc = useDocument();
  const raw = doc.at(path);
  const text = typeof raw === 'string' ? raw : doc.typed(path) || fallback;
  const known = countAndUnit(text);
  // Who empties the field to type another count means the same unit.
  const last = useRef<Unit>('d');
  if (known) last.current = known.unit;
  const disabled = doc.readOnly || doc.broken.value !== null;
  const unit = text === 'never' ? 'never' : text ? (known?.unit ?? 'text') : last.current;
  const write = (made: string) => doc.set(path, made === fallback ? undefined : made);
  const pickUnit = (picked: string) => {
    if (picked === 'never') return write('never');
    write(`${known?.count ?? 1}${picked === 'text' ? 'd' : picked}`);
  };
  const type = (typed: string) => {
    const count = typed.trim();
    write(/^\d+$/.test(count) ? `${Number(count)}${last.current}` : count);
  };
  return (
    <Place path={path} class="editor-duration">
      {unit !== 'never' && (
        <input
          class="control editor-number"
          aria-label={`${label}: how long`}
          aria-invalid={doc.problemsAt(path).length > 0 ? true : undefined}
          value={known ? String(known.count) : text}
          disabled={disabled}
          onInput={(event) => type(event.currentTarget.value)}
        />
      )}
      <select
        class="control"
        aria-label={`${label}: unit`}
        value={unit}
        disabled={disabled}
        onChange={(event) => pickUnit(event.currentTarget.value)}
      >
        {UNITS.filter(({ unit: one }) => one !== 'ms' || unit === 'ms').map((one) => (
          <option key={one.unit} value={one.unit}>
            {one.many}
          </option>
        ))}
        {unit === 'text' && <option value="text">as typed</option>}
        {never && <option value="never">never again</option>}
      </select>
    </Place>
  );
}
