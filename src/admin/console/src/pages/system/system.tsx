import type { PageProps } from '../../shell/pages';

export default function System({ params }: PageProps) {
  return <h1>System {params['id'] ?? params['user'] ?? ''}</h1>;
}
