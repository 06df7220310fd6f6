import type { PageProps } from '../../shell/pages';

export default function Editor({ params }: PageProps) {
  return <h1>Editor {params['id'] ?? params['user'] ?? ''}</h1>;
}
