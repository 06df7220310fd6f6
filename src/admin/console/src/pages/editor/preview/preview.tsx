// The popup as the snippet draws it, on a phone or a desktop, in light or dark, for a variant and a
// language.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Segments, Select, TextField } from '../../../ui/field';
import { useDocument } from '../document';
import { useShown } from '../form/shown';
import { contentFor, variantsOf } from '../model/content';
import type { Draw, Told } from './message';

const DEVICES = {
  phone: { width: 375, height: 667 },
  desktop: { width: 1200, height: 750 },
} as const;
type Device = keyof typeof DEVICES;

/** What stands above the preview, and how low it gets at least. */
const ABOVE_PX = 270;
const SMALLEST_PX = 420;

const DEVICE_CHOICES = [
  { value: 'phone', label: 'Phone' },
  { value: 'desktop', label: 'Desktop' },
];
const SCHEME_CHOICES = [
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
];

export function Preview() {
  const doc = useDocument();
  const shown = useShown();
  const [device, setDevice] = useState<Device>('phone');
  const [scheme, setScheme] = useState<'light' | 'dark'>('light');
  const [locale, setLocale] = useState<string | null>(null);
  const variants = variantsOf(doc.definition.value);
  const at = Math.min(shown.variant.value, variants.length - 1);
  const asked = locale ?? shown.locale.value ?? '';
  const content = contentFor(variants[at], asked);
  const locales = [...new Set(variants.flatMap((variant) => Object.keys(variant.locales)))];
  return (
    <div class="preview">
      <div class="preview-head">
        <Segments
          label="Device"
          value={device}
          choices={DEVICE_CHOICES}
          onPick={(picked) => setDevice(picked as Device)}
        />
        <Segments
          label="Colours"
          value={scheme}
          choices={SCHEME_CHOICES}
          onPick={(picked) => setScheme(picked as 'light' | 'dark')}
        />
        {variants.length > 1 && (
          <Select
            label="Variant"
            bare
            value={String(at)}
            choices={variants.map(({ key }, index) => ({
              value: String(index),
              label: `Variant ${key}`,
            }))}
            onPick={(picked) => (shown.variant.value = Number(picked))}
          />
        )}
        {locales.length > 0 && (
          <TextField
            label="Language of the visitor"
            bare
            class="preview-locale"
            value={asked}
            placeholder="language: de-AT"
            onText={(text) => setLocale(text.trim())}
          />
        )}
      </div>
      <Frame content={content} scheme={scheme} device={device} />
    </div>
  );
}

interface FrameProps {
  readonly content: Record<string, unknown>;
  readonly scheme: 'light' | 'dark';
  readonly device: Device;
}

/** The frame at a device's own size, made smaller where there is less room. */
function Frame({ content, scheme, device }: FrameProps) {
  const frame = useRef<HTMLIFrameElement>(null);
  const room = useRef<HTMLDivElement>(null);
  const [wide, setWide] = useState(0);
  const [told, setTold] = useState('');
  const [ready, setReady] = useState(false);
  const { width, height } = DEVICES[device];
  const high = Math.max(SMALLEST_PX, window.innerHeight - ABOVE_PX);
  const scale = Math.min(1, (wide || width) / width, high / height);
  const json = JSON.stringify(content);
  useEffect(() => {
    const hear = (event: MessageEvent) => {
      if (event.origin !== location.origin || event.source !== frame.current?.contentWindow) return;
      const message = event.data as Told;
      if (message.kind === 'ready') setReady(true);
      if (message.kind === 'drawn') {
        setTold(message.shown ? '' : 'Nothing to see yet: it needs a title, a text or an image.');
      }
      if (message.kind === 'done') {
        const to = message.url ? `, and leads to ${message.url}` : '';
        setTold(`That counts as ${message.action}${to}.`);
      }
    };
    window.addEventListener('message', hear);
    return () => window.removeEventListener('message', hear);
  }, []);
  useEffect(() => {
    const observer = new ResizeObserver(() => setWide(room.current?.clientWidth ?? 0));
    if (room.current) observer.observe(room.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (!ready) return;
    const message: Draw = { kind: 'draw', content: JSON.parse(json), scheme };
    frame.current?.contentWindow?.postMessage(message, location.origin);
  }, [ready, json, scheme]);
  return (
    <>
      <div class="preview-room" ref={room} style={{ height: `${height * scale}px` }}>
        <iframe
          ref={frame}
          class="preview-frame"
          title="Preview of the popup"
          src="/console/preview.html"
          style={{ width: `${width}px`, height: `${height}px`, transform: `scale(${scale})` }}
        />
      </div>
      <p class="small soft preview-told" role="status">
        {told}
      </p>
    </>
  );
}
