import type { PageProps } from '../../shell/pages';

export default function Popup({ params }: PageProps) {
  return <h1>Popup {params['id'] ?? params['user'] ?? ''}</h1>;
}
