// What the popup was before: each version against the text that is edited, back into the editor or
// live again.
import { useState } from 'preact/hooks';
import { useLoad } from '../../api/load';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { Failure, Skeleton } from '../../ui/notice';
import { Time } from '../../ui/time';
import { Diff } from './diff';
import { parseJson, valueOf } from './model/json';
import { loadVersions, type Version } from './requests';

interface VersionsProps {
  readonly id: string;
  readonly text: string;
  readonly live: number;
  readonly canChange: boolean;
  readonly onTake: (version: Version) => void;
  readonly onRollBack: (version: Version) => Promise<void>;
  readonly onClose: () => void;
}

function valueIn(text: string): unknown {
  const { node } = parseJson(text);
  return node ? valueOf(node) : {};
}

export function VersionsDialog(props: VersionsProps) {
  const { id, text, live, canChange, onTake, onRollBack, onClose } = props;
  const loaded = useLoad(`versions ${id}`, () => loadVersions(id));
  const [picked, setPicked] = useState<number | null>(null);
  const [failed, setFailed] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const versions = (loaded.value?.versions ?? []).filter(({ change }) => change !== 'override');
  const shown = versions[picked ?? Math.min(1, versions.length - 1)];
  const rollBack = async (version: Version) => {
    setBusy(true);
    try {
      await onRollBack(version);
      onClose();
    } catch (error) {
      setFailed(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog
      title="Versions"
      wide
      onClose={onClose}
      actions={
        shown && (
          <>
            <Button onClick={() => onTake(shown)}>
              Put version {shown.version} into the editor
            </Button>
            {canChange && shown.version !== live && (
              <Button kind="primary" busy={busy} onClick={() => void rollBack(shown)}>
                Make version {shown.version} live again
              </Button>
            )}
          </>
        )
      }
    >
      <div class="stack">
        {loaded.error !== null && <Failure error={loaded.error} what="Not loaded" />}
        {failed !== null && <Failure error={failed} what="Not rolled back" />}
        {!loaded.value && !loaded.error && <Skeleton lines={4} />}
        <List versions={versions} shown={shown} live={live} onPick={setPicked} />
        {shown && (
          <Diff
            before={valueIn(shown.text)}
            after={valueIn(text)}
            names={[`Version ${shown.version}`, 'In the editor']}
          />
        )}
      </div>
    </Dialog>
  );
}

interface ListProps {
  readonly versions: readonly Version[];
  readonly shown: Version | undefined;
  readonly live: number;
  readonly onPick: (index: number) => void;
}

function List({ versions, shown, live, onPick }: ListProps) {
  return (
    <div class="versions" role="group" aria-label="Versions">
      {versions.map((version, index) => (
        <button
          key={index}
          type="button"
          class="version"
          aria-pressed={version === shown}
          onClick={() => onPick(index)}
        >
          <span class="version-name">
            Version {version.version}
            {version.version === live && ', live'}
          </span>
          <span class="soft small">
            {version.change.replace('_', ' ')} by {version.who}{' '}
            <Time at={version.at} form="relative" />
          </span>
        </button>
      ))}
    </div>
  );
}
