// When the popup may be shown: begin and end, windows of the week, their zone, and the time line.
import { Button } from '../../../ui/button';
import { Field } from '../../../ui/field';
import { Section } from '../../../ui/page';
import { allZones } from '../../../ui/zones';
import { useDocument } from '../document';
import { DAYS } from '../model/schedule';
import { fromLocal, isZone, localField, momentOf, rfc3339 } from '../model/zones';
import type { JsonPath } from '../model/json';
import { errorOf, Place, PlaceErrors, Text } from './parts';
import { TimeLine } from './timeline';

/** The zone in which begin and end are typed: that of the windows, or this browser's. */
function typedZone(tz: unknown): string {
  if (typeof tz === 'string' && tz !== 'user' && isZone(tz)) return tz;
  return 'UTC';
}

export function ScheduleForm() {
  const doc = useDocument();
  const zone = typedZone(doc.definition.value['tz']);
  return (
    <Section title="When" card>
      <div class="stack">
        <div class="editor-grid editor-moments">
          <Moment path={['starts_at']} label="Starts" zone={zone} empty="At once" />
          <Moment path={['ends_at']} label="Ends" zone={zone} empty="Never" />
          <Text
            path={['tz']}
            label="Time zone of the windows"
            placeholder="UTC"
            list="editor-zones"
            hint="Such as Europe/Berlin; user: each visitor's own zone."
          />
        </div>
        <datalist id="editor-zones">
          {['user', ...allZones()].map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <Windows />
        <TimeLine />
      </div>
    </Section>
  );
}

interface MomentProps {
  readonly path: JsonPath;
  readonly label: string;
  readonly zone: string;
  readonly empty: string;
}

/** A moment, typed as the clock in a zone shows it, kept with its offset. */
function Moment({ path, label, zone, empty }: MomentProps) {
  const doc = useDocument();
  const typed = doc.typed(path);
  const moment = momentOf(typed);
  const disabled = doc.readOnly || doc.broken.value !== null;
  const pick = (text: string) => {
    if (!text) return doc.set(path, undefined);
    const local = Date.parse(`${text.slice(0, 16)}:00Z`);
    // A year that is still being typed.
    if (local < 0) return;
    if (!Number.isNaN(local)) doc.set(path, rfc3339(zone, fromLocal(zone, local).moment));
  };
  const isOdd = typed !== '' && moment === undefined;
  const local = moment === undefined ? undefined : localField(zone, moment);
  const twice = local && fromLocal(zone, Date.parse(`${local}:00Z`)).is === 'twice';
  const hint = moment === undefined ? empty : `${twice ? 'First of the two: ' : ''}${typed}`;
  return (
    <Place path={path}>
      <Field
        label={`${label}, ${zone} time`}
        hint={isOdd ? undefined : hint}
        error={errorOf(doc.problemsAt(path))}
      >
        {(told) => (
          <span class="editor-unit">
            <input
              {...told}
              class="control"
              type={isOdd ? 'text' : 'datetime-local'}
              value={isOdd ? typed : (local ?? '')}
              disabled={disabled}
              onInput={(event) =>
                isOdd
                  ? doc.set(path, event.currentTarget.value || undefined)
                  : pick(event.currentTarget.value)
              }
            />
            {typed && !disabled && (
              <Button
                kind="quiet"
                small
                icon="close"
                aria-label={`${label}: none`}
                onClick={() => doc.set(path, undefined)}
              />
            )}
          </span>
        )}
      </Field>
    </Place>
  );
}

const DAY_NAMES: Record<string, string> = {
  mon: 'Mon',
  tue: 'Tue',
  wed: 'Wed',
  thu: 'Thu',
  fri: 'Fri',
  sat: 'Sat',
  sun: 'Sun',
};

/** As many as a popup may have. */
const WINDOWS_MAX = 64;

function Windows() {
  const doc = useDocument();
  const { windows } = doc.definition.value;
  const list = Array.isArray(windows) ? (windows as unknown[]) : [];
  const disabled = doc.readOnly || doc.broken.value !== null;
  const add = () => {
    const made = { days: DAYS.slice(0, 5), from: '09:00', to: '18:00' };
    doc.set(['windows', list.length], made);
  };
  const remove = (index: number) =>
    doc.set(list.length > 1 ? ['windows', index] : ['windows'], undefined);
  return (
    <fieldset class="editor-group">
      <legend class="field-label">Windows of the week</legend>
      <Place path={['windows']}>
        <PlaceErrors path={['windows']} />
      </Place>
      {list.length === 0 && <p class="soft">None: any time, any day.</p>}
      {list.slice(0, WINDOWS_MAX).map((_, index) => (
        <Window key={index} index={index} onRemove={disabled ? null : () => remove(index)} />
      ))}
      {!disabled && (
        <Button small icon="plus" onClick={add}>
          Window
        </Button>
      )}
    </fieldset>
  );
}

function Window({ index, onRemove }: { index: number; onRemove: (() => void) | null }) {
  const doc = useDocument();
  const path: JsonPath = ['windows', index];
  const window = (doc.at(path) ?? {}) as { days?: unknown; from?: unknown; to?: unknown };
  const days = Array.isArray(window.days) ? (window.days as unknown[]) : [];
  const disabled = doc.readOnly || doc.broken.value !== null;
  const toggle = (day: string, on: boolean) => {
    const all = days.length === 0 ? [...DAYS] : DAYS.filter((one) => days.includes(one));
    const next = on
      ? DAYS.filter((one) => all.includes(one) || one === day)
      : all.filter((one) => one !== day);
    if (next.length === 0) return;
    doc.set([...path, 'days'], next.length === DAYS.length ? undefined : next);
  };
  const isPastMidnight =
    typeof window.from === 'string' && typeof window.to === 'string' && window.to <= window.from;
  return (
    <div class="editor-window">
      <div class="editor-days" role="group" aria-label={`Days of window ${index + 1}`}>
        {DAYS.map((day) => (
          <label key={day} class="segment">
            <input
              type="checkbox"
              checked={days.length === 0 || days.includes(day)}
              disabled={disabled}
              onChange={(event) => toggle(day, event.currentTarget.checked)}
            />
            <span>{DAY_NAMES[day]}</span>
          </label>
        ))}
      </div>
      <div class="editor-times">
        <Clock path={[...path, 'from']} label={`Window ${index + 1} from`} word="from" />
        <Clock path={[...path, 'to']} label={`Window ${index + 1} to`} word="to" />
        {onRemove && (
          <Button
            kind="quiet"
            small
            icon="close"
            aria-label={`Remove window ${index + 1}`}
            onClick={onRemove}
          />
        )}
      </div>
      {isPastMidnight && <p class="field-hint">Runs past midnight into the next day.</p>}
      <PlaceErrors path={path} below />
    </div>
  );
}

/** A time of the day; 24:00 is its end. */
function Clock({ path, label, word }: { path: JsonPath; label: string; word: string }) {
  const doc = useDocument();
  return (
    <Place path={path} class="editor-clock">
      <span class="soft" aria-hidden="true">
        {word}
      </span>
      <input
        class="control"
        type="text"
        inputMode="numeric"
        aria-label={label}
        aria-invalid={doc.problemsAt(path).length > 0 ? true : undefined}
        maxLength={5}
        placeholder="00:00"
        value={doc.typed(path)}
        disabled={doc.readOnly || doc.broken.value !== null}
        onInput={(event) => doc.set(path, event.currentTarget.value)}
      />
    </Place>
  );
}
