// What the popup says: by variant and by locale, in the fields that the snippet draws. Members that
// it does not know stay, and are named.
import { useState } from 'preact/hooks';
import { Button } from '../../../ui/button';
import { TextField } from '../../../ui/field';
import { Section } from '../../../ui/page';
import { useDocument } from '../document';
import { contentPath, hasVariants, KNOWN, variantsOf } from '../model/content';
import type { JsonPath } from '../model/json';
import { Check, Pick, PlaceErrors, Text } from './parts';
import { useShown } from './shown';
import { Variants } from './variants';

const STYLES = [
  { value: 'corner', label: 'Corner: a card beside the page' },
  { value: 'modal', label: 'Modal: over the page' },
  { value: 'banner', label: 'Banner: a bar over the whole width' },
];

const THEMES = [
  { value: '', label: "As the visitor's system" },
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
];

const DIRECTIONS = [
  { value: '', label: "The page's" },
  { value: 'ltr', label: 'Left to right' },
  { value: 'rtl', label: 'Right to left' },
];

export function Contents() {
  const doc = useDocument();
  const shown = useShown();
  const definition = doc.definition.value;
  const variants = variantsOf(definition);
  const at = Math.min(shown.variant.value, variants.length - 1);
  const variant = variants[at];
  const locales = Object.keys(variant?.locales ?? {});
  const chosen = shown.locale.value;
  const locale = chosen !== null && locales.includes(chosen) ? chosen : null;
  const path = contentPath(definition, at, locale);
  return (
    <Section title="What it says" card>
      <div class="stack">
        <Variants />
        <Locales
          base={path.slice(0, locale === null ? -1 : -2)}
          locales={locales}
          locale={locale}
        />
        <PlaceErrors path={path} />
        {hasVariants(definition) && variants.length === 0 ? null : <Fields path={path} />}
      </div>
    </Section>
  );
}

/** As many as a content may have. */
const LOCALES_MAX = 256;

interface LocalesProps {
  readonly base: JsonPath;
  readonly locales: readonly string[];
  readonly locale: string | null;
}

/** Which language is edited; a new one begins with what is said now. */
function Locales({ base, locales, locale }: LocalesProps) {
  const doc = useDocument();
  const shown = useShown();
  const [made, setMade] = useState<string | null>(null);
  const disabled = doc.readOnly || doc.broken.value !== null;
  const isKnown =
    made !== null && locales.some((name) => name.toLowerCase() === made.toLowerCase());
  const add = () => {
    if (!made || isKnown) return;
    doc.set([...base, 'locales', made], doc.exact([...base, 'content']) ?? {});
    shown.locale.value = made;
    setMade(null);
  };
  const remove = (name: string) => {
    const isLast = locales.length === 1;
    doc.set(isLast ? [...base, 'locales'] : [...base, 'locales', name], undefined);
    shown.locale.value = null;
  };
  return (
    <div class="editor-locales" data-field={[...base, 'locales'].join('.')}>
      <div class="editor-choices" role="group" aria-label="Language">
        {[null, ...locales.slice(0, LOCALES_MAX)].map((name) => (
          <button
            key={name ?? ''}
            type="button"
            class="editor-choice"
            aria-pressed={name === locale}
            onClick={() => (shown.locale.value = name)}
          >
            {name ?? 'All languages'}
          </button>
        ))}
        {!disabled && made === null && (
          <Button kind="quiet" small icon="plus" onClick={() => setMade('')}>
            Language
          </Button>
        )}
        {!disabled && locale !== null && (
          <Button kind="quiet" small icon="close" onClick={() => remove(locale)}>
            Remove {locale}
          </Button>
        )}
      </div>
      {made !== null && (
        <form
          class="editor-inline"
          onSubmit={(event) => {
            event.preventDefault();
            add();
          }}
        >
          <TextField
            label="Locale"
            value={made}
            onText={(text) => setMade(text.trim())}
            placeholder="de or de-AT"
            error={isKnown ? 'Already there' : undefined}
            hint="de-AT falls back to de, then to all languages."
          />
          <Button type="submit" disabled={!made || isKnown}>
            Add
          </Button>
          <Button kind="quiet" onClick={() => setMade(null)}>
            Cancel
          </Button>
        </form>
      )}
    </div>
  );
}

function Fields({ path }: { path: JsonPath }) {
  const doc = useDocument();
  const content = (doc.at(path) ?? {}) as Record<string, unknown>;
  const isObject = typeof content === 'object' && !Array.isArray(content);
  if (!isObject) return <p class="soft">The content is not an object: fix it in the JSON.</p>;
  const at = (name: string, alias?: string): JsonPath => {
    const isAlias = alias !== undefined && !(name in content) && alias in content;
    return [...path, isAlias ? alias : name];
  };
  const more = ['close', 'theme', 'dir', 'lang', 'position', 'image_alt', 'image'].some(
    (name) => name in content,
  );
  const others = Object.keys(content).filter((name) => !KNOWN.includes(name));
  return (
    <div class="stack">
      <div class="editor-grid">
        <Pick path={at('style')} label="Style" choices={STYLES} fallback="corner" />
        <Text path={at('title')} label="Title" />
        <Text path={at('text', 'body')} label="Text" area />
        <Text path={at('button')} label="Button" placeholder="No button" />
        <Text path={at('url', 'link')} label="Button link" placeholder="https://… or /path" />
        <Text path={at('dismiss')} label="Second button (closes)" placeholder="No second button" />
        <Check path={at('new_tab')} label="Open the link in a new tab" />
      </div>
      <details class="editor-more" open={more}>
        <summary>Image, position, theme and direction</summary>
        <div class="editor-grid">
          <Text path={at('image')} label="Image URL" placeholder="https://…" />
          <Text
            path={at('image_alt')}
            label="Image description"
            hint="Read to people who can't see it. Empty: decorative."
          />
          <Position path={at('position')} style={content['style']} />
          <Pick path={at('theme')} label="Theme" choices={THEMES} fallback="" />
          <Pick path={at('dir')} label="Direction of the text" choices={DIRECTIONS} fallback="" />
          <Text path={at('lang')} label="Language of the text" placeholder="The page's" />
          <Text path={at('close')} label="Label of the close button" placeholder="Close" />
        </div>
      </details>
      {others.length > 0 && (
        <p class="soft small">
          Kept for your own renderer; edit it in the JSON:{' '}
          {others.map((name, index) => (
            <>
              {index > 0 && ', '}
              <code>{name}</code>
            </>
          ))}
        </p>
      )}
    </div>
  );
}

function Position({ path, style }: { path: JsonPath; style: unknown }) {
  const isBanner = style === 'banner';
  const choices = isBanner
    ? [
        { value: '', label: 'At the bottom' },
        { value: 'top', label: 'At the top' },
      ]
    : [
        { value: '', label: 'Right (end)' },
        { value: 'start', label: 'Left (start)' },
      ];
  return <Pick path={path} label="Position" choices={choices} fallback="" />;
}
