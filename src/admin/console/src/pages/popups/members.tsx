// Members of a definition that differ, each as it was and as it became.

interface MembersProps {
  readonly diff: Readonly<Record<string, readonly [unknown, unknown]>>;
}

export function Members({ diff }: MembersProps) {
  return (
    <dl class="members">
      {Object.entries(diff).map(([name, [before, after]]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <Text value={before} name="before" />
            <Text value={after} name="after" />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Text({ value, name }: { value: unknown; name: 'before' | 'after' }) {
  const none = value === null || value === undefined;
  const Tag = name === 'before' ? 'del' : 'ins';
  return (
    <Tag class={`member-${name}`}>
      <span class="hidden">{name}: </span>
      {none ? <span class="soft">not set</span> : <pre>{JSON.stringify(value, null, 2)}</pre>}
    </Tag>
  );
}
