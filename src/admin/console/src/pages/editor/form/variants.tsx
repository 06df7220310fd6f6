// Variants of a popup's content: their keys, weights and shares, and which one is edited.
import { Button } from '../../../ui/button';
import { useDocument } from '../document';
import { freeKey, hasVariants, shares, splitIntoVariants, variantsOf } from '../model/content';
import { Count, PlaceErrors, Text } from './parts';
import { useShown } from './shown';

export function Variants() {
  const doc = useDocument();
  const shown = useShown();
  const definition = doc.definition.value;
  const disabled = doc.readOnly || doc.broken.value !== null;
  if (!hasVariants(definition)) {
    const split = () => {
      doc.setAll([
        [['variants'], splitIntoVariants(doc.exact([]) as Record<string, unknown>)],
        [['content'], undefined],
        [['locales'], undefined],
      ]);
      shown.variant.value = 1;
    };
    return disabled ? null : (
      <div class="row">
        <Button small icon="plus" onClick={split}>
          Add a second variant (A/B test)
        </Button>
        <span class="soft small">
          Both start from the current content, with half of the users each.
        </span>
      </div>
    );
  }
  return <Table />;
}

/** As many as a popup may have. */
const VARIANTS_MAX = 64;

function Table() {
  const doc = useDocument();
  const shown = useShown();
  const variants = variantsOf(doc.definition.value);
  const parts = shares(variants);
  const disabled = doc.readOnly || doc.broken.value !== null;
  const at = Math.min(shown.variant.value, variants.length - 1);
  const add = () => {
    const copied = doc.exact(['variants', at]);
    const copy = typeof copied === 'object' && copied !== null ? copied : {};
    doc.set(['variants', variants.length], { ...copy, key: freeKey(variants), weight: 1 });
    shown.variant.value = variants.length;
  };
  const remove = (index: number) => {
    shown.variant.value = 0;
    if (variants.length > 2) return doc.set(['variants', index], undefined);
    // One variant is none: what it says becomes the content.
    const left = doc.exact(['variants', 1 - index]) as { content?: unknown; locales?: unknown };
    doc.setAll([
      [['content'], left?.content ?? {}],
      [['locales'], left?.locales],
      [['variants'], undefined],
    ]);
  };
  return (
    <fieldset class="editor-variants">
      <legend class="field-label">Variants: each user keeps one</legend>
      <PlaceErrors path={['variants']} />
      {variants.slice(0, VARIANTS_MAX).map((variant, index) => (
        <div key={index} class="editor-variant">
          <button
            type="button"
            class="editor-choice"
            aria-pressed={index === at}
            onClick={() => (shown.variant.value = index)}
          >
            {index === at ? 'Edited' : 'Edit'}
            <span class="hidden"> variant {variant.key}</span>
          </button>
          <Text path={['variants', index, 'key']} label={`Key of variant ${index + 1}`} bare />
          <Count
            path={['variants', index, 'weight']}
            label={`Weight of variant ${variant.key}`}
            bare
            fallback="1"
          />
          <span class="editor-share">{parts[index]} of users</span>
          {!disabled && variants.length > 1 && (
            <Button
              kind="quiet"
              small
              icon="close"
              aria-label={`Remove variant ${variant.key}`}
              onClick={() => remove(index)}
            />
          )}
        </div>
      ))}
      {!disabled && (
        <Button small icon="plus" onClick={add}>
          Add variant (copy of this one)
        </Button>
      )}
    </fieldset>
  );
}
