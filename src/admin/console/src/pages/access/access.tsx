import type { PageProps } from '../../shell/pages';

export default function Access({ params }: PageProps) {
  return <h1>Access {params['id'] ?? params['user'] ?? ''}</h1>;
}
