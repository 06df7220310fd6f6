import type { PageProps } from '../../shell/pages';

export default function Statistics({ params }: PageProps) {
  return <h1>Statistics {params['id'] ?? params['user'] ?? ''}</h1>;
}
