// To whom: a tree of groups and rules. Every step has a button with a name, so that the keyboard
// does all of it.
import { Button } from '../../../ui/button';
import { Section } from '../../../ui/page';
import { useDocument } from '../document';
import type { JsonPath } from '../model/json';
import {
  asGroup,
  changed,
  DEPTH_MAX,
  kindOf,
  moved,
  newGroup,
  newRule,
  parts,
  RULES_MAX,
  sizeOf,
  targetWords,
  unwrapped,
  withPart,
  type Rule,
} from '../model/target';
import { Place, PlaceErrors } from './parts';
import { RuleFields } from './rule';

export function Target() {
  const doc = useDocument();
  const target = doc.exact(['target']);
  const disabled = doc.readOnly || doc.broken.value !== null;
  const { rules, depth } = sizeOf(target);
  // Far beyond what a node takes, a form would be of no use, and large.
  const isDrawn = rules <= 2 * RULES_MAX && depth <= 2 * DEPTH_MAX;
  const words = isDrawn
    ? `Users where ${targetWords(target)}.`
    : 'Too many rules for a form: edit them in the JSON.';
  return (
    <Section
      title="To whom"
      card
      beside={
        target !== undefined && (
          <span class="soft small">
            {rules} of {RULES_MAX} rules, {depth} of {DEPTH_MAX} levels
          </span>
        )
      }
    >
      <div class="stack">
        <p class="editor-told">{target === undefined ? 'Everyone.' : words}</p>
        <Place path={['target']}>
          <PlaceErrors path={['target']} />
        </Place>
        {target === undefined
          ? !disabled && (
              <div class="row">
                <Button icon="plus" onClick={() => doc.set(['target'], { all: [newRule()] })}>
                  Target users by attributes
                </Button>
              </div>
            )
          : isDrawn && (
              <Node path={[]} rule={target} onRemove={() => doc.set(['target'], undefined)} />
            )}
      </div>
    </Section>
  );
}

/** How a node writes the whole target anew. */
function useTarget() {
  const doc = useDocument();
  const target = doc.exact(['target']);
  return {
    disabled: doc.readOnly || doc.broken.value !== null,
    write: (made: unknown) => doc.set(['target'], made),
    change: (path: JsonPath, change: (rule: unknown) => unknown) =>
      doc.set(['target'], changed(target, path, change)),
    target,
  };
}

interface NodeProps {
  /** Within the target. */
  readonly path: JsonPath;
  readonly rule: unknown;
  readonly onRemove: () => void;
}

function Node({ path, rule, onRemove }: NodeProps) {
  const kind = kindOf(rule);
  if (kind === 'attr') {
    return (
      <div class="rule">
        <RuleFields path={path} rule={rule as Rule} />
        <Tools path={path} rule={rule} onRemove={onRemove} />
      </div>
    );
  }
  if (kind === 'unknown') {
    return (
      <div class="rule" data-field={['target', ...path].join('.')}>
        <p class="soft">The form does not know this kind of rule: edit it in the JSON.</p>
        <PlaceErrors path={['target', ...path]} below />
        <Tools path={path} rule={rule} onRemove={onRemove} />
      </div>
    );
  }
  return <Group path={path} rule={rule as Rule} onRemove={onRemove} />;
}

const KINDS = [
  { value: 'all', label: 'All of these are true' },
  { value: 'any', label: 'Any of these is true' },
  { value: 'not', label: 'This is not true' },
] as const;

function Group({ path, rule, onRemove }: NodeProps & { rule: Rule }) {
  const { disabled, write, change, target } = useTarget();
  const kind = kindOf(rule) as 'all' | 'any' | 'not';
  const inner = kind === 'not' ? [rule['not']] : parts(rule);
  const at = (index: number): JsonPath =>
    kind === 'not' ? [...path, 'not'] : [...path, kind, index];
  const name = targetWords(rule);
  const add = (part: Rule) => write(withPart(target, path, part));
  return (
    <div class="rule-group" role="group" aria-label={name}>
      <div class="rule-head">
        <select
          class="control"
          aria-label="How the parts go together"
          value={kind}
          disabled={disabled}
          onChange={(event) => {
            const picked = event.currentTarget.value as 'all' | 'any' | 'not';
            change(path, (group) => asGroup(group, picked));
          }}
        >
          {KINDS.map(({ value, label }) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
        <Tools path={path} rule={rule} onRemove={onRemove} />
      </div>
      <PlaceErrors path={['target', ...path]} />
      <div class="rule-parts">
        {inner.map((part, index) => (
          <Node
            key={index}
            path={at(index)}
            rule={part}
            onRemove={() => (kind === 'not' ? onRemove() : change(at(index), () => undefined))}
          />
        ))}
        {inner.length === 0 && (
          <p class="soft">
            {kind === 'all' ? 'Without rules: everyone.' : 'Without rules: nobody.'}
          </p>
        )}
      </div>
      {!disabled && kind !== 'not' && (
        <div class="row">
          <Button small icon="plus" onClick={() => add(newRule())}>
            Rule
          </Button>
          <Button
            kind="quiet"
            small
            icon="plus"
            onClick={() => add(newGroup(kind === 'all' ? 'any' : 'all'))}
          >
            Group
          </Button>
          <Button kind="quiet" small icon="plus" onClick={() => add(newGroup('not'))}>
            Exception
          </Button>
        </div>
      )}
    </div>
  );
}

/** What can be done with a node: its place among the others, a group around it, away with it. */
function Tools({ path, rule, onRemove }: NodeProps) {
  const { disabled, write, change, target } = useTarget();
  if (disabled) return null;
  const name = targetWords(rule) || 'rule';
  const index = path.at(-1);
  const isListed = typeof index === 'number';
  const isGroup = kindOf(rule) !== 'attr';
  const canUnwrap = isGroup && unwrapped(rule) !== rule;
  return (
    <span class="rule-tools">
      {isListed && (
        <>
          <Button
            kind="quiet"
            small
            icon="up"
            aria-label={`Move up: ${name}`}
            onClick={() => write(moved(target, path, -1))}
          />
          <Button
            kind="quiet"
            small
            icon="down"
            aria-label={`Move down: ${name}`}
            onClick={() => write(moved(target, path, 1))}
          />
        </>
      )}
      {!isGroup && (
        <Button kind="quiet" small onClick={() => change(path, (part) => ({ not: part }))}>
          Not<span class="hidden">: {name}</span>
        </Button>
      )}
      {canUnwrap && (
        <Button kind="quiet" small onClick={() => change(path, unwrapped)}>
          Ungroup<span class="hidden">: {name}</span>
        </Button>
      )}
      <Button kind="quiet" small icon="close" aria-label={`Remove: ${name}`} onClick={onRemove} />
    </span>
  );
}
